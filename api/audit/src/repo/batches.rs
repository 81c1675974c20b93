//! Batches: the records of one call, numbered together.

use std::ops::Range;

use api_store::{Engine, Tx, args};

use super::{from_db, json, to_db};
use crate::AuditError;
use crate::leaves::{self, Leaf};

/// The numbers that belong to one batch: the most records in a call.
pub(crate) const BATCH_SEQS: usize = 1 << 14;
/// Batches further apart than this are read apart.
const GAP_MAX: i64 = 4_096 << 14;

/// Consecutive records whose indices follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Batch {
    first_seq: i64,
    records: i64,
    first_index: i64,
}

impl Batch {
    /// The index of the record with this number; `None` if it is not one of the batch.
    pub(crate) const fn index_of(&self, seq: i64) -> Option<i64> {
        let place = seq - self.first_seq;
        if 0 <= place && place < self.records { Some(self.first_index + place) } else { None }
    }

    /// Whether the record with this number comes before all of the batch.
    pub(crate) const fn is_after(&self, seq: i64) -> bool {
        seq < self.first_seq
    }

    /// The numbers of its records.
    pub(crate) const fn seqs(&self) -> Range<i64> {
        self.first_seq..self.end()
    }

    const fn end(&self) -> i64 {
        self.first_seq + self.records
    }
}

/// A batch that just got its indices.
#[derive(sqlx::FromRow)]
pub(crate) struct Numbered {
    #[sqlx(flatten)]
    pub(crate) batch: Batch,
    leaves: Option<Vec<u8>>,
}

impl Numbered {
    /// What was kept with the batch for the sequencer; `None` with one from before that was kept.
    pub(crate) fn leaves(&self) -> Result<Option<Vec<Leaf>>, AuditError> {
        let Some(bytes) = &self.leaves else { return Ok(None) };
        let whole = |list: &Vec<Leaf>| list.len() as i64 == self.batch.records;
        let list = leaves::decode(bytes).filter(whole);
        let damaged =
            || AuditError::damaged(format!("the leaves of the batch {}", self.batch.first_seq));
        list.map(Some).ok_or_else(damaged)
    }
}

/// Opens a batch of `records`; answers the number of its first record. With an index it needs no
/// sequencing, otherwise `leaves` are what the sequencer will need of them.
pub(crate) async fn open(
    tx: &mut Tx,
    log: i64,
    records: usize,
    index: Option<u64>,
    leaves: Option<Vec<u8>>,
) -> Result<i64, AuditError> {
    let insert = match tx.engine() {
        Engine::Sqlite => {
            "INSERT INTO audit_batches (first_seq, log_id, records, first_index, leaves) \
             SELECT coalesce(max(first_seq), 0) + 16384, $1, $2, $3, $4 FROM audit_batches \
             RETURNING first_seq"
        }
        Engine::Postgres => {
            "INSERT INTO audit_batches (log_id, records, first_index, leaves) \
             VALUES ($1, $2, $3, $4) RETURNING first_seq"
        }
    };
    let index = index.map(to_db).transpose()?;
    let (first_seq,): (i64,) =
        tx.fetch_one(insert, args![log, to_db(records as u64)?, index, leaves]).await?;
    Ok(first_seq)
}

/// Undoes [`open`] and the insertion of its records, within the same transaction.
pub(crate) async fn undo(tx: &mut Tx, first_seq: i64) -> Result<(), AuditError> {
    let delete = "DELETE FROM audit_records WHERE seq >= $1 AND seq < $1 + 16384";
    tx.execute(delete, args![first_seq]).await?;
    tx.execute("DELETE FROM audit_batches WHERE first_seq = $1", args![first_seq]).await?;
    Ok(())
}

/// Gives indices from `base` up to the batches that have none, in the order in which they were
/// opened: as many whole batches as have `limit` records together, and at least one. Nobody else does so
/// meanwhile: [`super::trees::lock_log`].
pub(crate) async fn number(
    tx: &mut Tx,
    log: i64,
    base: u64,
    limit: u32,
) -> Result<Vec<Numbered>, AuditError> {
    let select = "SELECT b.first_seq, b.records, $1 + queue.upto - b.records AS first_index, b.leaves \
                  FROM ( \
                  SELECT first_seq, records, \
                  CAST(sum(records) OVER (ORDER BY first_seq) AS BIGINT) AS upto FROM ( \
                  SELECT first_seq, records FROM audit_batches \
                  WHERE log_id = $2 AND first_index IS NULL ORDER BY first_seq LIMIT $3 \
                  ) AS waiting) AS queue \
                  JOIN audit_batches AS b ON b.first_seq = queue.first_seq \
                  WHERE queue.upto <= $3 OR queue.upto = queue.records ORDER BY b.first_seq";
    let arguments = args![to_db(base)?, log, i64::from(limit.max(1))];
    let numbered: Vec<Numbered> = tx.fetch_all(select, arguments).await?;
    let update = match tx.engine() {
        Engine::Sqlite => {
            "UPDATE audit_batches SET first_index = j.value ->> 1, leaves = NULL \
             FROM json_each($1) AS j WHERE first_seq = j.value ->> 0"
        }
        Engine::Postgres => {
            "UPDATE audit_batches SET first_index = (j.value ->> 1)::BIGINT, leaves = NULL \
             FROM jsonb_array_elements($1::JSONB) AS j (value) \
             WHERE first_seq = (j.value ->> 0)::BIGINT"
        }
    };
    let list: Vec<_> =
        numbered.iter().map(|one| (one.batch.first_seq, one.batch.first_index)).collect();
    if !list.is_empty() {
        tx.execute(update, args![json(&list)?]).await?;
    }
    Ok(numbered)
}

