//! What clients may touch, the chart as a tree, and the list of a tenant's transfers.

use api_ledger::*;

use crate::common::Fixture;

async fn clients_move_money_only_between_accounts_that_are_for_them(engine: api_store::Engine) {
    let fixture = Fixture::new(engine).await;
    let (bank, ann) = (fixture.bank().await, fixture.customer("ann").await);
    let own = |code: &str| {
        NewAccount::new(fixture.tenant, code, "EUR", Side::Credit)
            .with_floor(Floor::None)
            .for_clients()
    };
    let cash = fixture.open(own("cash")).await;
    let sales = fixture.open(own("sales")).await;
    fixture.post(&fixture.transfer(1, bank, ann, 100)).await.unwrap();
    fixture.post(&fixture.pending(2, ann, bank, 60)).await.unwrap();

    let managed = Err(Refusal::AccountManaged);
    for (id, debit, credit) in [(10, ann, cash), (11, cash, ann), (12, ann, bank)] {
        let transfer = fixture.transfer(id, debit, credit, 1).by_client();
        assert_eq!(fixture.post(&transfer).await, managed);
        let pending = fixture.pending(id, debit, credit, 1).by_client();
        assert_eq!(fixture.post(&pending).await, managed);
    }
    let id = TransferId::from_u128;
    let tenant = fixture.tenant;
    for attempt in [
        Transfer::post_pending(tenant, id(20), id(2)),
        Transfer::post_pending_part(tenant, id(21), id(2), vec![1]),
        Transfer::void_pending(tenant, id(22), id(2)),
        Transfer::reverse(tenant, id(23), id(1)),
    ] {
        assert_eq!(fixture.post(&attempt.clone().by_client()).await, managed, "{attempt:?}");
    }
    let mixed = vec![
        Leg { debit: cash, credit: sales, amount: 5 },
        Leg { debit: ann, credit: cash, amount: 5 },
    ];
    let mixed = Transfer::new(tenant, id(24), mixed).by_client();
    let second = Refusal::AtLeg { leg: 1, cause: Box::new(Refusal::AccountManaged) };
    assert_eq!(fixture.post(&mixed).await, Err(second));
    assert_eq!(fixture.balance(cash).await.totals, Totals::default());

    let taken = Transfer::new(
        tenant,
        TransferId::reserved([7; 12]),
        vec![Leg { debit: cash, credit: sales, amount: 1 }],
    );
    assert_eq!(fixture.post(&taken.clone().by_client()).await, Err(Refusal::ReservedId));
    fixture.post(&fixture.transfer(30, cash, sales, 5).by_client()).await.unwrap();
    let back = Transfer::reverse(tenant, id(31), id(30)).by_client();
    fixture.post(&back).await.unwrap();
    // The program itself is not held back by any of this.
    fixture.post(&taken).await.unwrap();
    fixture.post(&Transfer::void_pending(tenant, id(40), id(2))).await.unwrap();
    fixture.assert_clean().await;
}

async fn an_account_cannot_be_taken_over_by_opening_it_for_clients(engine: api_store::Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.customer("ann").await;
    let code = "customer:ann:available";
    let again = NewAccount::new(fixture.tenant, code, "EUR", Side::Credit).for_clients();
    let mut tx = fixture.begin().await;
    let error = fixture.ledger.open_account(&mut tx, &again).await.unwrap_err();
    assert!(matches!(error, LedgerError::AccountConflict(_)));
}

async fn the_chart_sums_every_place_with_all_that_is_below(engine: api_store::Engine) {
    let fixture = Fixture::new(engine).await;
    let open = async |code: &str, asset: &str| {
        let account = NewAccount::new(fixture.tenant, code, asset, Side::Debit);
        fixture.open(account.with_floor(Floor::None)).await
    };
    let equity = open("equity", "EUR").await;
    let till = open("assets:cash:till", "EUR").await;
    let safe = open("assets:cash:safe", "EUR").await;
    let bank = open("assets:bank", "EUR").await;
    let (coins, more) = (open("assets:coins", "BTC").await, open("equity", "BTC").await);
    for (id, debit, credit, amount) in
        [(1, till, equity, 5), (2, safe, equity, 7), (3, bank, equity, 11), (4, coins, more, 13)]
    {
        fixture.post(&fixture.transfer(id, debit, credit, amount)).await.unwrap();
    }
    let mut tx = fixture.test_db.db.read().await.unwrap();
    let mut chart = async |code: &str, depth: u32| {
        let nodes = fixture.ledger.chart(&mut tx, fixture.tenant, code, depth).await.unwrap();
        let line = |node: ChartNode| {
            let sums = node.totals.iter().map(|sum| {
                let totals = &sum.totals;
                format!("{}:{}-{}", sum.asset, totals.debits_posted, totals.credits_posted)
            });
            format!("{} {}", node.code, sums.collect::<Vec<_>>().join(" "))
        };
        nodes.into_iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(chart("", 1).await, ["assets BTC:13-0 EUR:23-0", "equity BTC:0-13 EUR:0-23"]);
    assert_eq!(
        chart("assets", 1).await,
        [
            "assets BTC:13-0 EUR:23-0",
            "assets:bank EUR:11-0",
            "assets:cash EUR:12-0",
            "assets:coins BTC:13-0",
        ]
    );
    assert_eq!(chart("assets:cash", 0).await, ["assets:cash EUR:12-0"]);
    assert_eq!(chart("", 3).await.len(), 7);
    assert_eq!(chart("nowhere", 1).await, [""; 0]);
}

async fn transfers_are_listed_in_their_places_and_other_events_passed_over(
    engine: api_store::Engine,
) {
    let fixture = Fixture::new(engine).await;
    let (bank, ann) = (fixture.bank().await, fixture.customer("ann").await);
    for id in 1..=3 {
        fixture.post(&fixture.transfer(id, bank, ann, id)).await.unwrap();
        let mut tx = fixture.begin().await;
        let event = NewEvent {
            tenant: fixture.tenant,
            kind: "test.other".to_owned(),
            subject: String::new(),
            data: serde_json::json!({}),
        };
        fixture.ledger.emit(&mut tx, &event).await.unwrap();
        tx.commit().await.unwrap();
    }
    let batch: Vec<_> = (4..=9).map(|id| fixture.transfer(id, bank, ann, id)).collect();
    fixture.ledger.post_batch(&batch).await.unwrap();
    fixture.ledger.place_events(100).await.unwrap();
    let mut tx = fixture.test_db.db.read().await.unwrap();
    assert_eq!(fixture.ledger.last_event(&mut tx, fixture.tenant).await.unwrap(), 12);
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = fixture.ledger.transfers(&mut tx, fixture.tenant, after, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        assert!(page.len() <= 2);
        seen.extend(page.into_iter().map(|(_, transfer)| transfer.legs[0].amount));
    }
    assert_eq!(seen, (1..=9).collect::<Vec<u128>>());
}

on_both_engines! {
    clients_move_money_only_between_accounts_that_are_for_them
    an_account_cannot_be_taken_over_by_opening_it_for_clients
    the_chart_sums_every_place_with_all_that_is_below
    transfers_are_listed_in_their_places_and_other_events_passed_over
}
