//! The floor: the rows that a batch wrote, inserted again into a table with the same columns and
//! indexes, by the fastest statements known for each engine, with no logic. The rows are all that a batch
//! writes: its transfers and its row of the tail.

use std::time::{Duration, Instant};

use api_store::{Db, Tx, args};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

const SQLITE_CHUNK: usize = 256;

/// Moves what was committed from SQLite's log into its file.
pub(crate) struct Checkpoints(Option<sqlx::SqliteConnection>);

impl Checkpoints {
    pub(crate) async fn new(url: &str) -> anyhow::Result<Self> {
        use sqlx::ConnectOptions as _;
        let Some(file) = url.strip_prefix("sqlite:") else { return Ok(Self(None)) };
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let options = options.synchronous(sqlx::sqlite::SqliteSynchronous::Full);
        Ok(Self(Some(options.connect().await?)))
    }

    /// Returns how long it took.
    pub(crate) async fn run(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        if let Some(connection) = &mut self.0 {
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        }
        Ok(start.elapsed())
    }
}

/// The 19 columns of a transfer's row.
#[derive(sqlx::FromRow)]
struct Wide {
    seq: i64,
    book: i64,
    id: Vec<u8>,
    leg: i64,
    kind: i64,
    debit: i64,
    credit: i64,
    amount: Vec<u8>,
    effective_on: Option<i64>,
    expires_at: Option<i64>,
    target: Option<Vec<u8>>,
    code: String,
    reference: String,
    debit_debits: Option<Vec<u8>>,
    debit_credits: Option<Vec<u8>>,
    credit_debits: Option<Vec<u8>>,
    credit_credits: Option<Vec<u8>>,
    debit_prev: Option<i64>,
    credit_prev: Option<i64>,
}

