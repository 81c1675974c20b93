//! Balances of other times, statements and totals, on both engines.

use crate::common::Fixture;
use api_ledger::*;
use api_store::Engine;
use jiff::civil::date;

on_both_engines! {
    balances_of_other_times
    statements_add_up_and_pages_are_stable
    totals_follow_the_chart_of_accounts
}

async fn balances_of_other_times(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let before = f.now();
    f.sleep(60);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap(); // on March 1
    let after_first = f.now();
    f.sleep(86_400);
    // On March 2, but it counts for February 27.
    let late = f.transfer(2, bank, ann, 40).with_effective_on(date(2026, 2, 27));
    f.post(&late).await.unwrap();
    let after_second = f.now();
    // On March 2, but it counts for March 5.
    let early = f.transfer(3, ann, bank, 30).with_effective_on(date(2026, 3, 5));
    f.post(&early).await.unwrap();
    f.post(&f.pending(4, ann, bank, 7)).await.unwrap();
    f.sleep(86_400);
    f.post(&f.transfer(5, bank, ann, 1)).await.unwrap(); // on March 3

    let posted = async |as_of| f.balance_as_of(ann, as_of).await.posted().to_string();
    assert_eq!(posted(AsOf::Now).await, "111");
    assert_eq!(posted(AsOf::Recorded(before)).await, "0");
    assert_eq!(posted(AsOf::Recorded(after_first)).await, "100");
    assert_eq!(posted(AsOf::Recorded(f.now())).await, "111");
    let by_day = [(26, "0"), (27, "40"), (28, "40")];
    for (day, expected) in by_day {
        assert_eq!(posted(AsOf::Effective(date(2026, 2, day))).await, expected, "February {day}");
    }
    for (day, expected) in [(1, "140"), (2, "140"), (3, "141"), (4, "141"), (5, "111")] {
        assert_eq!(posted(AsOf::Effective(date(2026, 3, day))).await, expected, "March {day}");
    }
    let bitemporal = |effective, recorded| AsOf::Bitemporal { effective, recorded };
    assert_eq!(posted(bitemporal(date(2026, 2, 28), after_first)).await, "0");
    assert_eq!(posted(bitemporal(date(2026, 2, 28), after_second)).await, "40");
    assert_eq!(posted(bitemporal(date(2026, 3, 9), after_first)).await, "100");
    f.assert_clean().await;
}

async fn statements_add_up_and_pages_are_stable(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    for n in 1..=10 {
        f.sleep(60);
        f.post(&f.transfer(n, bank, ann, n)).await.unwrap();
        f.post(&f.pending(100 + n, ann, bank, 1)).await.unwrap();
    }
    let half = f.now();
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let mut tx = f.begin().await;
        let page = StatementPage { after, limit: 3 };
        let statement = f.ledger.statement(&mut tx, ann, page).await.unwrap();
        tx.rollback().await.unwrap();
        let next = statement.next;
        pages.push(statement);
        // Writes between the pages only ever add to the end.
        f.sleep(60);
        let n = 200 + u128::try_from(pages.len()).unwrap();
        f.post(&f.transfer(n, ann, bank, 1)).await.unwrap();
        match next {
            Some(cursor) if pages.len() < 4 => after = cursor,
            _ => break,
        }
    }
    for pair in pages.windows(2) {
        assert_eq!(pair[0].closing, pair[1].opening);
    }
    for page in &pages {
        let mut balance = page.opening.totals;
        for line in &page.lines {
            match line.side {
                Side::Debit => balance.debits_posted += line.amount,
                Side::Credit => balance.credits_posted += line.amount,
            }
            assert_eq!(balance, line.balance.totals);
            assert_eq!(line.other, bank);
        }
        assert_eq!(balance, page.closing.totals, "opening + movements = closing");
    }
    let amounts: Vec<u128> =
        pages.iter().flat_map(|page| page.lines.iter().map(|line| line.amount)).collect();
    assert_eq!(amounts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 1]);

    let mut tx = f.begin().await;
    let cursor = f.ledger.statement_cursor(&mut tx, ann, half).await.unwrap();
    let page = StatementPage { after: cursor, limit: 100 };
    let rest = f.ledger.statement(&mut tx, ann, page).await.unwrap();
    assert_eq!(rest.opening.posted().or_zero(), 55);
    assert_eq!(rest.lines.len(), 4);
}

async fn totals_follow_the_chart_of_accounts(engine: Engine) {
    let f = Fixture::new(engine).await;
    let bank = f.bank().await;
    for (n, name) in (1..).zip(["ann", "bob", "cid"]) {
        let customer = f.customer(name).await;
        f.post(&f.transfer(n, bank, customer, 10 * n)).await.unwrap();
    }
    let dollars = NewAccount::new(f.tenant, "customer:ann:available", "USD", Side::Credit);
    f.open(dollars).await;
    f.open(NewAccount::new(f.tenant, "customers", "EUR", Side::Credit)).await;
    let mut tx = f.begin().await;
    let mut totals = async |code| f.ledger.account_totals(&mut tx, f.tenant, code).await.unwrap();
    let customers = totals("customer").await;
    let counts: Vec<_> = customers.iter().map(|sum| (sum.asset.as_str(), sum.accounts)).collect();
    assert_eq!(counts, [("EUR", 3), ("USD", 1)], "`customers` is not below `customer`");
    assert_eq!(customers[0].totals.credits_posted, 60);
    assert_eq!(totals("customer:bob").await[0].totals.credits_posted, 20);
    let all = totals("").await;
    assert_eq!(all[0].accounts, 5);
    assert_eq!(all[0].totals.debits_posted, all[0].totals.credits_posted);
    assert!(totals("nobody").await.is_empty());
}
