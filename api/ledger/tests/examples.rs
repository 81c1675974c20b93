//! The examples run, and what they assert holds.

#[path = "../examples/accounts.rs"]
mod accounts;
#[path = "../examples/conversion.rs"]
mod conversion;
#[path = "../examples/events.rs"]
mod events;
#[path = "../examples/group_commit.rs"]
mod group_commit;
#[path = "../examples/limits.rs"]
mod limits;
#[path = "../examples/pending.rs"]
mod pending;
#[path = "../examples/reversal.rs"]
mod reversal;
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

#[test]
fn one_commit_for_many_callers_and_groups() -> anyhow::Result<()> {
    group_commit::main()
}

#[test]
fn a_dry_run_and_a_reversal() -> anyhow::Result<()> {
    reversal::main()
}

#[test]
fn limits_of_an_account() -> anyhow::Result<()> {
    limits::main()
}

#[test]
fn events_and_the_check() -> anyhow::Result<()> {
    events::main()
}
