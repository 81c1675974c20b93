use api_store::{StoreError, Tx, args};
use chain_core::IntentId;

use super::unstored;

/// Notes that an intent is to create the nonce account; does nothing when it is noted.
pub(crate) async fn insert(
    tx: &mut Tx,
    chain: &str,
    address: &str,
    number: u32,
    payer: &str,
    intent: IntentId,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO nonce_accounts (chain, address, number, payer, intent_id, ready) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    tx.execute(sql, args![chain, address, number, payer, intent.0, false]).await.map(|_| ())
}

/// Marks the account ready that this intent created.
pub(crate) async fn ready(tx: &mut Tx, intent: IntentId) -> Result<(), StoreError> {
    tx.execute("UPDATE nonce_accounts SET ready = $1 WHERE intent_id = $2", args![true, intent.0])
        .await
        .map(|_| ())
}

/// The accounts that are not there because the intents that were to create them failed before `then`.
pub(crate) async fn failed(
    tx: &mut Tx,
    chain: &str,
    payer: &str,
    then: i64,
) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT number FROM nonce_accounts \
               JOIN intents ON intents.id = nonce_accounts.intent_id \
               WHERE nonce_accounts.chain = $1 AND payer = $2 AND NOT ready \
                 AND intents.state = 'failed' AND intents.updated_at < $3 ORDER BY number";
    let rows: Vec<(i64,)> = tx.fetch_all(sql, args![chain, payer, then]).await?;
    let number = |(number,)| u32::try_from(number);
    let numbers: Result<_, _> = rows.into_iter().map(number).collect();
    numbers.map_err(|_| StoreError::Damaged("nonce number".into()))
}

/// Notes that another intent is to create the account.
pub(crate) async fn retry(
    tx: &mut Tx,
    chain: &str,
    address: &str,
    intent: IntentId,
) -> Result<(), StoreError> {
    let sql = "UPDATE nonce_accounts SET intent_id = $1 \
               WHERE chain = $2 AND address = $3 AND NOT ready";
    tx.execute(sql, args![intent.0, chain, address]).await.map(|_| ())
}

/// How many accounts of this payer exist or are being made.
pub(crate) async fn count(tx: &mut Tx, chain: &str, payer: &str) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) FROM nonce_accounts WHERE chain = $1 AND payer = $2";
    let (count,): (i64,) = tx.fetch_one(sql, args![chain, payer]).await?;
    unstored(count)
}

/// A ready account of this payer that no live transaction uses. An account whose transaction ended
/// may be used again: its value has changed.
pub(crate) async fn free(tx: &mut Tx, chain: &str, payer: &str) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT number FROM nonce_accounts \
               WHERE chain = $1 AND payer = $2 AND ready \
                 AND NOT EXISTS (SELECT 1 FROM intents WHERE intents.chain = nonce_accounts.chain \
                                 AND intents.nonce_account = nonce_accounts.address \
                                 AND intents.state IN ('built', 'signed', 'sent', 'unknown')) \
               ORDER BY number LIMIT 1";
    let row: Option<(i64,)> = tx.fetch_optional(sql, args![chain, payer]).await?;
    row.map(|(number,)| {
        u32::try_from(number).map_err(|_| StoreError::Damaged("nonce number".into()))
    })
    .transpose()
}
