//! What can be read: flags, balances of all times, statements, transfers and events.

use api_ledger::*;
use api_store::Tx;
use jiff::{Span, Timestamp};
use rand::Rng as _;

use super::all_accounts;
use super::generator::Generator;
use crate::naive::{Entry, Naive, day_of};

/// Some questions at random, and their answers by the naive ledger.
pub(super) async fn compare(
    ledger: &Ledger,
    tx: &mut Tx,
    naive: &Naive,
    generator: &mut Generator,
    start: i64,
) {
    for (account, _) in all_accounts(ledger, tx, generator.tenants).await {
        compare_terms(&account, naive);
    }
    let id = generator.pick(&generator.accounts.concat());
    compare_limits(ledger, tx, naive, id).await;
    if naive.accounts[&id].history {
        other_times(ledger, tx, naive, generator, start, id).await;
        statement(ledger, tx, naive, generator, start, id).await;
    } else {
        let asked = AsOf::Recorded(Timestamp::from_second(generator.now).unwrap());
        let refused = ledger.balance(tx, id, asked).await;
        assert!(matches!(refused, Err(LedgerError::NoHistory)), "{refused:?}");
    }
    if !generator.sent.is_empty() {
        let sent = generator.pick(&generator.sent.clone());
        for tenant in generator.tenants {
            stored(ledger, tx, naive, tenant, sent.id).await;
        }
    }
}

fn compare_terms(found: &Account, naive: &Naive) {
    let expected = &naive.accounts[&found.id];
    assert_eq!((found.frozen, found.closed), (expected.frozen, expected.closed), "{found:?}");
    let floor = match found.floor {
        Floor::Zero => Some(0),
        Floor::At(minor) => Some(minor),
        Floor::None => None,
    };
    assert_eq!((found.tenant, floor), (expected.tenant, expected.floor), "{found:?}");
}

async fn compare_limits(ledger: &Ledger, tx: &mut Tx, naive: &Naive, id: AccountId) {
    let mut limits = ledger.limits(tx, id).await.unwrap();
    limits.sort_unstable_by_key(|limit| limit.window_secs);
    let mut expected = naive.accounts[&id].limits.clone();
    expected.sort_unstable_by_key(|limit| limit.window_secs);
    assert_eq!(limits, expected, "{id}");
}

/// Balances as of a time of recording, of a day, and of both.
async fn other_times(
    ledger: &Ledger,
    tx: &mut Tx,
    naive: &Naive,
    generator: &mut Generator,
    start: i64,
    id: AccountId,
) {
    for _ in 0..2 {
        let second = generator.random.random_range(start - 10..generator.now + 10);
        let days = Span::new().days(generator.random.random_range(-5..=5));
        let day = day_of(second) + days;
        let time = Timestamp::from_second(second).unwrap();
        let both = AsOf::Bitemporal { effective: day, recorded: time };
        let questions = [
            (AsOf::Recorded(time), naive.posted(id, |accepted| accepted.at <= second)),
            (AsOf::Effective(day), naive.posted(id, |accepted| accepted.day() <= day)),
            (both, naive.posted(id, |of| of.at <= second && of.day() <= day)),
        ];
        for (as_of, expected) in questions {
            let found = ledger.balance(tx, id, as_of).await.unwrap();
            assert_eq!(found.totals, expected, "{id} {as_of:?}");
        }
    }
}

/// Page by page, and the part after a time.
async fn statement(
    ledger: &Ledger,
    tx: &mut Tx,
    naive: &Naive,
    generator: &mut Generator,
    start: i64,
    id: AccountId,
) {
    let expected = naive.statement(id);
    let limit = generator.random.random_range(9..60);
    assert_eq!(pages(ledger, tx, id, 0, limit).await, (Totals::default(), expected.clone()));

    let second = generator.random.random_range(start - 10..generator.now + 10);
    let time = Timestamp::from_second(second).unwrap();
    let cursor = ledger.statement_cursor(tx, id, time).await.unwrap();
    let opening = naive.posted(id, |accepted| accepted.at <= second);
    let rest = expected.iter().filter(|entry| entry.recorded_at > second).cloned().collect();
    assert_eq!(pages(ledger, tx, id, cursor, limit).await, (opening, rest), "{id} after {time}");
    let until = expected.iter().filter(|entry| entry.recorded_at <= second).cloned().collect();
    let back = pages_back(ledger, tx, id, cursor + 1, limit).await;
    assert_eq!(back, (opening, until), "{id} before {time}");
    assert_eq!(pages_back(ledger, tx, id, i64::MAX, limit).await.1, expected);
}

