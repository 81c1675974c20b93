use api_store::{Db, Tx, args};

const LOANS_SQLITE: &str = "
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
    INSERT INTO loans SELECT substr(id, 1, 24) || printf('%012x', i), tenant_id, product_id,
        borrower, borrower_key, contract, accounts, head, posted, posted_on, running, created_at
    FROM loans, n";
const EVENTS_SQLITE: &str = "
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
    INSERT INTO loan_events SELECT substr(loan_id, 1, 24) || printf('%012x', i), seq, tenant_id,
        substr(id, 1, 24) || printf('%012x', i), effective_on, body, cash_account, transfer_id,
        moved, recorded_at
    FROM loan_events, n";
const LOANS_POSTGRES: &str = "
    INSERT INTO loans SELECT substr(id, 1, 24) || lpad(to_hex(i), 12, '0'), tenant_id, product_id,
        borrower, borrower_key, contract, accounts, head, posted, posted_on, running, created_at
    FROM loans, generate_series(1, $1::bigint) AS n (i)";
const EVENTS_POSTGRES: &str = "
    INSERT INTO loan_events SELECT substr(loan_id, 1, 24) || lpad(to_hex(i), 12, '0'), seq,
        tenant_id, substr(id, 1, 24) || lpad(to_hex(i), 12, '0'), effective_on, body,
        cash_account, transfer_id, moved, recorded_at
    FROM loan_events, generate_series(1, $1::bigint) AS n (i)";

/// Copies every loan and its events `copies` times.
pub(crate) async fn copy_loans(db: &Db, copies: u64) -> anyhow::Result<()> {
    if copies == 0 {
        return Ok(());
    }
    let copies = i64::try_from(copies)?;
    let mut tx = db.begin().await?;
    let (loans, events) = match &tx {
        Tx::Sqlite(_) => (LOANS_SQLITE, EVENTS_SQLITE),
        Tx::Postgres(_) => (LOANS_POSTGRES, EVENTS_POSTGRES),
    };
    tx.execute(loans, args![copies]).await?;
    tx.execute(events, args![copies]).await?;
    tx.commit().await?;
    Ok(())
}
