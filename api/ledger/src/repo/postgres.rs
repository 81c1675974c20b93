//! The hot path on PostgreSQL: each statement takes whole columns as arrays.

use sqlx::PgConnection;

use super::{
    Commit, Keeper, LockedRow, Mark, SEQ_BITS, StoredRow, all_updated, events, first_seq, holds,
    marks,
};
use crate::book::{Book, ChainLink, Row, Standing};
use crate::bytes::encode;
use crate::{AccountId, LedgerError, TenantId, Totals, TransferId};

macro_rules! select_accounts {
    ($end:literal) => {
        concat!(
            "SELECT b.account, CAST(a.book AS BIGINT), k.tenant, a.asset, CAST(a.side AS BIGINT),
                 CAST(b.flags AS BIGINT), b.floor, b.debits_posted, b.credits_posted,
                 b.debits_pending, b.credits_pending, b.changed_at, b.last_seq, b.legs, b.commit_id
             FROM ledger_balances AS b
             JOIN ledger_accounts AS a ON a.key = b.account
             JOIN ledger_books AS k ON k.key = a.book
             WHERE b.account = ANY ($1) ",
            $end
        )
    };
}

pub(super) async fn lock_accounts(
    connection: &mut PgConnection,
    numbers: &[i64],
) -> Result<Vec<LockedRow>, LedgerError> {
    let sql = select_accounts!("ORDER BY b.account FOR NO KEY UPDATE OF b");
    Ok(sqlx::query_as(sql).bind(numbers).fetch_all(connection).await?)
}

pub(super) async fn load_accounts(
    connection: &mut PgConnection,
    numbers: &[i64],
) -> Result<Vec<LockedRow>, LedgerError> {
    Ok(sqlx::query_as(select_accounts!("")).bind(numbers).fetch_all(connection).await?)
}

