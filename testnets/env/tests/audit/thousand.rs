//! A thousand repayments through the public API, anchored on three real chains; a hundred receipts,
//! judged with the server stopped by verifiers that know nothing of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::offline::{ots_says, page_says, python_says, run_verify, statuses};
use crate::world::{PATIENCE, Setup, World, items, text, unique};

const LOANS: usize = 10;
const REPAYMENTS_EACH: usize = 100;
const RECEIPTS: usize = 100;

/// Where the receipts stay for whoever wants to look at them, or to open them in a browser.
fn receipts_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("thousand");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn loans(world: &World) -> Vec<String> {
    let terms = json!({
        "currency": "EUR", "product": { "kind": "annuity" }, "rate": "0.06", "day_count": "30E/360",
        "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
    });
    let product = json!({ "name": "starter", "terms": terms });
    let product = world.tenant.post("/v1/loan-products", product).await.unwrap();
    let mut loans = Vec::new();
    for number in 0..LOANS {
        let customer = world.customer(&format!("borrower-{number}")).await;
        let body =
            json!({ "customer": customer, "product": product["id"], "principal": "1000000" });
        let loan = world.tenant.post_once("/v1/loans", &unique(), body).await.unwrap();
        loans.push(text(&loan, "id"));
    }
    loans
}

/// The audit records of all repayments. Each loan has a client of its own.
async fn repay(world: &World, loans: Vec<String>) -> Vec<String> {
    let mut clients = tokio::task::JoinSet::new();
    for loan in loans {
        let tenant = world.tenant.clone();
        clients.spawn(async move {
            let path = format!("/v1/loans/{loan}/repayments");
            let mut records = Vec::new();
            for number in 0..REPAYMENTS_EACH {
                let body = json!({ "amount": (100 + number).to_string(), "currency": "EUR" });
                let made = tenant.post_once(&path, &unique(), body).await.unwrap();
                records.push(text(&made, "record"));
            }
            records
        });
    }
    clients.join_all().await.concat()
}

async fn wait_final(world: &World, record: &str) {
    let is_final =
        |answer: &Value| answer["state"] == "final" && items(&answer["final_on"]).len() == 3;
    let path = format!("/v1/audit/records/{record}");
    let waited = world.tenant.wait_for(&path, PATIENCE, is_final).await;
    waited.unwrap_or_else(|error| panic!("{error}\n{}", world.stack.server_log()));
}

/// The checkpoint that is on Bitcoin, and its OpenTimestamps proof, as anybody downloads them.
async fn download_stamp(world: &World, record: &str, folder: &Path) -> PathBuf {
    let response = reqwest::Client::new()
        .get(format!("{}/v1/audit/records/{record}/ots", world.stack.url()))
        .bearer_auth(&world.tenant_key)
        .send()
        .await
        .unwrap();
    let link = response.headers()["link"].to_str().unwrap().to_owned();
    let path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    let name = path.rsplit('/').next().unwrap();
    let stamp = folder.join(format!("{name}.ots"));
    let by_record = response.bytes().await.unwrap();
    let public = reqwest::get(format!("{}{path}.ots", world.stack.url())).await.unwrap();
    assert_eq!(public.bytes().await.unwrap(), by_record);
    std::fs::write(&stamp, by_record).unwrap();
    std::fs::write(folder.join(name), world.tenant.get_text(&path).await.unwrap()).unwrap();
    stamp
}

