use api_store::{StoreError, Tx, args};
use chain_core::{Amount, BlockRef, Intent, IntentId, KeyedAddress, SignedTx, TxId, UnsignedTx};

use super::{parse, parse_json, stored, unstored};

/// Where an intent is on its way. It moves only by compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Money is held; nothing was built.
    Reserved,
    /// The unsigned bytes are stored; nothing was signed, as far as is known.
    Built,
    /// The signed bytes and the transaction id are stored; nothing was sent, as far as is known.
    Signed,
    /// A node has it.
    Sent,
    /// A node refused it or did not answer. It may confirm.
    Unknown,
    /// It is final on the chain.
    Settled,
    /// It is known that it never moved the money.
    Failed,
}

impl State {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Built => "built",
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Settled => "settled",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [
            Self::Reserved,
            Self::Built,
            Self::Signed,
            Self::Sent,
            Self::Unknown,
            Self::Settled,
            Self::Failed,
        ];
        let found = all.into_iter().find(|state| state.text() == text);
        found.ok_or_else(|| StoreError::Damaged(format!("intent state {text:?}")))
    }
}

/// An intent and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct StoredIntent {
    pub(crate) intent: Intent,
    /// The chain's name in the configuration.
    pub(crate) chain: String,
    /// Whose keys pay and sign, the fee payer first; empty on Bitcoin until it is built.
    pub(crate) signers: Vec<KeyedAddress>,
    pub(crate) state: State,
    pub(crate) unsigned: Option<UnsignedTx>,
    pub(crate) signed: Option<SignedTx>,
    pub(crate) tx: Option<TxId>,
    pub(crate) problem: Option<String>,
    pub(crate) fee: Option<Amount>,
    pub(crate) block: Option<BlockRef>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    intent: String,
    chain: String,
    signers: String,
    state: String,
    unsigned: Option<String>,
    signed: Option<String>,
    tx: Option<String>,
    problem: Option<String>,
    fee: Option<String>,
    height: Option<i64>,
    block_hash: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn check(self) -> Result<StoredIntent, StoreError> {
        let block = match (self.height, self.block_hash) {
            (Some(height), Some(hash)) => Some(BlockRef { height: unstored(height)?, hash }),
            _ => None,
        };
        Ok(StoredIntent {
            intent: parse_json("intent", &self.intent)?,
            chain: self.chain,
            signers: parse_json("signers", &self.signers)?,
            state: State::parse(&self.state)?,
            unsigned: self.unsigned.map(|text| parse_json("unsigned", &text)).transpose()?,
            signed: self.signed.map(|text| parse_json("signed", &text)).transpose()?,
            tx: self.tx.map(TxId),
            problem: self.problem,
            fee: self.fee.map(|text| parse("fee", &text)).transpose()?,
            block,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// Adds an intent as `reserved`.
pub(crate) async fn insert(
    tx: &mut Tx,
    chain: &str,
    intent: &Intent,
    signers: &[KeyedAddress],
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO intents (id, chain, purpose, intent, signers, state, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, 'reserved', $6, $6)";
    let values =
        args![intent.id.0, chain, intent.purpose.to_string(), json(intent)?, json(&signers)?, now,];
    tx.execute(sql, values).await.map(|_| ())
}

pub(crate) async fn get(tx: &mut Tx, id: IntentId) -> Result<Option<StoredIntent>, StoreError> {
    let sql = "SELECT intent, chain, signers, state, unsigned, signed, tx, problem, fee, height, \
                      block_hash, created_at, updated_at FROM intents WHERE id = $1";
    tx.fetch_optional::<Row>(sql, args![id.0]).await?.map(Row::check).transpose()
}

/// The intents of a chain that are not at their end, oldest first.
pub(crate) async fn live(tx: &mut Tx, chain: &str) -> Result<Vec<StoredIntent>, StoreError> {
    let sql = "SELECT intent, chain, signers, state, unsigned, signed, tx, problem, fee, height, \
                      block_hash, created_at, updated_at FROM intents \
               WHERE chain = $1 AND state NOT IN ('settled', 'failed') \
               ORDER BY created_at, id LIMIT 500";
    collect(tx.fetch_all(sql, args![chain]).await?)
}

/// A page of all intents, newest first, for operators.
pub(crate) async fn newest(tx: &mut Tx, limit: u32) -> Result<Vec<StoredIntent>, StoreError> {
    let sql = "SELECT intent, chain, signers, state, unsigned, signed, tx, problem, fee, height, \
                      block_hash, created_at, updated_at FROM intents \
               ORDER BY created_at DESC, id DESC LIMIT $1";
    collect(tx.fetch_all(sql, args![limit]).await?)
}

fn collect(rows: Vec<Row>) -> Result<Vec<StoredIntent>, StoreError> {
    rows.into_iter().map(Row::check).collect()
}

/// Stores the unsigned bytes and the place they take: `reserved` to `built`, or `built` anew while
/// nothing was signed.
pub(crate) async fn built(
    tx: &mut Tx,
    id: IntentId,
    unsigned: &UnsignedTx,
    evm_nonce: Option<u64>,
    nonce_account: Option<&str>,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'built', unsigned = $1, evm_nonce = $2, nonce_account = $3, \
                                  problem = NULL, updated_at = $4 \
               WHERE id = $5 AND state IN ('reserved', 'built')";
    let values = args![
        json(unsigned)?,
        evm_nonce.map(stored).transpose()?,
        nonce_account.map(str::to_owned),
        now,
        id.0,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

/// Takes an unsigned transaction back: `built` to `reserved`, its place on the chain given up.
pub(crate) async fn unbuilt(
    tx: &mut Tx,
    id: IntentId,
    problem: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'reserved', unsigned = NULL, evm_nonce = NULL, \
                                  nonce_account = NULL, problem = $1, updated_at = $2 \
               WHERE id = $3 AND state = 'built'";
    Ok(tx.execute(sql, args![problem, now, id.0]).await? == 1)
}

/// Stores the signed bytes before anything is sent: `built` to `signed`, and the attempt for ever.
pub(crate) async fn signed(
    tx: &mut Tx,
    id: IntentId,
    unsigned: &UnsignedTx,
    signed: &SignedTx,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'signed', signed = $1, tx = $2, updated_at = $3 \
               WHERE id = $4 AND state = 'built'";
    let done = tx.execute(sql, args![json(signed)?, &signed.id.0, now, id.0]).await? == 1;
    if done {
        insert_attempt(tx, id, unsigned, signed, now).await?;
    }
    Ok(done)
}

/// Adds a replacement: another transaction of the same intent, in the same place on the chain.
pub(crate) async fn replaced(
    tx: &mut Tx,
    id: IntentId,
    unsigned: &UnsignedTx,
    signed: &SignedTx,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'signed', signed = $1, unsigned = $2, tx = $3, updated_at = $4 \
               WHERE id = $5 AND state IN ('signed', 'sent', 'unknown')";
    let values = args![json(signed)?, json(unsigned)?, &signed.id.0, now, id.0];
    let done = tx.execute(sql, values).await? == 1;
    if done {
        insert_attempt(tx, id, unsigned, signed, now).await?;
    }
    Ok(done)
}

async fn insert_attempt(
    tx: &mut Tx,
    id: IntentId,
    unsigned: &UnsignedTx,
    signed: &SignedTx,
    now: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO attempts (intent_id, number, tx, unsigned, signed, created_at) \
               SELECT $1, COUNT(*), $2, $3, $4, $5 FROM attempts WHERE intent_id = $1";
    let values = args![id.0, &signed.id.0, json(unsigned)?, json(signed)?, now];
    tx.execute(sql, values).await.map(|_| ())
}

/// The transaction ids of all attempts, oldest first: any of them may be mined.
pub(crate) async fn attempts(tx: &mut Tx, id: IntentId) -> Result<Vec<TxId>, StoreError> {
    let sql = "SELECT tx FROM attempts WHERE intent_id = $1 ORDER BY number";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![id.0]).await?;
    Ok(rows.into_iter().map(|(id,)| TxId(id)).collect())
}

/// True when one of our own attempts has this transaction id.
pub(crate) async fn is_ours(tx: &mut Tx, id: &TxId) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM attempts WHERE tx = $1";
    let (count,): (i64,) = tx.fetch_one(sql, args![&id.0]).await?;
    Ok(count > 0)
}

/// Moves between states that carry nothing else; `problem` says what an operator should know.
pub(crate) async fn advance(
    tx: &mut Tx,
    id: IntentId,
    from: State,
    to: State,
    problem: Option<&str>,
    now: i64,
) -> Result<bool, StoreError> {
    let sql =
        "UPDATE intents SET state = $1, problem = $2, updated_at = $3 WHERE id = $4 AND state = $5";
    let values = args![to.text(), problem.map(str::to_owned), now, id.0, from.text()];
    Ok(tx.execute(sql, values).await? == 1)
}

/// Notes what keeps an intent from moving on, without moving it.
pub(crate) async fn note(tx: &mut Tx, id: IntentId, problem: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE intents SET problem = $1 WHERE id = $2", args![problem, id.0])
        .await
        .map(|_| ())
}

/// Ends an intent whose transaction `confirmed` is final on the chain; false when it ended before.
pub(crate) async fn end(
    tx: &mut Tx,
    id: IntentId,
    to: State,
    confirmed: &TxId,
    fee: Amount,
    block: &BlockRef,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = $1, tx = $2, fee = $3, height = $4, block_hash = $5, \
                                  problem = NULL, updated_at = $6 \
               WHERE id = $7 AND state IN ('signed', 'sent', 'unknown')";
    let values = args![
        to.text(),
        &confirmed.0,
        fee.to_string(),
        stored(block.height)?,
        &block.hash,
        now,
        id.0,
    ];
    Ok(tx.execute(sql, values).await? == 1)
}

/// The lowest EVM nonce of `sender` that no transaction of ours has taken: one above the highest
/// that was ever built and has not failed before it was signed.
pub(crate) async fn nonce_floor(tx: &mut Tx, chain: &str, sender: &str) -> Result<u64, StoreError> {
    let sql = "SELECT COALESCE(MAX(evm_nonce) + 1, 0) FROM intents \
               WHERE chain = $1 AND evm_nonce IS NOT NULL AND signers LIKE $2 \
                 AND state IN ('built', 'signed', 'sent', 'unknown', 'settled')";
    let (floor,): (i64,) = tx.fetch_one(sql, args![chain, format!("%\"{sender}\"%")]).await?;
    unstored(floor)
}

/// The sum of what live intents of one purpose are about, for reconciliation: their intents.
pub(crate) async fn sent_unsettled(
    tx: &mut Tx,
    chain: &str,
) -> Result<Vec<StoredIntent>, StoreError> {
    let sql = "SELECT intent, chain, signers, state, unsigned, signed, tx, problem, fee, height, \
                      block_hash, created_at, updated_at FROM intents \
               WHERE chain = $1 AND state IN ('signed', 'sent', 'unknown') ORDER BY created_at, id";
    collect(tx.fetch_all(sql, args![chain]).await?)
}
