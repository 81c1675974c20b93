//! Personal data under a key of the customer's: who loses the key loses the data.

use api_ledger::TenantId;
use api_store::Tx;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::RngCore as _;
use uuid::Uuid;

use crate::CareError;
use crate::repo::keys;

const NONCE_BYTES: usize = 24;

/// A customer's key; made at first use, and anew after an erasure.
pub(crate) async fn key(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
) -> Result<[u8; 32], CareError> {
    if let Some(key) = keys::get(tx, tenant, customer).await? {
        return Ok(key);
    }
    let mut fresh = [0; 32];
    rand::rng().fill_bytes(&mut fresh);
    keys::insert(tx, tenant, customer, fresh).await?;
    keys::get(tx, tenant, customer).await?.ok_or(CareError::Damaged("a customer's key"))
}

/// Encrypts; `purpose` and the customer are bound in.
pub(crate) fn seal(
    key: &[u8; 32],
    customer: Uuid,
    purpose: &str,
    text: &str,
) -> Result<Vec<u8>, CareError> {
    let mut nonce = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    let bound = bound(customer, purpose);
    let payload = Payload { msg: text.as_bytes(), aad: &bound };
    let sealed = XChaCha20Poly1305::new(key.into()).encrypt(XNonce::from_slice(&nonce), payload);
    let sealed = sealed.map_err(|_| CareError::Damaged("a customer's key"))?;
    Ok([nonce.to_vec(), sealed].concat())
}

/// Undoes [`seal`].
pub(crate) fn open(
    key: &[u8; 32],
    customer: Uuid,
    purpose: &str,
    sealed: &[u8],
) -> Result<String, CareError> {
    let damaged = || CareError::Damaged("sealed data");
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
    let bound = bound(customer, purpose);
    let payload = Payload { msg: sealed, aad: &bound };
    let opened = XChaCha20Poly1305::new(key.into())
        .decrypt(XNonce::from_slice(nonce), payload)
        .map_err(|_| damaged())?;
    String::from_utf8(opened).map_err(|_| damaged())
}

fn bound(customer: Uuid, purpose: &str) -> Vec<u8> {
    [customer.as_bytes().as_slice(), purpose.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_customer_and_purpose_alone() {
        let (key, customer) = ([7; 32], Uuid::from_u128(1));
        let sealed = seal(&key, customer, "email", "a@b.example").unwrap();
        assert_eq!(open(&key, customer, "email", &sealed).unwrap(), "a@b.example");
        assert!(open(&key, customer, "sms", &sealed).is_err());
        assert!(open(&key, Uuid::from_u128(2), "email", &sealed).is_err());
        assert!(open(&[8; 32], customer, "email", &sealed).is_err());
        assert!(open(&key, customer, "email", &sealed[..20]).is_err());
        let again = seal(&key, customer, "email", "a@b.example").unwrap();
        assert_ne!(sealed, again, "two ciphertexts do not show that the addresses are the same");
    }
}
