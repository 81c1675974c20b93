use api_store::{StoreError, Tx, args};
use chain_core::{
    Amount, BlockRef, Intent, IntentId, KeyedAddress, Purpose, SignedTx, TxId, UnsignedTx,
};

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

/// The intents of a chain that are not at their end: what is on its way first, then the oldest. It
/// is every one, so that those that wait for long do not hold up those behind them.
pub(crate) async fn live(tx: &mut Tx, chain: &str) -> Result<Vec<IntentId>, StoreError> {
    let sql = "SELECT id FROM intents WHERE chain = $1 AND state NOT IN ('settled', 'failed') \
               ORDER BY CASE WHEN state = 'reserved' THEN 1 ELSE 0 END, created_at, id";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![chain]).await?;
    rows.iter().map(|(id,)| Ok(IntentId(parse("intent id", id)?))).collect()
}

/// When the newest preparation of a chain was begun or failed; `i64::MAX` while one is under way.
pub(crate) async fn newest_setup(tx: &mut Tx, chain: &str) -> Result<i64, StoreError> {
    let sql = "SELECT COALESCE(MAX(CASE WHEN state IN ('settled', 'failed') THEN updated_at \
                                        ELSE $2 END), 0) \
               FROM intents WHERE chain = $1 AND purpose = 'setup'";
    let (at,): (i64,) = tx.fetch_one(sql, args![chain, i64::MAX]).await?;
    Ok(at)
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

/// The place on its chain that an unsigned transaction takes. (Bitcoin's are coins.)
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The sender and the nonce.
    pub(crate) evm: Option<(String, u64)>,
    /// The durable nonce account on Solana.
    pub(crate) nonce_account: Option<String>,
}

/// Stores the unsigned bytes and the place they take: `reserved` to `built`. False when it was not
/// `reserved` any more, or when another has the place; the transaction is then to be rolled back.
pub(crate) async fn built(
    tx: &mut Tx,
    id: IntentId,
    unsigned: &UnsignedTx,
    place: Place,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'built', unsigned = $1, evm_sender = $2, evm_nonce = $3, \
                                  nonce_account = $4, problem = NULL, updated_at = $5 \
               WHERE id = $6 AND state = 'reserved'";
    let (sender, nonce) = place.evm.unzip();
    let nonce = nonce.map(stored).transpose()?;
    let values = args![json(unsigned)?, sender, nonce, place.nonce_account, now, id.0];
    match tx.execute(sql, values).await {
        Ok(changed) => Ok(changed == 1),
        Err(error) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// True while a transaction of this EVM account is built and not signed.
pub(crate) async fn has_unsigned(
    tx: &mut Tx,
    chain: &str,
    sender: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT COUNT(*) FROM intents \
               WHERE chain = $1 AND evm_sender = $2 AND state = 'built'";
    let (count,): (i64,) = tx.fetch_one(sql, args![chain, sender]).await?;
    Ok(count > 0)
}

/// The lowest nonce of an EVM account from `count` on, which is what its chain counts, that no
/// transaction of ours has taken. Lower ones than the highest taken come first, because the chain
/// waits for them.
pub(crate) async fn free_nonce(
    tx: &mut Tx,
    chain: &str,
    sender: &str,
    count: u64,
) -> Result<u64, StoreError> {
    let sql = "SELECT evm_nonce FROM intents \
               WHERE chain = $1 AND evm_sender = $2 AND evm_nonce >= $3 AND state <> 'failed' \
               ORDER BY evm_nonce";
    let taken: Vec<(i64,)> = tx.fetch_all(sql, args![chain, sender, stored(count)?]).await?;
    let mut free = count;
    for (nonce,) in taken {
        if unstored(nonce)? > free {
            break;
        }
        free = free.saturating_add(1);
    }
    Ok(free)
}

/// Takes an unsigned transaction back: `built` to `reserved`, its place on the chain given up.
pub(crate) async fn unbuilt(
    tx: &mut Tx,
    id: IntentId,
    problem: &str,
    now: i64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE intents SET state = 'reserved', unsigned = NULL, evm_sender = NULL, \
                                  evm_nonce = NULL, nonce_account = NULL, problem = $1, updated_at = $2 \
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
               WHERE id = $4 AND state = 'built' AND unsigned = $5";
    let values = args![json(signed)?, &signed.id.0, now, id.0, json(unsigned)?];
    let done = tx.execute(sql, values).await? == 1;
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

/// The unsigned bytes of one attempt.
pub(crate) async fn unsigned_of(
    tx: &mut Tx,
    id: IntentId,
    attempt: &TxId,
) -> Result<Option<UnsignedTx>, StoreError> {
    let sql = "SELECT unsigned FROM attempts WHERE intent_id = $1 AND tx = $2";
    let row: Option<(String,)> = tx.fetch_optional(sql, args![id.0, &attempt.0]).await?;
    row.map(|(unsigned,)| parse_json("unsigned", &unsigned)).transpose()
}

/// The transaction ids of all attempts, oldest first: any of them may be mined.
pub(crate) async fn attempts(tx: &mut Tx, id: IntentId) -> Result<Vec<TxId>, StoreError> {
    let sql = "SELECT tx FROM attempts WHERE intent_id = $1 ORDER BY number";
    let rows: Vec<(String,)> = tx.fetch_all(sql, args![id.0]).await?;
    Ok(rows.into_iter().map(|(id,)| TxId(id)).collect())
}

/// What the transaction was made for, when it is an attempt of our own.
pub(crate) async fn purpose_of(tx: &mut Tx, id: &TxId) -> Result<Option<Purpose>, StoreError> {
    let sql = "SELECT intents.intent FROM attempts JOIN intents ON intents.id = attempts.intent_id \
               WHERE attempts.tx = $1";
    let row: Option<(String,)> = tx.fetch_optional(sql, args![&id.0]).await?;
    let intent = row.map(|(intent,)| parse_json::<Intent>("intent", &intent)).transpose()?;
    Ok(intent.map(|intent| intent.purpose))
}

/// How many intents the chain ended in a block above `height`.
pub(crate) async fn ended_above(tx: &mut Tx, chain: &str, height: u64) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) FROM intents \
               WHERE chain = $1 AND height > $2 AND state IN ('settled', 'failed')";
    let (count,): (i64,) = tx.fetch_one(sql, args![chain, stored(height)?]).await?;
    unstored(count)
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
