//! Receipts verify offline, and the log only grows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{ETH, PATIENCE, Setup, World, items, text, unique};

type Hash = [u8; 32];

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_the_receipt_of_a_transfer_verifies_offline_and_a_changed_one_does_not() {
    let mut world = World::start(Setup::EVM.anchored()).await;
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let bob = world.customer("bob").await;
    let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "987654321" });
    let transfer = world.tenant.post_once("/v1/transfers", &unique(), body).await.unwrap();
    let record = format!("/v1/audit/records/{}", text(&transfer, "record"));
    let is_final = |answer: &Value| answer["state"] == "final";
    world.tenant.wait_for(&record, PATIENCE, is_final).await.unwrap();
    let whole = world.tenant.get_text(&format!("{record}/receipt")).await.unwrap();
    let part = format!("{record}/receipt?fields=asset,amount");
    let part = world.tenant.get_text(&part).await.unwrap();
    let proof = world.tenant.get_text(&format!("{record}/tlog-proof")).await.unwrap();
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1"), "{proof}");
    // Another tenant learns nothing of it.
    let stranger = world.another_tenant("Another Bank").await;
    for path in [record.clone(), format!("{record}/receipt"), format!("{record}/tlog-proof")] {
        assert_eq!(stranger.get(&path).await.unwrap_err().status, 404, "{path}");
    }
    world.stack.kill_server();
    let key = world.stack.log_key().unwrap();
    let file = world.stack.folder().join("receipt.json");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        world.stack.verify(&file, &key).unwrap()
    };
    let (accepted, answer) = verify(&whole);
    assert!(accepted, "{answer}");
    assert!(whole.contains("987654321") && whole.contains(&alice));
    let (accepted, answer) = verify(&part);
    assert!(accepted, "{answer}");
    assert!(part.contains("987654321") && !part.contains(&alice), "more than asked for: {part}");
    for (old, new) in [("987654321", "987654322"), ("transfer.booked", "transfer.bookee")] {
        assert!(whole.contains(old), "{old}");
        let (accepted, answer) = verify(&whole.replacen(old, new, 1));
        assert!(!accepted, "{new} was accepted: {answer}");
    }
    let (accepted, answer) = verify(&whole.replacen(&bob, &alice, 1));
    assert!(!accepted, "another recipient was accepted: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_an_old_checkpoint_is_consistent_with_every_newer_one() {
    let world = World::start(Setup::EVM).await;
    let alice = world.funded_customer("alice", "ETH", ETH).await;
    let bob = world.customer("bob").await;
    let mut heads = Vec::new();
    for round in 0..4 {
        for _ in 0..=round {
            let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" });
            let made = world.tenant.post_once("/v1/transfers", &unique(), body).await.unwrap();
            let record = format!("/v1/audit/records/{}", text(&made, "record"));
            let is_logged = |answer: &Value| answer["checkpoint"].is_u64();
            world.tenant.wait_for(&record, PATIENCE, is_logged).await.unwrap();
        }
        let note = world.tenant.get_text("/log/checkpoint").await.unwrap();
        heads.push(head(&note));
    }
    for (number, (from, old)) in heads.iter().enumerate() {
        for (to, new) in &heads[number..] {
            let path = format!("/v1/audit/consistency?from={from}&to={to}");
            let answer = world.tenant.get(&path).await.unwrap();
            let hashes: Vec<Hash> = items(&answer["hashes"]).iter().map(hash).collect();
            assert!(consistent((*from, *old), (*to, *new), &hashes), "{from} to {to}: {answer}");
            let mut forged = *new;
            forged[0] ^= 1;
            assert!(!consistent((*from, *old), (*to, forged), &hashes), "{from} to {to}");
        }
    }
    assert!(heads[3].0 > heads[0].0, "{heads:?}");
    let beyond = format!("/v1/audit/consistency?from=1&to={}", heads[3].0 + 1_000_000);
    assert_eq!(world.tenant.get(&beyond).await.unwrap_err().status, 400);
    let backwards = format!("/v1/audit/consistency?from={}&to={}", heads[3].0, heads[0].0);
    assert_eq!(world.tenant.get(&backwards).await.unwrap_err().status, 400);
}

/// Size and root of a checkpoint: the second and third line of the note.
fn head(note: &str) -> (u64, Hash) {
    let lines: Vec<&str> = note.lines().collect();
    (lines[1].parse().unwrap(), STANDARD.decode(lines[2]).unwrap().try_into().unwrap())
}

fn hash(value: &Value) -> Hash {
    STANDARD.decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The verifier of RFC 9162, section 2.1.4.2, written from the text for this test.
fn consistent((from, old): (u64, Hash), (to, new): (u64, Hash), proof: &[Hash]) -> bool {
    if from == to {
        return proof.is_empty() && old == new;
    }
    let mut path = proof.to_vec();
    if from.is_power_of_two() {
        path.insert(0, old);
    }
    let Some((&first, rest)) = path.split_first() else { return false };
    let (mut fnode, mut snode) = (from - 1, to - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut fr, mut sr) = (first, first);
    for &step in rest {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            fr = node(step, fr);
            sr = node(step, sr);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            sr = node(sr, step);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    fr == old && sr == new && snode == 0
}
