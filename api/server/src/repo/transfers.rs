use api_store::{StoreError, Tx, args};
use chain_core::Amount;
use uuid::Uuid;

use super::parse;

/// A movement between two customers of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct InternalTransfer {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) from: Uuid,
    pub(crate) to: Uuid,
    pub(crate) asset: String,
    pub(crate) amount: Amount,
    pub(crate) record: String,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    from_customer: String,
    to_customer: String,
    asset: String,
    amount: String,
    record_id: String,
    created_at: i64,
}

impl Row {
    fn check(self) -> Result<InternalTransfer, StoreError> {
        Ok(InternalTransfer {
            id: parse("transfer id", &self.id)?,
            tenant: parse("tenant id", &self.tenant_id)?,
            from: parse("customer id", &self.from_customer)?,
            to: parse("customer id", &self.to_customer)?,
            asset: self.asset,
            amount: parse("amount", &self.amount)?,
            record: self.record_id,
            created_at: self.created_at,
        })
    }
}

pub(crate) async fn insert(tx: &mut Tx, transfer: &InternalTransfer) -> Result<(), StoreError> {
    let sql = "INSERT INTO internal_transfers (id, tenant_id, from_customer, to_customer, asset, amount, \
                                               record_id, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = args![
        transfer.id,
        transfer.tenant,
        transfer.from,
        transfer.to,
        &transfer.asset,
        transfer.amount.to_string(),
        &transfer.record,
        transfer.created_at,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<InternalTransfer>, StoreError> {
    let sql = "SELECT id, tenant_id, from_customer, to_customer, asset, amount, record_id, created_at \
               FROM internal_transfers WHERE id = $1 AND tenant_id = $2";
    tx.fetch_optional::<Row>(sql, args![id, tenant]).await?.map(Row::check).transpose()
}