/// The batches that hold the indices `from..to`, in the order of the log.
pub(crate) async fn holding(
    tx: &mut Tx,
    log: i64,
    from: u64,
    to: u64,
) -> Result<Vec<Batch>, AuditError> {
    let select = "SELECT first_seq, records, first_index FROM audit_batches \
                  WHERE log_id = $1 AND first_index < $3 AND first_index >= ( \
                  SELECT coalesce(max(first_index), 0) FROM audit_batches \
                  WHERE log_id = $1 AND first_index <= $2) ORDER BY first_index";
    Ok(tx.fetch_all(select, args![log, to_db(from)?, to_db(to)?]).await?)
}

/// Ranges of record numbers, each of consecutive batches that lie close together.
pub(crate) fn spans(batches: &[Batch]) -> Vec<(Range<i64>, &[Batch])> {
    let near = |one: &Batch, next: &Batch| {
        next.first_seq >= one.end() && next.first_seq - one.end() <= GAP_MAX
    };
    let range = |span: &[Batch]| {
        let start = span.first().map_or(0, |batch| batch.first_seq);
        start..span.last().map_or(0, Batch::end)
    };
    batches.chunk_by(near).map(|span| (range(span), span)).collect()
}

/// How many records the numbered batches say they have, and how many there are in them.
pub(crate) async fn numbered(tx: &mut Tx, log: i64) -> Result<(u64, u64), AuditError> {
    let said = "SELECT CAST(coalesce(sum(records), 0) AS BIGINT) FROM audit_batches \
                WHERE log_id = $1 AND first_index IS NOT NULL";
    let (said,): (i64,) = tx.fetch_one(said, args![log]).await?;
    let found = "SELECT count(*) FROM audit_records AS r \
                 JOIN audit_batches AS b ON b.first_seq = (r.seq & -16384) \
                 WHERE r.log_id = $1 AND b.first_index IS NOT NULL";
    let (found,): (i64,) = tx.fetch_one(found, args![log]).await?;
    Ok((from_db(said)?, from_db(found)?))
}

/// The first index at which a batch does not begin where the one before it ends.
pub(crate) async fn first_gap(tx: &mut Tx, log: i64) -> Result<Option<u64>, AuditError> {
    let select = "SELECT CASE WHEN next < upto THEN next ELSE upto END FROM ( \
                  SELECT first_index + records AS upto, \
                  lead(first_index) OVER (ORDER BY first_index) AS next FROM audit_batches \
                  WHERE log_id = $1 AND first_index IS NOT NULL) AS numbered \
                  WHERE next <> upto ORDER BY next LIMIT 1";
    let row: Option<(i64,)> = tx.fetch_optional(select, args![log]).await?;
    row.map(|(index,)| from_db(index)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: i64, records: i64, first_index: i64) -> Batch {
        Batch { first_seq: first << 14, records, first_index }
    }

    #[test]
    fn batches_that_lie_apart_or_backwards_are_read_apart() {
        let far = 9_000;
        let batches =
            [batch(5, 2, 0), batch(6, 1, 2), batch(9, 3, 3), batch(2, 1, 6), batch(far, 1, 7)];
        let spans = spans(&batches);
        let ranges: Vec<_> =
            spans.iter().map(|(range, span)| (range.clone(), span.len())).collect();
        assert_eq!(
            ranges,
            [
                (5 << 14..(9 << 14) + 3, 3),
                (2 << 14..(2 << 14) + 1, 1),
                (far << 14..(far << 14) + 1, 1)
            ]
        );
    }

    #[test]
    fn a_place_has_the_index_of_its_batch() {
        let batch = batch(5, 2, 70);
        assert_eq!(batch.index_of(5 << 14), Some(70));
        assert_eq!(batch.index_of((5 << 14) + 1), Some(71));
        assert_eq!(batch.index_of((5 << 14) + 2), None);
        assert_eq!(batch.index_of((5 << 14) - 1), None);
    }
}