/// The closing totals and all lines before `before`, oldest first although they were read newest first.
async fn pages_back(
    ledger: &Ledger,
    tx: &mut Tx,
    id: AccountId,
    mut before: i64,
    limit: u32,
) -> (Totals, Vec<Entry>) {
    let (mut closing, mut opening, mut entries) = (None, None, Vec::<Entry>::new());
    loop {
        let statement = ledger.statement_before(tx, id, before, limit).await.unwrap();
        closing.get_or_insert(statement.closing.totals);
        assert_eq!(opening.unwrap_or(statement.closing), statement.closing);
        let newest = statement.lines.first().map_or(statement.opening, |line| line.balance);
        assert_eq!(statement.closing, newest);
        entries.extend(statement.lines.iter().map(Entry::from));
        opening = Some(statement.opening);
        match statement.next {
            Some(next) => {
                assert_eq!(statement.lines.len(), limit as usize, "only the last page is short");
                before = next;
            }
            None => {
                assert_eq!(statement.opening.totals, Totals::default(), "the beginning");
                entries.reverse();
                return (closing.unwrap(), entries);
            }
        }
    }
}

/// The opening totals and all lines after `after`. What is between two pages is told twice, and the same.
async fn pages(
    ledger: &Ledger,
    tx: &mut Tx,
    id: AccountId,
    mut after: i64,
    limit: u32,
) -> (Totals, Vec<Entry>) {
    let (mut opening, mut entries) = (None, Vec::<Entry>::new());
    let mut closing = None;
    loop {
        let page = StatementPage { after, limit };
        let statement = ledger.statement(tx, id, page).await.unwrap();
        opening.get_or_insert(statement.opening.totals);
        assert_eq!(closing.unwrap_or(statement.opening), statement.opening);
        entries.extend(statement.lines.iter().map(Entry::from));
        let last = entries.last().map_or(opening.unwrap(), |entry| entry.totals);
        assert_eq!(statement.closing.totals, last);
        closing = Some(statement.closing);
        match statement.next {
            Some(next) => {
                assert_eq!(statement.lines.len(), limit as usize, "only the last page is short");
                after = next;
            }
            None => return (opening.unwrap(), entries),
        }
    }
}

async fn stored(ledger: &Ledger, tx: &mut Tx, naive: &Naive, tenant: TenantId, id: TransferId) {
    let found = ledger.transfer(tx, tenant, id).await.unwrap();
    let found = found.map(|stored| {
        let leg =
            |leg: &StoredLeg| Leg { debit: leg.debit, credit: leg.credit, amount: leg.amount };
        let legs: Vec<Leg> = stored.legs.iter().map(leg).collect();
        (legs, stored.effective_on, stored.recorded_at.as_second(), stored.code, stored.reference)
    });
    let expected = naive.find(tenant, id).map(|known| {
        let Transfer { code, reference, .. } = known.request.clone();
        (known.legs.clone(), known.day(), known.at, code, reference)
    });
    assert_eq!(found, expected, "{id} of {tenant}");
}

/// Each tenant is told about its own transfers, in the order in which they were accepted.
pub(super) async fn compare_events(ledger: &Ledger, naive: &Naive, tenants: [TenantId; 2]) {
    while ledger.place_events(100).await.unwrap() > 0 {}
    for tenant in tenants {
        let own = |request: &&Transfer| request.tenant == tenant;
        let accepted = naive.accepted.iter().map(|accepted| &accepted.request).filter(own);
        let expected: Vec<String> = accepted.map(|request| request.id.to_string()).collect();
        let mut tx = ledger.db().read().await.unwrap();
        let (mut told, mut after) = (Vec::new(), 0);
        loop {
            let events = ledger.events(&mut tx, tenant, after, 50).await.unwrap();
            let Some(last) = events.last() else { break };
            after = last.sequence;
            told.extend(events.into_iter().map(|event| event.subject));
            assert_eq!(told.len() as i64, after, "no gaps");
        }
        assert_eq!(told, expected);
    }
}
