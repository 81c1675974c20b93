//! The hot path on SQLite: lists go in as one JSON text, rows as `VALUES` lists of a few fixed
//! lengths, so that the prepared statements are found again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::{
    Commit, Keeper, LockedRow, Mark, StoredRow, all_updated, events, first_seq, holds, marks,
};
use crate::book::{ChainLink, Decisions, Row, Standing};
use crate::bytes::encode;
use crate::{AccountId, LedgerError, TenantId, TransferId};

const LARGEST_CHUNK: usize = 256;
/// How many rows one statement carries; the largest that fits is taken.
const CHUNKS: [usize; 9] = [LARGEST_CHUNK, 128, 64, 32, 16, 8, 4, 2, 1];

/// All accounts come in one text: a row and twelve values for each would cost more than reading them
/// from the tables. No stored text has the control characters that separate them.
pub(super) async fn load_accounts(
    connection: &mut SqliteConnection,
    numbers: &[i64],
) -> Result<Vec<LockedRow>, LedgerError> {
    let sql = "SELECT group_concat(b.account || char(31) || a.book || char(31) || k.tenant
             || char(31) || a.asset || char(31) || a.side || char(31) || b.flags || char(31)
             || iif(b.floor IS NULL, '-', hex(b.floor)) || char(31) || hex(b.debits_posted) || char(31)
             || hex(b.credits_posted) || char(31) || hex(b.debits_pending) || char(31)
             || hex(b.credits_pending) || char(31) || b.changed_at || char(31) || b.last_seq
             || char(31) || b.legs || char(31) || b.commit_id, char(30))
         FROM json_each($1) AS j
         CROSS JOIN ledger_balances AS b ON b.account = j.value
         CROSS JOIN ledger_accounts AS a ON a.key = b.account
         CROSS JOIN ledger_books AS k ON k.key = a.book";
    let query = sqlx::query_scalar(sql).bind(json_numbers(numbers));
    let text: Option<String> = query.fetch_one(connection).await?;
    let records = text.as_deref().map(|text| text.split('\u{1e}'));
    let rows = records.into_iter().flatten().map(locked_row);
    rows.collect::<Option<_>>().ok_or_else(|| LedgerError::damaged("an account cannot be read"))
}

