use api_ledger::TenantId;
use api_loans::reminders::Channel;
use api_store::{Tx, args};
use uuid::Uuid;

use super::parse;
use crate::CareError;
use crate::gateways::Stored;

type Row = (String, String, String, Option<String>, Vec<u8>, bool);

fn read((id, tenant, channel, url, secret, sealed): Row) -> Result<Stored, CareError> {
    Ok(Stored {
        id: parse("a gateway's id", &id)?,
        tenant: TenantId::new(parse("a tenant's id", &tenant)?),
        channel: Channel::named(&channel).ok_or(CareError::Damaged("a channel"))?,
        url,
        secret,
        sealed,
    })
}

/// Registers a gateway in place of the one that the tenant has for this channel: it keeps its id. Its
/// secret, which is sealed for this id, is set next.
pub(crate) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    channel: Channel,
    url: Option<&str>,
    now: i64,
) -> Result<Uuid, CareError> {
    let sql = "INSERT INTO care_gateways (id, tenant_id, channel, url, secret, sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, TRUE, $6)
        ON CONFLICT (tenant_id, channel) DO UPDATE SET url = excluded.url RETURNING id";
    let url = url.map(str::to_owned);
    let values = args![Uuid::now_v7(), tenant.get(), channel.text(), url, Vec::<u8>::new(), now];
    let (id,): (String,) = tx.fetch_one(sql, values).await?;
    parse("a gateway's id", &id)
}

pub(crate) async fn of_tenant(tx: &mut Tx, tenant: TenantId) -> Result<Vec<Stored>, CareError> {
    let sql = "SELECT id, tenant_id, channel, url, secret, sealed FROM care_gateways
        WHERE tenant_id = $1 ORDER BY channel";
    let rows: Vec<Row> = tx.fetch_all(sql, args![tenant.get()]).await?;
    rows.into_iter().map(read).collect()
}

pub(crate) async fn set_secret(tx: &mut Tx, id: Uuid, sealed: Vec<u8>) -> Result<(), CareError> {
    let sql = "UPDATE care_gateways SET secret = $2, sealed = TRUE WHERE id = $1";
    tx.execute(sql, args![id, sealed]).await?;
    Ok(())
}

/// Gateways of all tenants whose secrets lie there as they are.
pub(crate) async fn unsealed(tx: &mut Tx) -> Result<Vec<Stored>, CareError> {
    let sql = "SELECT id, tenant_id, channel, url, secret, sealed FROM care_gateways
        WHERE NOT sealed ORDER BY id";
    let rows: Vec<Row> = tx.fetch_all(sql, args![]).await?;
    rows.into_iter().map(read).collect()
}

/// Any tenant's gateway, for a receipt, which its signature vouches for.
pub(crate) async fn by_id(tx: &mut Tx, id: Uuid) -> Result<Option<Stored>, CareError> {
    let sql = "SELECT id, tenant_id, channel, url, secret, sealed FROM care_gateways WHERE id = $1";
    let row: Option<Row> = tx.fetch_optional(sql, args![id]).await?;
    row.map(read).transpose()
}

/// Stops sending through a gateway; receipts that are under way still count.
pub(crate) async fn disconnect(
    tx: &mut Tx,
    tenant: TenantId,
    channel: Channel,
) -> Result<bool, CareError> {
    let sql = "UPDATE care_gateways SET url = NULL WHERE tenant_id = $1 AND channel = $2";
    Ok(tx.execute(sql, args![tenant.get(), channel.text()]).await? == 1)
}

/// Counts a receipt; false when it was counted before.
pub(crate) async fn insert_receipt(
    tx: &mut Tx,
    gateway: Uuid,
    receipt: &str,
    message: Uuid,
    status: &str,
    now: i64,
) -> Result<bool, CareError> {
    let sql = "INSERT INTO care_receipts (gateway_id, receipt_id, message_id, status, received_at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![gateway, receipt, message, status, now]).await? == 1)
}
