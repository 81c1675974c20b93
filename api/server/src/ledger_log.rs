//! Commits of the ledger in the audit log: one record for each tenant and commit, in the commit's own
//! transaction, with a hash over every transfer in it. A record for each transfer would cost more than
//! the transfer; this way each is still bound, and `docs/API-LEDGER.md` says how to compute the hash.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;

use api_audit::{AuditError, Logs, Record};
use api_ledger::{Recorder, StoredTransfer, TenantId};
use api_store::{StoreError, Tx};
use sha2::{Digest as _, Sha256};

/// The bits of a transfer's place that count within a commit.
const SEQ_BITS: u32 = 20;

/// Writes the records.
#[derive(Debug)]
pub(crate) struct LedgerLog {
    audit: Logs,
}

impl LedgerLog {
    pub(crate) const fn new(audit: Logs) -> Self {
        Self { audit }
    }

    async fn write(
        &self,
        tx: &mut Tx,
        posted: &[(TenantId, StoredTransfer)],
    ) -> Result<(), StoreError> {
        let mut tenants: Vec<TenantId> = posted.iter().map(|(tenant, _)| *tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let of = |tenant: TenantId| {
            let own = posted.iter().filter(move |(owner, _)| *owner == tenant);
            own.map(|(_, transfer)| transfer)
        };
        let records: Vec<Record> =
            tenants.into_iter().filter_map(|tenant| record(tenant, of(tenant))).collect();
        // They are named after the commit's number, which was drawn just now.
        match self.audit.append_new_in(tx, &records).await {
            Ok(_) => Ok(()),
            Err(AuditError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Damaged(format!("audit record: {error}"))),
        }
    }
}

impl Recorder for LedgerLog {
    fn record<'a>(
        &'a self,
        tx: &'a mut Tx,
        posted: &'a [(TenantId, StoredTransfer)],
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
        Box::pin(self.write(tx, posted))
    }
}

fn record<'a>(
    tenant: TenantId,
    transfers: impl Iterator<Item = &'a StoredTransfer>,
) -> Option<Record> {
    let mut hash = Sha256::new();
    let (mut count, mut first) = (0_u64, None);
    for transfer in transfers {
        hash.update(line(transfer));
        count = count.saturating_add(1);
        first = first.or(Some(transfer));
    }
    let first = first?;
    let commit = commit(first.seq);
    let record = Record::new("ledger.commit", first.recorded_at.as_millisecond())
        .external_id(tenant.to_string(), external_id(commit))
        .field("commit", commit.to_string())
        .field("transfers", count.to_string())
        .field("sha256", hex::encode(hash.finalize()));
    Some(record)
}

/// The commit that a transfer at this place came with.
pub(crate) const fn commit(seq: i64) -> i64 {
    seq >> SEQ_BITS
}

/// The name of a commit's record in its tenant.
pub(crate) fn external_id(commit: i64) -> String {
    format!("ledger-commit:{commit}")
}

/// A transfer as it is hashed: fields with a tab after each, legs with a semicolon, and a line feed. No
/// text of a transfer has control characters.
fn line(transfer: &StoredTransfer) -> String {
    let mut line = format!("{}\t{}\t{}\t", transfer.seq, transfer.id, transfer.kind.name());
    for leg in &transfer.legs {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}>{}:{};", leg.credit, leg.debit, leg.amount);
    }
    let target = transfer.target.map(|target| target.to_string()).unwrap_or_default();
    let _ = writeln!(
        line,
        "\t{target}\t{}\t{}\t{}",
        transfer.effective_on, transfer.code, transfer.reference
    );
    line
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use api_ledger::{AccountId, Kind, StoredLeg, TransferId};
    use jiff::Timestamp;
    use jiff::civil::date;
    use uuid::Uuid;

    use super::*;

    fn transfer(id: u128, seq: i64) -> StoredTransfer {
        let leg =
            |amount| StoredLeg { debit: AccountId::new(17), credit: AccountId::new(18), amount };
        StoredTransfer {
            id: TransferId::from_u128(id),
            seq,
            kind: Kind::Reversal,
            legs: vec![leg(5), leg(u128::MAX)],
            target: Some(TransferId::from_u128(9)),
            expires_at: None,
            code: "sale".to_owned(),
            reference: "receipt 4711".to_owned(),
            effective_on: date(2026, 1, 31),
            recorded_at: Timestamp::from_millisecond(1_772_366_400_123).unwrap(),
        }
    }

    #[test]
    fn a_commit_is_bound_by_the_hash_of_its_lines() {
        let (one, two) = (transfer(1, 3 << 20), transfer(2, (3 << 20) + 2));
        assert_eq!(
            line(&one),
            "3145728\t00000000-0000-0000-0000-000000000001\treversal\t\
             18>17:5;18>17:340282366920938463463374607431768211455;\t\
             00000000-0000-0000-0000-000000000009\t2026-01-31\tsale\treceipt 4711\n"
        );
        let tenant = TenantId::new(Uuid::from_u128(7));
        let sha256 = hex::encode(Sha256::digest(line(&one) + &line(&two)));
        let expected = Record::new("ledger.commit", 1_772_366_400_123)
            .external_id(tenant.to_string(), "ledger-commit:3")
            .field("commit", "3")
            .field("transfers", "2")
            .field("sha256", sha256);
        assert_eq!(record(tenant, [&one, &two].into_iter()), Some(expected));
        assert_eq!(record(tenant, std::iter::empty()), None);
    }
}
