//! A stuck transaction is replaced, and exactly one of the two confirms.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use chain_core::Amount;
use serde_json::{Value, json};
use testnets::TestEnv;
use testnets::stack::{Api, Outside, Stack, StackOptions};

const LIMIT: Duration = Duration::from_secs(120);

/// A tenant with one customer who has a deposit address on `chain`.
async fn customer(stack: &Stack, chain: &str) -> (Api, String, String) {
    let created =
        stack.operator().unwrap().post("/v1/tenants", json!({ "name": "t" })).await.unwrap();
    let tenant = stack.tenant(created["api_key"].as_str().unwrap()).unwrap();
    let customer = tenant.post("/v1/customers", json!({ "reference": "c" })).await.unwrap();
    let id = customer["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/customers/{id}/addresses");
    let address = tenant.post(&path, json!({ "chain": chain })).await.unwrap();
    (tenant, id, address["address"].as_str().unwrap().to_owned())
}

async fn treasury(stack: &Stack) -> String {
    let addresses = stack.operator().unwrap().get("/v1/treasury/addresses").await.unwrap();
    addresses[0]["address"].as_str().unwrap().to_owned()
}

/// Asks for a payout, waits until it is sent, replaces it; the withdrawal's path and both ids.
async fn replaced(stack: &Stack, tenant: &Api, body: Value) -> (String, String, String) {
    let withdrawal = tenant.post_once("/v1/withdrawals", "w", body).await.unwrap();
    let path = format!("/v1/withdrawals/{}", withdrawal["id"].as_str().unwrap());
    let sent = tenant.wait_for(&path, LIMIT, |answer| answer["state"] == "sent").await.unwrap();
    let first = sent["tx"].as_str().unwrap().to_owned();
    let operator = stack.operator().unwrap();
    let intents = operator.get("/v1/treasury/intents").await.unwrap();
    let mine = |intent: &&Value| intent["purpose"] == "withdrawal";
    let intent = intents.as_array().unwrap().iter().find(mine).unwrap();
    let replace = format!("/v1/treasury/intents/{}/replace", intent["id"].as_str().unwrap());
    let answer = operator.post(&replace, json!({})).await.unwrap();
    let second = answer["tx"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    tenant.wait_for(&path, LIMIT, |answer| answer["state"] == "sent").await.unwrap();
    (path, first, second)
}

async fn settled_by(tenant: &Api, path: &str, first: &str, second: &str) {
    let settled =
        tenant.wait_for(path, LIMIT, |answer| answer["state"] == "settled").await.unwrap();
    assert_eq!(settled["tx"], second, "the replacement pays more, so it is mined");
    assert_eq!(settled["attempts"], json!([first, second]), "every attempt is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_30_a_replacement_conflicts_with_the_original_on_bitcoin() {
    let env = TestEnv::builder().bitcoin().start().await.unwrap();
    let bitcoin = env.bitcoin().unwrap();
    let stack = Stack::start(&env, &StackOptions::default()).await.unwrap();
    let (tenant, customer, address) = customer(&stack, "bitcoin").await;
    for to in [&treasury(&stack).await, &treasury(&stack).await, &address] {
        bitcoin.fund(to, Amount::new(50_000_000)).await.unwrap();
        bitcoin.mine(2).await.unwrap();
    }
    tenant
        .wait_for("/v1/deposits", LIMIT, |answer| answer["items"][0]["state"] == "final")
        .await
        .unwrap();
    let outside = Outside::new().unwrap().bitcoin;
    let body = json!({ "customer": customer, "asset": "BTC", "amount": "20000000", "destination": outside });
    let (path, first, second) = replaced(&stack, &tenant, body).await;
    let pool: Vec<String> = bitcoin.rpc().call("getrawmempool", json!([])).await.unwrap();
    assert!(
        pool.contains(&second) && !pool.contains(&first),
        "the original left the pool: {pool:?}"
    );
    bitcoin.mine(2).await.unwrap();
    settled_by(&tenant, &path, &first, &second).await;
    assert_eq!(bitcoin.balance(&outside).await.unwrap(), Amount::new(20_000_000));
    let findings = stack.operator().unwrap();
    let path = "/v1/treasury/reconciliation";
    findings.wait_for(path, LIMIT, |answer| answer[0]["agrees"] == true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_30_a_replacement_conflicts_with_the_original_on_evm() {
    let env = TestEnv::builder().anvil().start().await.unwrap();
    let evm = env.evm().unwrap();
    let stack = Stack::start(&env, &StackOptions::default()).await.unwrap();
    let (tenant, customer, address) = customer(&stack, "evm").await;
    let ether = |tenths: u128| Amount::new(tenths * 100_000_000_000_000_000);
    evm.fund(&treasury(&stack).await, ether(50)).await.unwrap();
    evm.fund(&address, ether(10)).await.unwrap();
    evm.mine(6).await.unwrap();
    tenant
        .wait_for("/v1/deposits", LIMIT, |answer| answer["items"][0]["state"] == "final")
        .await
        .unwrap();
    // From here on a block is made only when we say so.
    let _: Value = evm.rpc().call("evm_setAutomine", json!([false])).await.unwrap();
    let outside = Outside::new().unwrap().evm;
    let amount = ether(3).to_string();
    let body =
        json!({ "customer": customer, "asset": "ETH", "amount": amount, "destination": outside });
    let (path, first, second) = replaced(&stack, &tenant, body).await;
    for _ in 0..8 {
        evm.mine(1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    settled_by(&tenant, &path, &first, &second).await;
    assert_eq!(evm.balance(&outside).await.unwrap(), ether(3), "paid once");
}