pub(super) async fn stored(
    connection: &mut PgConnection,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<StoredRow>, LedgerError> {
    let (tenants, ids) = columns(ids);
    let rows = sqlx::query_as(
        // The LIMIT (a transfer has 100 legs at most) keeps the planner from joining in another
        // way than by the index, which a plan made for a small table would do.
        "SELECT k.tenant, t.seq, CAST(t.book AS BIGINT), t.id, CAST(t.leg AS BIGINT),
             CAST(t.kind AS BIGINT), t.debit, t.credit, t.amount, CAST(t.effective_on AS BIGINT),
             t.expires_at, t.target, t.code, t.reference, t.recorded_at
         FROM unnest($1::text[], $2::bytea[]) AS q (tenant, id)
         JOIN ledger_books AS k ON k.tenant = q.tenant
         CROSS JOIN LATERAL (
             SELECT r.*, c.recorded_at FROM ledger_transfers AS r
             JOIN ledger_commits AS c ON c.id = r.seq >> 20
             WHERE r.book = k.key AND r.id = q.id ORDER BY r.leg LIMIT 100
         ) AS t",
    );
    Ok(rows.bind(tenants).bind(ids).fetch_all(connection).await?)
}

pub(super) async fn ended(
    connection: &mut PgConnection,
    ids: &[(TenantId, TransferId)],
) -> Result<Vec<(String, Vec<u8>, i64)>, LedgerError> {
    let (tenants, ids) = columns(ids);
    let rows = sqlx::query_as(
        "SELECT k.tenant, t.target, CAST(t.kind AS BIGINT)
         FROM unnest($1::text[], $2::bytea[]) AS q (tenant, id)
         JOIN ledger_books AS k ON k.tenant = q.tenant
         CROSS JOIN LATERAL (
             SELECT r.target, r.kind FROM ledger_transfers AS r
             WHERE r.book = k.key AND r.target = q.id AND r.leg = 0 LIMIT 1
         ) AS t",
    );
    Ok(rows.bind(tenants).bind(ids).fetch_all(connection).await?)
}

fn columns(ids: &[(TenantId, TransferId)]) -> (Vec<String>, Vec<Vec<u8>>) {
    ids.iter().map(|(tenant, id)| (tenant.to_string(), id.as_bytes().to_vec())).unzip()
}

/// What the first row of a commit has for a `seq` as long as the commit has no number: below zero, up to
/// -1. To be added is the `seq` with which the next commit would begin.
const RELATIVE: i64 = -(1 << SEQ_BITS);

/// Writes what `book` decided, by one statement (and others for what is pending), which draws the number
/// of the commit too.
pub(super) async fn write(
    connection: &mut PgConnection,
    book: &Book,
    keeper: Keeper,
) -> Result<Option<Commit>, LedgerError> {
    fn column<'r, T>(rows: &'r [Row], value: impl Fn(&'r Row) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let rows = book.rows();
    if rows.is_empty() {
        return Ok(None);
    }
    let prev = |link: Option<ChainLink>| link.map(|link| link.prev.seq(RELATIVE));
    let (standings, new_marks) = match keeper {
        Keeper::Balances => (book.standings(0, RELATIVE), marks(rows, RELATIVE)),
        Keeper::Tail => (Vec::new(), Vec::new()),
    };
    let (marked, marks) = mark_columns(&new_marks);
    let (tenants, counts): (Vec<String>, Vec<i64>) = events(rows).into_iter().unzip();
    let query = sqlx::query_as(
        "WITH c AS (
             INSERT INTO ledger_commits (recorded_at) VALUES ($1) RETURNING id
         ), new_transfers AS (
             INSERT INTO ledger_transfers (seq, book, id, leg, kind, debit, credit, amount,
                 effective_on, expires_at, target, code, reference, debit_debits, debit_credits,
                 credit_debits, credit_credits, debit_prev, credit_prev)
             SELECT (c.id << 20) + r.number - 1, r.book, r.id, r.leg, r.kind, r.debit,
                 r.credit, r.amount, r.effective_on, r.expires_at, r.target, r.code, r.reference,
                 r.debit_debits, r.debit_credits, r.credit_debits, r.credit_credits,
                 r.debit_prev + CASE WHEN r.debit_prev < 0 THEN (c.id + 1) << 20 ELSE 0 END,
                 r.credit_prev + CASE WHEN r.credit_prev < 0 THEN (c.id + 1) << 20 ELSE 0 END
             FROM c, unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[], $10::bigint[],
                 $11::bytea[], $12::text[], $13::text[], $14::bytea[], $15::bytea[],
                 $16::bytea[], $17::bytea[], $18::bigint[], $19::bigint[])
                 WITH ORDINALITY AS r (book, id, leg, kind, debit,
                 credit, amount, effective_on, expires_at, target, code, reference, debit_debits,
                 debit_credits, credit_debits, credit_credits, debit_prev, credit_prev, number)
         ), new_marks AS (
             INSERT INTO ledger_marks (account, seq)
             SELECT m.account, ((c.id + 1) << 20) + m.seq
             FROM c, unnest($20::bigint[], $21::bigint[]) AS m (account, seq)
         ), new_events AS (
             INSERT INTO events_outbox (tenant, kind, subject, body, commit_id, count, created_at)
             SELECT e.tenant, 'ledger', '', '', c.id, e.count, $1
             FROM c, unnest($22::text[], $23::bigint[]) AS e (tenant, count)
         ), updated AS (
             UPDATE ledger_balances AS b SET debits_posted = n.debits_posted,
                 credits_posted = n.credits_posted, debits_pending = n.debits_pending,
                 credits_pending = n.credits_pending, changed_at = n.changed_at,
                 last_seq = n.last_seq + CASE WHEN n.last_seq < 0 THEN (c.id + 1) << 20 ELSE 0 END,
                 legs = n.legs, commit_id = c.id
             FROM c, unnest($24::bigint[], $25::bytea[], $26::bytea[], $27::bytea[], $28::bytea[],
                 $29::bigint[], $30::bigint[], $31::bigint[]) AS n (account, debits_posted,
                 credits_posted, debits_pending, credits_pending, changed_at, last_seq, legs)
             WHERE b.account = ANY ($24) AND b.account = n.account AND b.commit_id < c.id
             RETURNING 1
         )
         SELECT c.id, (SELECT COUNT(*) FROM updated) FROM c",
    );
    let (id, updated): (i64, i64) = query
        .bind(book.now())
        .bind(column(rows, |row| row.book))
        .bind(column(rows, |row| row.id.as_bytes().as_slice()))
        .bind(column(rows, |row| row.leg))
        .bind(column(rows, |row| row.kind.number()))
        .bind(column(rows, |row| row.debit.get()))
        .bind(column(rows, |row| row.credit.get()))
        .bind(column(rows, |row| encode(row.amount)))
        .bind(column(rows, |row| row.effective_on))
        .bind(column(rows, |row| row.expires_at))
        .bind(column(rows, |row| row.target.map(|target| target.as_bytes().to_vec())))
        .bind(column(rows, |row| row.code.as_str()))
        .bind(column(rows, |row| row.reference.as_str()))
        .bind(column(rows, |row| row.debit_after.map(|(debits, _)| encode(debits))))
        .bind(column(rows, |row| row.debit_after.map(|(_, credits)| encode(credits))))
        .bind(column(rows, |row| row.credit_after.map(|(debits, _)| encode(debits))))
        .bind(column(rows, |row| row.credit_after.map(|(_, credits)| encode(credits))))
        .bind(column(rows, |row| prev(row.debit_link)))
        .bind(column(rows, |row| prev(row.credit_link)))
        .bind(marked)
        .bind(marks)
        .bind(tenants)
        .bind(counts)
        .bind(account_column(&standings))
        .bind(totals_column(&standings, |totals| totals.debits_posted))
        .bind(totals_column(&standings, |totals| totals.credits_posted))
        .bind(totals_column(&standings, |totals| totals.debits_pending))
        .bind(totals_column(&standings, |totals| totals.credits_pending))
        .bind(number_column(&standings, |standing| standing.changed_at))
        .bind(number_column(&standings, |standing| standing.last_seq))
        .bind(number_column(&standings, |standing| standing.legs))
        .fetch_one(&mut *connection)
        .await?;
    all_updated(&standings, updated.unsigned_abs())?;
    write_holds(connection, rows).await?;
    Ok(Some(Commit { id, first_seq: first_seq(id)? }))
}

