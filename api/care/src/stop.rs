//! The link by which a reader stops all reminders: one click (RFC 8058), no login, not to be guessed.

use api_ledger::TenantId;
use api_store::Tx;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;
use uuid::Uuid;

use crate::repo::{keys, outbox};
use crate::{Care, CareError};

const KEY: &str = "opt-out-links";
const TAG: &[u8] = b"roadstead.opt-out/v1";
const ID_BYTES: usize = 16;

type Mac = Hmac<Sha256>;

impl Care {
    /// The link in a message: the message's id and a code over it, under a key of the server's.
    pub(crate) async fn stop_link(&self, tx: &mut Tx, message: Uuid) -> Result<String, CareError> {
        let code = mac(&self.stop_key(tx).await?, message)?.finalize().into_bytes();
        let token = URL_SAFE_NO_PAD.encode([message.as_bytes().as_slice(), &code].concat());
        Ok(format!("{}/v1/opt-out/{token}", self.ports.public_url.trim_end_matches('/')))
    }

    async fn stop_key(&self, tx: &mut Tx) -> Result<Vec<u8>, CareError> {
        if let Some(key) = keys::known_secret(tx, KEY).await? {
            return Ok(key);
        }
        let mut fresh = [0; 32];
        rand::rng().fill_bytes(&mut fresh);
        keys::server_secret(tx, KEY, fresh).await
    }

    /// Whose reminders the link stops.
    ///
    /// # Errors
    /// [`CareError::Missing`] for a link that is not ours.
    pub async fn stop_target(
        &self,
        tx: &mut Tx,
        token: &str,
    ) -> Result<(TenantId, Uuid), CareError> {
        let missing = || CareError::Missing("link");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| missing())?;
        let (id, code) = bytes.split_first_chunk::<ID_BYTES>().ok_or_else(missing)?;
        let message = Uuid::from_bytes(*id);
        // In constant time.
        let key = keys::known_secret(tx, KEY).await?.ok_or_else(missing)?;
        mac(&key, message)?.verify_slice(code).map_err(|_| missing())?;
        outbox::owner(tx, message).await?.ok_or_else(missing)
    }

    /// Stops all reminders of the customer to whom the link was sent.
    ///
    /// # Errors
    /// [`CareError::Missing`] for a link that is not ours.
    pub async fn stop(&self, tx: &mut Tx, token: &str) -> Result<(), CareError> {
        let (tenant, customer) = self.stop_target(tx, token).await?;
        self.opt_out(tx, tenant, customer, "the link in a message").await
    }
}

fn mac(key: &[u8], message: Uuid) -> Result<Mac, CareError> {
    let mac = Mac::new_from_slice(key).map_err(|_| CareError::Damaged("a key"))?;
    Ok(mac.chain_update(TAG).chain_update(message.as_bytes()))
}
