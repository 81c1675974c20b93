//! The examples run, and what they assert holds.

#[path = "../examples/accounts.rs"]
mod accounts;
#[path = "../examples/conversion.rs"]
mod conversion;
#[path = "../examples/pending.rs"]
mod pending;
#[path = "../examples/statement.rs"]
mod statement;

#[test]
fn accounts_and_a_transfer() -> anyhow::Result<()> {
    accounts::main()
}

#[test]
fn pending_money() -> anyhow::Result<()> {
    pending::main()
}

#[test]
fn a_statement_and_balances_of_other_times() -> anyhow::Result<()> {
    statement::main()
}

#[test]
fn a_conversion() -> anyhow::Result<()> {
    conversion::main()
}
