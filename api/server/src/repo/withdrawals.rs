use api_store::{StoreError, Tx, args};
use chain_core::{Amount, IntentId};
use uuid::Uuid;

use super::parse;

/// A payout that a customer asked for. Its state is its intent's.
#[derive(Clone, Debug)]
pub(crate) struct Withdrawal {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) client_id: Option<String>,
    pub(crate) intent: IntentId,
    pub(crate) chain: String,
    pub(crate) asset: String,
    pub(crate) amount: Amount,
    pub(crate) destination: String,
    pub(crate) created_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    customer_id: String,
    client_id: Option<String>,
    intent_id: String,
    chain: String,
    asset: String,
    amount: String,
    destination: String,
    created_at: i64,
}

impl Row {
    fn check(self) -> Result<Withdrawal, StoreError> {
        Ok(Withdrawal {
            id: parse("withdrawal id", &self.id)?,
            tenant: parse("tenant id", &self.tenant_id)?,
            customer: parse("customer id", &self.customer_id)?,
            client_id: self.client_id,
            intent: IntentId(parse("intent id", &self.intent_id)?),
            chain: self.chain,
            asset: self.asset,
            amount: parse("amount", &self.amount)?,
            destination: self.destination,
            created_at: self.created_at,
        })
    }
}

pub(crate) async fn insert(tx: &mut Tx, withdrawal: &Withdrawal) -> Result<(), StoreError> {
    let sql = "INSERT INTO withdrawals (id, tenant_id, customer_id, client_id, intent_id, chain, asset, \
                                        amount, destination, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = args![
        withdrawal.id,
        withdrawal.tenant,
        withdrawal.customer,
        withdrawal.client_id.clone(),
        withdrawal.intent.0,
        &withdrawal.chain,
        &withdrawal.asset,
        withdrawal.amount.to_string(),
        &withdrawal.destination,
        withdrawal.created_at,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Withdrawal>, StoreError> {
    let sql = "SELECT id, tenant_id, customer_id, client_id, intent_id, chain, asset, amount, destination, \
                      created_at FROM withdrawals WHERE id = $1 AND tenant_id = $2";
    tx.fetch_optional::<Row>(sql, args![id, tenant]).await?.map(Row::check).transpose()
}

pub(crate) async fn by_intent(
    tx: &mut Tx,
    intent: IntentId,
) -> Result<Option<Withdrawal>, StoreError> {
    let sql = "SELECT id, tenant_id, customer_id, client_id, intent_id, chain, asset, amount, destination, \
                      created_at FROM withdrawals WHERE intent_id = $1";
    tx.fetch_optional::<Row>(sql, args![intent.0]).await?.map(Row::check).transpose()
}

/// A page of the tenant's withdrawals in the order of their ids, after the id `after`; with this
/// client id or of this customer when those are not empty.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: Uuid,
    client_id: &str,
    customer: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Withdrawal>, StoreError> {
    let sql = "SELECT id, tenant_id, customer_id, client_id, intent_id, chain, asset, amount, destination, \
                      created_at FROM withdrawals \
               WHERE tenant_id = $1 AND ($2 = '' OR client_id = $2) AND ($3 = '' OR customer_id = $3) \
                 AND id > $4 ORDER BY id LIMIT $5";
    let rows: Vec<Row> =
        tx.fetch_all(sql, args![tenant, client_id, customer, after, limit]).await?;
    rows.into_iter().map(Row::check).collect()
}