fn account_column(states: &[(AccountId, Standing)]) -> Vec<i64> {
    states.iter().map(|(account, _)| account.get()).collect()
}

fn number_column(states: &[(AccountId, Standing)], value: fn(&Standing) -> i64) -> Vec<i64> {
    states.iter().map(|(_, standing)| value(standing)).collect()
}

fn totals_column(states: &[(AccountId, Standing)], value: fn(&Totals) -> u128) -> Vec<Vec<u8>> {
    states.iter().map(|(_, standing)| encode(value(&standing.totals))).collect()
}

/// Brings the rows of these accounts up to date, where they are older; returns how many were. The numbers
/// are given twice, so that the rows are found by the index, whatever the planner knows of the table.
pub(super) async fn fold(
    connection: &mut PgConnection,
    states: &[(AccountId, Standing)],
) -> Result<u64, LedgerError> {
    let sql = "UPDATE ledger_balances AS b SET debits_posted = n.debits_posted,
             credits_posted = n.credits_posted, debits_pending = n.debits_pending,
             credits_pending = n.credits_pending, changed_at = n.changed_at,
             last_seq = n.last_seq, legs = n.legs, commit_id = n.commit_id
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[],
             $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[]) AS n (account, debits_posted,
             credits_posted, debits_pending, credits_pending, changed_at, last_seq, legs, commit_id)
         WHERE b.account = ANY ($1) AND b.account = n.account AND b.commit_id < n.commit_id";
    let updated = sqlx::query(sql)
        .bind(account_column(states))
        .bind(totals_column(states, |totals| totals.debits_posted))
        .bind(totals_column(states, |totals| totals.credits_posted))
        .bind(totals_column(states, |totals| totals.debits_pending))
        .bind(totals_column(states, |totals| totals.credits_pending))
        .bind(number_column(states, |standing| standing.changed_at))
        .bind(number_column(states, |standing| standing.last_seq))
        .bind(number_column(states, |standing| standing.legs))
        .bind(number_column(states, |standing| standing.commit))
        .execute(connection)
        .await?;
    Ok(updated.rows_affected())
}

fn mark_columns(marks: &[Mark]) -> (Vec<i64>, Vec<i64>) {
    marks.iter().map(|(account, seq)| (account.get(), *seq)).unzip()
}

/// Adds these marks, where they are missing.
pub(super) async fn insert_marks(
    connection: &mut PgConnection,
    marks: &[Mark],
) -> Result<(), LedgerError> {
    if marks.is_empty() {
        return Ok(());
    }
    let (accounts, seqs) = mark_columns(marks);
    let sql = "INSERT INTO ledger_marks (account, seq)
         SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(accounts).bind(seqs).execute(connection).await?;
    Ok(())
}

async fn write_holds(connection: &mut PgConnection, rows: &[Row]) -> Result<(), LedgerError> {
    let (opened, ended) = holds(rows);
    if !opened.is_empty() {
        sqlx::query(
            "INSERT INTO ledger_holds (book, id, expires_at)
             SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[])",
        )
        .bind(opened.iter().map(|row| row.book).collect::<Vec<_>>())
        .bind(opened.iter().map(|row| row.id.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(opened.iter().map(|row| row.expires_at).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    if !ended.is_empty() {
        sqlx::query(
            "DELETE FROM ledger_holds AS h USING unnest($1::bigint[], $2::bytea[]) AS e (book, id)
             WHERE h.book = e.book AND h.id = e.id",
        )
        .bind(ended.iter().map(|(book, _)| *book).collect::<Vec<_>>())
        .bind(ended.iter().map(|(_, id)| id.as_bytes().to_vec()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    }
    Ok(())
}
