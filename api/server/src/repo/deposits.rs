use api_store::{StoreError, Tx, args};
use chain_core::{Amount, BlockRef};
use uuid::Uuid;

use super::{parse, stored, unstored};

/// Money that arrived on a chain.
#[derive(Clone, Debug)]
pub(crate) struct Deposit {
    pub(crate) id: Uuid,
    pub(crate) tenant: Uuid,
    /// None for money that reached the operator's own addresses from outside.
    pub(crate) customer: Option<Uuid>,
    pub(crate) chain: String,
    pub(crate) asset: String,
    pub(crate) address: String,
    pub(crate) tx: String,
    pub(crate) position: String,
    /// Decimal text; wider than 128 bits only in suspense.
    pub(crate) amount: String,
    pub(crate) coinbase: bool,
    pub(crate) block: BlockRef,
    /// `seen`, `final`, `suspense` or `orphaned`.
    pub(crate) state: String,
    pub(crate) created_at: i64,
    pub(crate) credited_at: Option<i64>,
}

impl Deposit {
    pub(crate) fn amount(&self) -> Result<Amount, StoreError> {
        parse("amount", &self.amount)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant_id: String,
    customer_id: Option<String>,
    chain: String,
    asset: String,
    address: String,
    tx: String,
    position: String,
    amount: String,
    coinbase: bool,
    height: i64,
    block_hash: String,
    state: String,
    created_at: i64,
    credited_at: Option<i64>,
}

impl Row {
    fn check(self) -> Result<Deposit, StoreError> {
        Ok(Deposit {
            id: parse("deposit id", &self.id)?,
            tenant: parse("tenant id", &self.tenant_id)?,
            customer: self.customer_id.map(|id| parse("customer id", &id)).transpose()?,
            chain: self.chain,
            asset: self.asset,
            address: self.address,
            tx: self.tx,
            position: self.position,
            amount: self.amount,
            coinbase: self.coinbase,
            block: BlockRef { height: unstored(self.height)?, hash: self.block_hash },
            state: self.state,
            created_at: self.created_at,
            credited_at: self.credited_at,
        })
    }
}

/// The statement that reads deposits as [`Row`]s.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, tenant_id, customer_id, chain, asset, address, tx, position, amount, coinbase,
                 height, block_hash, state, created_at, credited_at
             FROM deposits ",
            $which
        )
    };
}

fn collect(rows: Vec<Row>) -> Result<Vec<Deposit>, StoreError> {
    rows.into_iter().map(Row::check).collect()
}

/// Records what was seen. Chain, transaction and position identify a deposit, so one that was seen
/// before, also in a block that was reorganised away, keeps its row and moves to its new block. There
/// the same transaction may have done something else at the same position, such as paying another
/// token to another address, so everything but the identity is taken anew. One that is final stays as
/// it is.
pub(crate) async fn see(tx: &mut Tx, deposit: &Deposit) -> Result<(), StoreError> {
    let sql = "INSERT INTO deposits (id, tenant_id, customer_id, chain, asset, address, tx, position, \
                                     amount, coinbase, height, block_hash, state, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
               ON CONFLICT (chain, tx, position) DO UPDATE \
               SET tenant_id = excluded.tenant_id, customer_id = excluded.customer_id, \
                   asset = excluded.asset, address = excluded.address, amount = excluded.amount, \
                   coinbase = excluded.coinbase, height = excluded.height, \
                   block_hash = excluded.block_hash, state = excluded.state \
               WHERE deposits.state <> 'final'";
    let values = args![
        deposit.id,
        deposit.tenant,
        deposit.customer,
        &deposit.chain,
        &deposit.asset,
        &deposit.address,
        &deposit.tx,
        &deposit.position,
        &deposit.amount,
        deposit.coinbase,
        stored(deposit.block.height)?,
        &deposit.block.hash,
        &deposit.state,
        deposit.created_at,
    ];
    tx.execute(sql, values).await.map(|_| ())
}

/// Marks a deposit final; false when it was not `seen` any more.
pub(crate) async fn finalise(tx: &mut Tx, id: Uuid, now: i64) -> Result<bool, StoreError> {
    let sql =
        "UPDATE deposits SET state = 'final', credited_at = $1 WHERE id = $2 AND state = 'seen'";
    Ok(tx.execute(sql, args![now, id]).await? == 1)
}

/// The deposits of a chain that wait for finality, oldest block first.
pub(crate) async fn seen(tx: &mut Tx, chain: &str) -> Result<Vec<Deposit>, StoreError> {
    let sql = select!("WHERE chain = $1 AND state = 'seen' ORDER BY height, id");
    collect(tx.fetch_all(sql, args![chain]).await?)
}

/// Takes the unfinished deposits above `height` back; returns how many *final* ones stand there,
/// which no rule can take back.
pub(crate) async fn orphan_above(tx: &mut Tx, chain: &str, height: u64) -> Result<u64, StoreError> {
    let height = stored(height)?;
    let sql = "UPDATE deposits SET state = 'orphaned' \
               WHERE chain = $1 AND height > $2 AND state IN ('seen', 'suspense')";
    tx.execute(sql, args![chain, height]).await?;
    let sql = "SELECT COUNT(*) FROM deposits WHERE chain = $1 AND height > $2 AND state = 'final'";
    let (credited,): (i64,) = tx.fetch_one(sql, args![chain, height]).await?;
    unstored(credited)
}

pub(crate) async fn get(
    tx: &mut Tx,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Deposit>, StoreError> {
    let sql = select!("WHERE id = $1 AND tenant_id = $2");
    tx.fetch_optional::<Row>(sql, args![id, tenant]).await?.map(Row::check).transpose()
}

/// A page of the tenant's deposits in the order of their ids, after the id `after`; of one customer
/// when `customer` is not empty.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: Uuid,
    customer: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Deposit>, StoreError> {
    let sql = select!(
        "WHERE tenant_id = $1 AND ($2 = '' OR customer_id = $2) AND id > $3 \
               ORDER BY id LIMIT $4"
    );
    collect(tx.fetch_all(sql, args![tenant, customer, after, limit]).await?)
}

/// Deposits of all tenants that wait in suspense, by id after `after`.
pub(crate) async fn suspended(
    tx: &mut Tx,
    after: &str,
    limit: u32,
) -> Result<Vec<Deposit>, StoreError> {
    let sql = select!("WHERE state = 'suspense' AND id > $1 ORDER BY id LIMIT $2");
    collect(tx.fetch_all(sql, args![after, limit]).await?)
}

/// The sum of a chain's deposits of one asset that the chain holds and the books do not yet.
pub(crate) async fn uncredited(
    tx: &mut Tx,
    chain: &str,
    asset: &str,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT amount FROM deposits WHERE chain = $1 AND asset = $2 AND state IN ('seen', 'suspense')";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![chain, asset]).await?;
    Ok(rows.into_iter().map(|(amount,)| amount).collect())
}
