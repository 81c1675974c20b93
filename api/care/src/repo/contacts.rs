use api_ledger::TenantId;
use api_loans::reminders::Channel;
use api_store::{Tx, args};
use uuid::Uuid;

use super::{moment, parse};
use crate::CareError;
use crate::consent::StoredConsent;

/// An address as it is stored.
pub(crate) struct Sealed {
    pub(crate) channel: Channel,
    pub(crate) sealed: Vec<u8>,
    pub(crate) usable: bool,
}

pub(crate) async fn put_address(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    address: &Sealed,
    now: i64,
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_addresses (tenant_id, customer_id, channel, sealed, usable,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant_id, customer_id, channel) DO UPDATE
        SET sealed = excluded.sealed, usable = excluded.usable, updated_at = excluded.updated_at";
    let channel = address.channel.text();
    let values = args![tenant.get(), customer, channel, &address.sealed, address.usable, now];
    tx.execute(sql, values).await?;
    Ok(())
}

pub(crate) async fn delete_address(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    channel: Channel,
) -> Result<bool, CareError> {
    let sql = "DELETE FROM care_addresses
        WHERE tenant_id = $1 AND customer_id = $2 AND channel = $3";
    Ok(tx.execute(sql, args![tenant.get(), customer, channel.text()]).await? == 1)
}

/// Notes that a message came back from there.
pub(crate) async fn mark_unusable(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    channel: Channel,
) -> Result<(), CareError> {
    let sql = "UPDATE care_addresses SET usable = $4
        WHERE tenant_id = $1 AND customer_id = $2 AND channel = $3";
    tx.execute(sql, args![tenant.get(), customer, channel.text(), false]).await?;
    Ok(())
}

pub(crate) async fn addresses(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
) -> Result<Vec<Sealed>, CareError> {
    let sql = "SELECT channel, sealed, usable FROM care_addresses
        WHERE tenant_id = $1 AND customer_id = $2 ORDER BY channel";
    let rows: Vec<(String, Vec<u8>, bool)> =
        tx.fetch_all(sql, args![tenant.get(), customer]).await?;
    let read = |(channel, sealed, usable): (String, Vec<u8>, bool)| {
        let channel = Channel::named(&channel).ok_or(CareError::Damaged("a channel"))?;
        Ok(Sealed { channel, sealed, usable })
    };
    rows.into_iter().map(read).collect()
}

pub(crate) async fn insert_consent(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
    consent: &StoredConsent,
) -> Result<(), CareError> {
    let sql = "INSERT INTO care_consents (id, tenant_id, customer_id, channel, granted, proof,
            given_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = args![
        consent.id,
        tenant.get(),
        customer,
        &consent.channel,
        consent.granted,
        consent.proof.clone(),
        consent.at.as_millisecond(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

type ConsentRow = (String, String, bool, Option<Vec<u8>>, i64);

/// Every consent of a customer and every withdrawal, the oldest first.
pub(crate) async fn consents(
    tx: &mut Tx,
    tenant: TenantId,
    customer: Uuid,
) -> Result<Vec<StoredConsent>, CareError> {
    let sql = "SELECT id, channel, granted, proof, given_at FROM care_consents
        WHERE tenant_id = $1 AND customer_id = $2 ORDER BY given_at, id";
    let rows: Vec<ConsentRow> = tx.fetch_all(sql, args![tenant.get(), customer]).await?;
    let read = |(id, channel, granted, proof, at): ConsentRow| {
        let id = parse("a consent's id", &id)?;
        Ok(StoredConsent { id, channel, granted, proof, at: moment(at)? })
    };
    rows.into_iter().map(read).collect()
}

/// Removes what an erasure leaves no use for: addresses, letters, proofs.
pub(crate) async fn erase(tx: &mut Tx, tenant: TenantId, customer: Uuid) -> Result<(), CareError> {
    let addresses = "DELETE FROM care_addresses WHERE tenant_id = $1 AND customer_id = $2";
    let letters = "DELETE FROM care_inbox WHERE tenant_id = $1 AND customer_id = $2";
    let proofs = "UPDATE care_consents SET proof = NULL
        WHERE tenant_id = $1 AND customer_id = $2";
    for sql in [addresses, letters, proofs] {
        tx.execute(sql, args![tenant.get(), customer]).await?;
    }
    Ok(())
}
