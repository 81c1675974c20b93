//! What is refused, each with its code, before any money is held.

use serde_json::{Value, json};

use crate::http::{Answer, Call};
use crate::world::{BTC, ETH, Setup, World, outside, text, unique, withdrawal};

async fn refused(world: &World, body: &Value) -> Answer {
    let call = Call::new(world, "post", "/v1/withdrawals").key(&world.tenant_key).once(&unique());
    call.json(body).send().await
}

async fn assert_code(world: &World, body: &Value, status: u16, code: &str) {
    let answer = refused(world, body).await;
    assert_eq!((answer.status, answer.code()), (status, code), "{body}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_that_cannot_be_are_refused_at_once_with_their_code() {
    let world = World::start(Setup::ALL).await;
    let alice = world.customer("alice").await;
    world.credit(&alice, "BTC", BTC).await;
    world.credit(&alice, "ETH", ETH).await;
    let own = |chain: &'static str| world.address(&alice, chain);
    let (own_btc, own_eth, own_sol) = (own("bitcoin").await, own("evm").await, own("solana").await);
    let treasury = world.operator.get("/v1/treasury/addresses").await.unwrap();
    let token = text(&json!({ "token": world.stack.tokens[0].address }), "token");
    let addresses: &[(&str, &str)] = &[
        // Another network's, or another chain's altogether.
        ("BTC", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("BTC", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),
        ("BTC", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("BTC", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("ETH", "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk"),
        ("SOL", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        // A bad checksum, bad length, bad alphabet.
        ("BTC", "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppq"),
        ("ETH", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed"),
        ("ETH", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1bea"),
        ("ETH", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0"),
        ("SOL", "7EqQdEULxWcraVx3mXKFjc84LhCkMGZCkRuDpvcMwJe0"),
        ("SOL", "7EqQdEULxWcraVx3mXKFjc84LhCkMGZCkRuDpvcMwJ"),
        ("BTC", ""),
        ("ETH", " "),
        ("ETH", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\u{0}"),
        // Of this system: an internal transfer is meant.
        ("BTC", &own_btc),
        ("BTC", &own_btc.to_uppercase()),
        ("ETH", &own_eth),
        ("ETH", &own_eth.to_lowercase()),
        ("SOL", &own_sol),
        ("BTC", &text(&treasury[0], "address")),
        ("ETH", &text(&treasury[1], "address")),
        ("SOL", &text(&treasury[2], "address")),
        // The token's own contract: it would be burnt.
        ("RTT", &token),
    ];
    for (asset, address) in addresses {
        let body = withdrawal(&alice, asset, 100_000, address);
        assert_code(&world, &body, 400, "invalid_address").await;
    }
    for asset in ["EUR", "DOGE", "btc", "", "BTC "] {
        let body = withdrawal(&alice, asset, 100_000, &outside("BTC"));
        assert_code(&world, &body, 400, "unknown_asset").await;
    }
    assert_code(&world, &withdrawal(&alice, "BTC", 0, &outside("BTC")), 400, "zero_amount").await;
    assert_code(&world, &withdrawal(&alice, "BTC", 1, &outside("BTC")), 400, "dust_amount").await;
    assert_code(&world, &withdrawal(&alice, "BTC", 293, &outside("BTC")), 400, "dust_amount").await;
    let over = withdrawal(&alice, "BTC", BTC + 1, &outside("BTC"));
    assert_code(&world, &over, 409, "insufficient_funds").await;
    let never = withdrawal(&alice, "SOL", 1_000_000, &outside("SOL"));
    assert_code(&world, &never, 409, "insufficient_funds").await;
    // More than the chain can carry at all.
    for asset in ["BTC", "SOL"] {
        let huge = withdrawal(&alice, asset, u128::from(u64::MAX) + 1, &outside(asset));
        let answer = refused(&world, &huge).await;
        assert!(["invalid_amount", "insufficient_funds"].contains(&answer.code()), "{answer:?}");
    }
    let nobody = "01890000-0000-7000-8000-000000000000";
    let body = withdrawal(nobody, "ETH", 1, &outside("ETH"));
    assert_code(&world, &body, 404, "not_found").await;
    // Nothing is held, and nothing was left behind.
    assert_eq!(world.available(&alice, "BTC").await, BTC);
    assert_eq!(world.available(&alice, "ETH").await, ETH);
    let listed = world.tenant.get("/v1/withdrawals").await.unwrap();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_that_cannot_be_are_refused_with_their_code() {
    let world = World::start(Setup::EVM).await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let bob = world.customer("bob").await;
    let transfer = |from: &str, to: &str, asset: &str, amount: &str| json!({ "from": from, "to": to, "asset": asset, "amount": amount });
    let nobody = "01890000-0000-7000-8000-000000000000";
    let too_much = (ETH + 1).to_string();
    let cases = [
        (transfer(&alice, &alice, "ETH", "1"), 409, "same_account"),
        (transfer(&alice, &bob, "ETH", "0"), 400, "zero_amount"),
        (transfer(&alice, &bob, "ETH", &too_much), 409, "insufficient_funds"),
        (transfer(&bob, &alice, "ETH", "1"), 409, "insufficient_funds"),
        (transfer(&alice, &bob, "XYZ", "1"), 400, "unknown_asset"),
        (transfer(&alice, &bob, "EUR", "1"), 409, "insufficient_funds"),
        (transfer(&alice, nobody, "ETH", "1"), 404, "not_found"),
        (transfer(nobody, &bob, "ETH", "1"), 404, "not_found"),
        (transfer(&alice, &bob, "ETH", "-1"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", "+1"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", "1.0"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", "1e3"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", "0x10"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", " 1"), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", ""), 400, "invalid_amount"),
        (transfer(&alice, &bob, "ETH", "\u{661}"), 400, "invalid_amount"),
        (
            transfer(&alice, &bob, "ETH", "340282366920938463463374607431768211456"),
            400,
            "invalid_amount",
        ),
        (
            transfer(&alice, &bob, "ETH", "340282366920938463463374607431768211455"),
            409,
            "insufficient_funds",
        ),
    ];
    for (body, status, code) in cases {
        let call = Call::new(&world, "post", "/v1/transfers").key(&world.tenant_key);
        let answer = call.once(&unique()).json(&body).send().await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {answer:?}");
    }
    assert_eq!(world.available(&alice, "ETH").await, ETH);
    assert_eq!(world.available(&bob, "ETH").await, 0);
}
