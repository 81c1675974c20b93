//! The log's key is replaced: receipts of both keys verify for ever, each key in its era.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::offline::run_verify;
use crate::records::wait_logged;
use crate::world::{Setup, World, edit};

/// Logs a record with these generations of the key; the file of its receipt, and its checkpoint's size.
async fn receipt_by(world: &World, generations: &str, id: &str) -> (PathBuf, u64) {
    edit(&world.stack, "policy.toml", |text| {
        let others = text.lines().filter(|line| !line.starts_with("log_keys"));
        let others: Vec<&str> = others.collect();
        // A comment makes every edit one, and stands before the first table.
        format!("log_keys = {generations} # {id}\n{}\n", others.join("\n"))
    });
    let record = json!({ "id": id, "kind": "note" });
    world.tenant.post("/v1/audit/records", json!({ "records": [record] })).await.unwrap();
    let size = wait_logged(world, id).await["checkpoint"].as_u64().unwrap();
    let text = world.tenant.get_text(&format!("/v1/audit/records/{id}/receipt")).await.unwrap();
    let file = world.stack.folder().join(format!("{id}.json"));
    std::fs::write(&file, text).unwrap();
    (file, size)
}

/// What a reader says who has this policy.
async fn judge(world: &World, receipt: &Path, policy: &str) -> (Option<i32>, Value) {
    let file = world.stack.folder().join("reader.txt");
    std::fs::write(&file, format!("{policy}quorum none\n")).unwrap();
    let arguments = [receipt.as_os_str(), "--policy".as_ref(), file.as_os_str()];
    run_verify(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_receipts_of_a_replaced_key_verify_in_its_era_and_no_later() {
    let mut world = World::start(Setup::NONE).await;
    let (before, _) = receipt_by(&world, "[0]", "before").await;
    let (while_both, _) = receipt_by(&world, "[0, 1]", "while-both").await;
    let keys = world.stack.log_keys_of("roadstead.local/log").unwrap();
    let [old, new] = keys.as_slice() else { panic!("two keys: {keys:?}") };
    let (after, end) = receipt_by(&world, "[1]", "after").await;
    // Whoever has the old key goes on signing with it.
    let (stolen, _) = receipt_by(&world, "[0]", "stolen").await;
    world.stack.kill_server();

    let both = format!("log {old}\nlog {new}\n");
    let eras = format!("{both}era {old} 0 {end}\nera {new} {end}\n");
    let overlap = format!("{both}era {old} 0 {end}\nera {new} 0\n");
    let verdicts = [
        // Of both keys, each receipt has one that counts.
        (&both, [Some(0), Some(0), Some(0), Some(0)]),
        (&eras, [Some(0), Some(0), Some(0), Some(1)]),
        (&overlap, [Some(0), Some(0), Some(0), Some(1)]),
        (&format!("log {old}\n"), [Some(0), Some(0), Some(1), Some(0)]),
        (&format!("log {new}\n"), [Some(1), Some(0), Some(0), Some(1)]),
    ];
    for (policy, wanted) in verdicts {
        for (file, wanted) in [&before, &while_both, &after, &stolen].into_iter().zip(wanted) {
            let (code, said) = judge(&world, file, policy).await;
            assert_eq!(code, wanted, "{} by {policy}: {said}", file.display());
            if wanted == Some(1) {
                assert_eq!(said["code"], "untrusted_log", "{said}");
            }
        }
    }
    // A policy that says nothing about an era, or says it wrongly, is none.
    for wrong in [format!("era {old} 0\n"), format!("{both}era {old} 9 9\n")] {
        assert_eq!(judge(&world, &before, &wrong).await.0, Some(2), "{wrong}");
    }
}