/// `roadstead-verify --ots` on the stamped text, and on the receipt of a record below it.
async fn stamps_agree(receipt: &Path, stamp: &Path) {
    let text = stamp.with_extension("");
    let found: Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    let is_bitcoin = |anchor: &&Value| anchor["evidence"]["type"] == "bitcoin";
    let anchor = items(&found["anchors"]).iter().find(is_bitcoin).unwrap();
    let evidence = &anchor["evidence"];
    let header = evidence["headers"][0].as_str().unwrap();
    let headers = stamp.with_extension("headers");
    let line = format!("{} {header}\n", evidence["chain"].as_str().unwrap());
    std::fs::write(&headers, line).unwrap();
    for content in [text.as_path(), receipt] {
        let stamped = [content, Path::new("--ots"), stamp];
        let (code, said) = run_verify(&stamped).await;
        assert_eq!((code, &said["blocks"][0]["height"]), (Some(3), &evidence["height"]), "{said}");
        let with_header = [content, Path::new("--ots"), stamp, Path::new("--headers"), &headers];
        let (code, said) = run_verify(&with_header).await;
        assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("accepted")), "{said}");
        assert!(said["blocks"][0]["time"].is_string(), "{said}");
    }
    let (code, said) = run_verify(&[&headers, Path::new("--ots"), stamp]).await;
    assert_eq!((code, said["code"].as_str()), (Some(1), Some("ots")), "another file: {said}");
    let (code, _) = run_verify(&[&text, Path::new("--ots"), &text]).await;
    assert_eq!(code, Some(1), "a text is no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_a_hundred_of_a_thousand_repayments_are_proved_without_the_server() {
    let started = Instant::now();
    let mut world = World::start(Setup::ALL.anchored()).await;
    world.fill_treasury().await;
    let ready = started.elapsed();
    let loans = loans(&world).await;
    let records = repay(&world, loans).await;
    assert_eq!(records.len(), LOANS * REPAYMENTS_EACH);
    let repaid = started.elapsed();
    for client in records.chunks(REPAYMENTS_EACH) {
        wait_final(&world, client.last().unwrap()).await;
    }
    let anchored = started.elapsed();
    let folder = receipts_folder();
    let chosen: Vec<String> =
        records.choose_multiple(&mut rand::rng(), RECEIPTS).cloned().collect();
    let mut files = Vec::new();
    let mut longest = 0;
    for record in &chosen {
        let path = format!("/v1/audit/records/{record}/receipt");
        let receipt = world.tenant.get_text(&path).await.unwrap();
        longest = longest.max(receipt.len());
        let file = folder.join(format!("{record}.json"));
        std::fs::write(&file, receipt).unwrap();
        files.push(file);
    }
    let stamp = download_stamp(&world, &chosen[0], &folder).await;
    let key = world.stack.log_key().unwrap();
    let policy = folder.join("policy.txt");
    std::fs::write(&policy, format!("log {key}\nquorum none\n")).unwrap();
    let costs = world.tenant.get("/v1/audit/anchors").await.unwrap();
    world.stack.kill_server();
    let downloaded = started.elapsed();

    for file in &files {
        let name = file.to_str().unwrap();
        let (code, said) = run_verify(&[name, "--policy", policy.to_str().unwrap()]).await;
        assert_eq!(code, Some(0), "{name}: {said}");
        assert_eq!(statuses(&said), ["needs_node", "proved_given_header", "proved_given_header"]);
        assert!(said["report"]["completeness"]["events"].is_u64(), "{said}");
    }
    // With nodes of the reader's own, nothing is left open.
    let nodes = [
        format!("evm={}", world.env.evm().unwrap().rpc_url()),
        format!("bitcoin={}", world.env.bitcoin().unwrap().rpc_url()),
        format!("solana={}", world.env.solana().unwrap().rpc_url()),
    ];
    let mut arguments = vec![files[0].to_str().unwrap(), "--key", &key];
    arguments.extend(nodes.iter().flat_map(|node| ["--node", node]));
    let (code, said) = run_verify(&arguments).await;
    assert_eq!((code, statuses(&said)), (Some(0), vec!["proved".to_owned(); 3]), "{said}");
    stamps_agree(&files[0], &stamp).await;
    let verified = started.elapsed();
    let questions: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({ "receipt": std::fs::read_to_string(file).unwrap(), "keys": [key],
                            "policy": null, "headers": null })
        })
        .collect();
    let said = python_says(&questions);
    assert_eq!(said.len(), files.len());
    assert!(said.iter().all(|answer| answer[0] == "accepted"), "{said:?}");
    let judged = started.elapsed();
    if let Some(answers) = page_says(&questions) {
        assert_eq!(answers.len(), files.len());
        assert!(answers.iter().all(|answer| answer["exit_code"] == 0), "{answers:?}");
    }
    let browsed = started.elapsed();
    let bitcoin = world.env.bitcoin().unwrap().rpc_url();
    if let Some((success, words)) = ots_says(&stamp, bitcoin) {
        assert!(success && words.contains("Success!"), "{words}");
        let checkpoint = stamp.with_extension("");
        let changed = std::fs::read_to_string(&checkpoint).unwrap().replacen('\n', "\n1", 1);
        std::fs::write(&checkpoint, changed).unwrap();
        let (success, words) = ots_says(&stamp, bitcoin).unwrap();
        assert!(!success, "another checkpoint was accepted: {words}");
    }
    println!(
        "{}",
        json!({
            "repayments": records.len(), "receipts": files.len(), "receipt_bytes_max": longest,
            "ready_s": ready.as_secs_f32(), "repaid_s": (repaid - ready).as_secs_f32(),
            "anchored_s": (anchored - repaid).as_secs_f32(),
            "downloaded_s": (downloaded - anchored).as_secs_f32(),
            "verified_s": (verified - downloaded).as_secs_f32(),
            "python_s": (judged - verified).as_secs_f32(),
            "browser_s": (browsed - judged).as_secs_f32(), "ots_s": (started.elapsed() - browsed).as_secs_f32(),
            "total_s": started.elapsed().as_secs_f32(),
            "anchors": items(&costs["anchors"]).len(),
        })
    );
}