fn locked_row(record: &str) -> Option<LockedRow> {
    let mut fields = record.split('\u{1f}');
    let (account, book) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (tenant, asset) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let (side, flags) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let floor = match fields.next()? {
        "-" => None,
        hex => Some(from_hex(hex)?),
    };
    let mut total = || from_hex(fields.next()?);
    let totals = (total()?, total()?, total()?, total()?);
    let mut number = || fields.next()?.parse().ok();
    let (changed_at, last_seq, legs, commit) = (number()?, number()?, number()?, number()?);
    let (debits, credits, debits_pending, credits_pending) = totals;
    Some((
        account,
        book,
        tenant,
        asset,
        side,
        flags,
        floor,
        debits,
        credits,
        debits_pending,
        credits_pending,
        changed_at,
        last_seq,
        legs,
        commit,
    ))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

pub(super) async fn stored(
    connection: &mut SqliteConnection,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<StoredRow>, LedgerError> {
    let mut found = Vec::new();
    for (tenant, ids) in by_tenant(ids) {
        let rows = sqlx::query_as(
            "SELECT k.tenant, t.seq, t.book, t.id, t.leg, t.kind, t.debit, t.credit, t.amount,
                 t.effective_on, t.expires_at, t.target, t.code, t.reference, c.recorded_at
             FROM ledger_books AS k
             CROSS JOIN json_each($2) AS j
             CROSS JOIN ledger_transfers AS t ON t.book = k.key AND t.id = unhex(j.value)
             CROSS JOIN ledger_commits AS c ON c.id = t.seq >> 20
             WHERE k.tenant = $1",
        );
        found.extend(rows.bind(tenant).bind(ids).fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

pub(super) async fn ended(
    connection: &mut SqliteConnection,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<(String, Vec<u8>, i64)>, LedgerError> {
    let mut found = Vec::new();
    for (tenant, ids) in by_tenant(ids) {
        let rows = sqlx::query_as(
            "SELECT k.tenant, t.target, t.kind
             FROM ledger_books AS k
             CROSS JOIN json_each($2) AS j
             CROSS JOIN ledger_transfers AS t
                 ON t.book = k.key AND t.target = unhex(j.value) AND t.leg = 0
             WHERE k.tenant = $1 AND t.target IS NOT NULL",
        );
        found.extend(rows.bind(tenant).bind(ids).fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

/// Writes what is decided, and decides on the way.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    decisions: &mut Decisions<'_>,
    keeper: Keeper,
) -> Result<Option<Commit>, LedgerError> {
    if decisions.rows(1).is_empty() {
        return Ok(None);
    }
    let sql = "INSERT INTO ledger_commits (recorded_at) VALUES ($1) RETURNING id";
    let query = sqlx::query_scalar(sql).bind(decisions.now());
    let commit: i64 = query.fetch_one(&mut *connection).await?;
    let first_seq = first_seq(commit)?;
    insert_rows(connection, first_seq, decisions).await?;
    let book = decisions.all();
    if keeper == Keeper::Balances {
        let states = book.standings(commit, first_seq);
        all_updated(&states, fold(connection, &states).await?)?;
        insert_marks(connection, &marks(book.rows(), first_seq)).await?;
    }
    write_holds(connection, book.rows()).await?;
    for (tenant, count) in events(book.rows()) {
        let sql = "INSERT INTO events_outbox
             (tenant, kind, subject, body, commit_id, count, created_at)
             VALUES ($1, 'ledger', '', '', $2, $3, $4)";
        let query = sqlx::query(sql).bind(tenant).bind(commit).bind(count).bind(book.now());
        query.execute(&mut *connection).await?;
    }
    Ok(Some(Commit { id: commit, first_seq }))
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    first_seq: i64,
    decisions: &mut Decisions<'_>,
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO ledger_transfers (seq, book, id, leg, kind, debit, credit, amount,
        effective_on, expires_at, target, code, reference, debit_debits, debit_credits,
        credit_debits, credit_credits, debit_prev, credit_prev) VALUES ";
    let (mut next, mut seq) = (0_usize, first_seq);
    let statements = std::iter::from_fn(|| {
        let rows = decisions.rows(next.saturating_add(LARGEST_CHUNK)).get(next..)?;
        let chunk = chunks(rows).next()?;
        let query = sqlx::query(AssertSqlSafe(values(insert, chunk.len(), 19, "")));
        let numbered = (seq..).zip(chunk);
        let query = numbered.fold(query, |query, (seq, row)| bind_row(query, seq, row, first_seq));
        next = next.saturating_add(chunk.len());
        seq = seq.saturating_add(i64::try_from(chunk.len()).ok()?);
        Some(query)
    });
    execute_all(connection, statements).await?;
    Ok(())
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Executes the statements in turn; returns how many rows they changed. Each is made while SQLite, in its
/// own thread, works on the one before it.
async fn execute_all<'q>(
    connection: &mut SqliteConnection,
    mut statements: impl Iterator<Item = Bound<'q>>,
) -> Result<u64, LedgerError> {
    let mut changed = 0_u64;
    let mut next = statements.next();
    while let Some(statement) = next {
        let (done, after) =
            tokio::join!(statement.execute(&mut *connection), async { statements.next() });
        changed = changed.saturating_add(done?.rows_affected());
        next = after;
    }
    Ok(changed)
}

fn bind_row<'q>(query: Bound<'q>, seq: i64, row: &Row, first_seq: i64) -> Bound<'q> {
    let prev = |link: Option<ChainLink>| link.map(|link| link.prev.seq(first_seq));
    let debits = |after: Option<(u128, u128)>| after.map(|(debits, _)| encode(debits));
    let credits = |after: Option<(u128, u128)>| after.map(|(_, credits)| encode(credits));
    query
        .bind(seq)
        .bind(row.book)
        .bind(row.id.as_bytes().to_vec())
        .bind(row.leg)
        .bind(row.kind.number())
        .bind(row.debit.get())
        .bind(row.credit.get())
        .bind(encode(row.amount))
        .bind(row.effective_on)
        .bind(row.expires_at)
        .bind(row.target.map(|target| target.as_bytes().to_vec()))
        .bind(row.code.clone())
        .bind(row.reference.clone())
        .bind(debits(row.debit_after))
        .bind(credits(row.debit_after))
        .bind(debits(row.credit_after))
        .bind(credits(row.credit_after))
        .bind(prev(row.debit_link))
        .bind(prev(row.credit_link))
}

/// Brings the rows of these accounts up to date, where they are older; returns how many were.
pub(super) async fn fold(
    connection: &mut SqliteConnection,
    states: &[(AccountId, Standing)],
) -> Result<u64, LedgerError> {
    let insert = "INSERT INTO ledger_balances (account, debits_posted, credits_posted,
        debits_pending, credits_pending, changed_at, last_seq, legs, commit_id) VALUES ";
    let update = " ON CONFLICT (account) DO UPDATE SET debits_posted = excluded.debits_posted,
        credits_posted = excluded.credits_posted, debits_pending = excluded.debits_pending,
        credits_pending = excluded.credits_pending, changed_at = excluded.changed_at,
        last_seq = excluded.last_seq, legs = excluded.legs, commit_id = excluded.commit_id
        WHERE excluded.commit_id > ledger_balances.commit_id";
    let statement = |chunk: &[(AccountId, Standing)]| {
        let query = sqlx::query(AssertSqlSafe(values(insert, chunk.len(), 9, update)));
        chunk.iter().fold(query, |query, (account, standing)| {
            query
                .bind(account.get())
                .bind(encode(standing.totals.debits_posted))
                .bind(encode(standing.totals.credits_posted))
                .bind(encode(standing.totals.debits_pending))
                .bind(encode(standing.totals.credits_pending))
                .bind(standing.changed_at)
                .bind(standing.last_seq)
                .bind(standing.legs)
                .bind(standing.commit)
        })
    };
    execute_all(connection, chunks(states).map(statement)).await
}

/// Adds these marks, where they are missing.
pub(super) async fn insert_marks(
    connection: &mut SqliteConnection,
    marks: &[Mark],
) -> Result<(), LedgerError> {
    let insert = "INSERT INTO ledger_marks (account, seq) VALUES ";
    let end = " ON CONFLICT DO NOTHING";
    let statement = |chunk: &[Mark]| {
        let query = sqlx::query(AssertSqlSafe(values(insert, chunk.len(), 2, end)));
        chunk.iter().fold(query, |query, (account, seq)| query.bind(account.get()).bind(*seq))
    };
    execute_all(connection, chunks(marks).map(statement)).await?;
    Ok(())
}

async fn write_holds(connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), LedgerError> {
    let (opened, ended) = holds(rows);
    let insert = "INSERT INTO ledger_holds (book, id, expires_at) VALUES ";
    for chunk in chunks(&opened) {
        let mut query = sqlx::query(AssertSqlSafe(values(insert, chunk.len(), 3, "")));
        for row in chunk {
            query = query.bind(row.book).bind(row.id.as_bytes().to_vec()).bind(row.expires_at);
        }
        query.execute(&mut *connection).await?;
    }
    for (book, id) in ended {
        sqlx::query("DELETE FROM ledger_holds WHERE book = $1 AND id = $2")
            .bind(book)
            .bind(id.as_bytes().to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Cuts `rows` into pieces of the lengths in [`CHUNKS`].
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = CHUNKS.into_iter().find(|length| *length <= rest.len())?;
        let (chunk, after) = rest.split_at(length);
        rest = after;
        Some(chunk)
    })
}

/// `head (?,…),(?,…),… tail` with `rows` rows of `columns` values.
fn values(head: &str, rows: usize, columns: usize, tail: &str) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    format!("{head}{}{tail}", vec![row; rows].join(","))
}

fn json_numbers(numbers: &[i64]) -> String {
    let mut json = String::with_capacity(numbers.len().saturating_mul(8));
    for number in numbers {
        json.push(if json.is_empty() { '[' } else { ',' });
        // Writing to a string cannot fail.
        let _ = write!(json, "{number}");
    }
    if json.is_empty() { "[]".to_owned() } else { json + "]" }
}

/// The ids of each tenant, as a JSON array of hexadecimal texts.
fn by_tenant(ids: &[(TenantId, TransferId)]) -> Vec<(String, String)> {
    let mut tenants: BTreeMap<TenantId, String> = BTreeMap::new();
    for (tenant, id) in ids {
        let json = tenants.entry(*tenant).or_default();
        json.push(if json.is_empty() { '[' } else { ',' });
        let _ = write!(json, "\"{}\"", id.get().simple());
    }
    tenants.into_iter().map(|(tenant, json)| (tenant.to_string(), json + "]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_in_order() {
        for length in [0, 1, 3, 4, 37, 300, 8190] {
            let rows: Vec<usize> = (0..length).collect();
            let joined: Vec<usize> = chunks(&rows).flatten().copied().collect();
            assert_eq!(joined, rows);
            assert!(chunks(&rows).all(|chunk| CHUNKS.contains(&chunk.len())));
        }
    }

    #[test]
    fn hexadecimal_is_read_strictly() {
        assert_eq!(from_hex(""), Some(vec![]));
        assert_eq!(from_hex("00fFA1"), Some(vec![0, 255, 161]));
        assert_eq!((from_hex("0"), from_hex("0g")), (None, None));
    }

    #[test]
    fn lists_are_json() {
        assert_eq!(json_numbers(&[]), "[]");
        assert_eq!(json_numbers(&[1, -2]), "[1,-2]");
    }
}