/// Makes empty copies of the tables, with their constraints and indexes.
pub(crate) async fn prepare(db: &Db) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    match &mut tx {
        Tx::Sqlite(tx) => {
            let sql = "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index')
                AND tbl_name IN ('ledger_transfers', 'ledger_commits', 'ledger_tail') AND sql IS NOT NULL
                ORDER BY type DESC";
            let statements = tx.fetch_all(sql).await?;
            for row in statements {
                let statement: String = row.get(0);
                let statement = statement.replace("ledger_", "floor_");
                tx.execute(AssertSqlSafe(statement)).await?;
            }
        }
        Tx::Postgres(tx) => {
            tx.execute("CREATE TABLE floor_transfers (LIKE ledger_transfers INCLUDING ALL)")
                .await?;
            tx.execute("CREATE TABLE floor_commits (LIKE ledger_commits INCLUDING ALL)").await?;
            tx.execute("CREATE TABLE floor_tail (LIKE ledger_tail INCLUDING ALL)").await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Reads the rows that were written from `first_seq` on; returns how long their insertion takes.
pub(crate) async fn insert_same_rows(db: &Db, first_seq: i64) -> anyhow::Result<Duration> {
    let mut tx = db.read().await?;
    let sql = "SELECT seq, CAST(book AS BIGINT) AS book, id, CAST(leg AS BIGINT) AS leg,
            CAST(kind AS BIGINT) AS kind, debit, credit, amount,
            CAST(effective_on AS BIGINT) AS effective_on, expires_at, target, code, reference,
            debit_debits, debit_credits, credit_debits, credit_credits, debit_prev, credit_prev
        FROM ledger_transfers WHERE seq >= $1 ORDER BY seq";
    let rows: Vec<Wide> = tx.fetch_all(sql, args![first_seq]).await?;
    let tail = "SELECT states FROM ledger_tail WHERE commit_id = $1";
    let (tail,): (Vec<u8>,) = tx.fetch_one(tail, args![first_seq >> 20]).await?;
    tx.rollback().await?;
    let start = Instant::now();
    let mut tx = db.begin().await?;
    let commit = "INSERT INTO floor_commits (recorded_at) VALUES ($1) RETURNING id";
    let (commit,): (i64,) = tx.fetch_one(commit, args![first_seq]).await?;
    match &mut tx {
        Tx::Sqlite(tx) => {
            // Each statement is made while SQLite, in its own thread, works on the one before it.
            let mut statements = rows.chunks(SQLITE_CHUNK).map(insert_sqlite);
            let mut next = statements.next();
            while let Some(statement) = next {
                let (done, after) =
                    tokio::join!(statement.execute(&mut **tx), async { statements.next() });
                done?;
                next = after;
            }
        }
        Tx::Postgres(tx) => insert_postgres(tx, &rows).await?,
    }
    let sql = "INSERT INTO floor_tail (commit_id, states) VALUES ($1, $2)";
    tx.execute(sql, args![commit, tail]).await?;
    tx.commit().await?;
    Ok(start.elapsed())
}

fn insert_sqlite(
    rows: &[Wide],
) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let row = format!("({})", ["?"; 19].join(","));
    let rows_text = vec![row; rows.len()].join(",");
    let sql = format!("INSERT INTO floor_transfers VALUES {rows_text}");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for row in rows {
        query = query
            .bind(row.seq)
            .bind(row.book)
            .bind(row.id.clone())
            .bind(row.leg)
            .bind(row.kind)
            .bind(row.debit)
            .bind(row.credit)
            .bind(row.amount.clone())
            .bind(row.effective_on)
            .bind(row.expires_at)
            .bind(row.target.clone())
            .bind(row.code.clone())
            .bind(row.reference.clone())
            .bind(row.debit_debits.clone())
            .bind(row.debit_credits.clone())
            .bind(row.credit_debits.clone())
            .bind(row.credit_credits.clone())
            .bind(row.debit_prev)
            .bind(row.credit_prev);
    }
    query
}

async fn insert_postgres(connection: &mut sqlx::PgConnection, rows: &[Wide]) -> sqlx::Result<()> {
    fn column<'r, T>(rows: &'r [Wide], value: impl Fn(&'r Wide) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    sqlx::query(
        "INSERT INTO floor_transfers SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[],
             $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[],
             $10::bigint[], $11::bytea[], $12::text[], $13::text[], $14::bytea[], $15::bytea[],
             $16::bytea[], $17::bytea[], $18::bigint[], $19::bigint[])",
    )
    .bind(column(rows, |row| row.seq))
    .bind(column(rows, |row| row.book))
    .bind(column(rows, |row| row.id.as_slice()))
    .bind(column(rows, |row| row.leg))
    .bind(column(rows, |row| row.kind))
    .bind(column(rows, |row| row.debit))
    .bind(column(rows, |row| row.credit))
    .bind(column(rows, |row| row.amount.as_slice()))
    .bind(column(rows, |row| row.effective_on))
    .bind(column(rows, |row| row.expires_at))
    .bind(column(rows, |row| row.target.as_deref()))
    .bind(column(rows, |row| row.code.as_str()))
    .bind(column(rows, |row| row.reference.as_str()))
    .bind(column(rows, |row| row.debit_debits.as_deref()))
    .bind(column(rows, |row| row.debit_credits.as_deref()))
    .bind(column(rows, |row| row.credit_debits.as_deref()))
    .bind(column(rows, |row| row.credit_credits.as_deref()))
    .bind(column(rows, |row| row.debit_prev))
    .bind(column(rows, |row| row.credit_prev))
    .execute(connection)
    .await?;
    Ok(())
}

/// The size of the transfers with their indexes, divided by their number.
pub(crate) async fn bytes_per_row(db: &Db) -> anyhow::Result<i64> {
    let mut tx = db.read().await?;
    let sql = match tx {
        Tx::Sqlite(_) => {
            // Nearly all of the file is the two copies of the same rows.
            "SELECT (SELECT page_count FROM pragma_page_count())
                 * (SELECT page_size FROM pragma_page_size())
                 / (SELECT COUNT(*) FROM (SELECT seq FROM ledger_transfers
                     UNION ALL SELECT seq FROM floor_transfers))"
        }
        Tx::Postgres(_) => {
            "SELECT pg_total_relation_size('ledger_transfers')
                 / (SELECT COUNT(*) FROM ledger_transfers)"
        }
    };
    let (bytes,): (i64,) = tx.fetch_one(sql, args![]).await?;
    Ok(bytes)
}
