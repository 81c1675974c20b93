//! Nothing that is secret leaves its place.

use std::path::{Path, PathBuf};

use serde_json::json;
use testnets::stack::STACK_MNEMONIC;

use crate::world::{ETH, Setup, World, outside, unique};

/// Where a secret has to be.
const HOMES: [&str; 2] = ["operator.key", "passphrase"];

#[tokio::test(flavor = "multi_thread")]
async fn promise_4_no_secret_is_found_in_logs_files_arguments_or_environment() {
    let mut world = World::start(Setup::EVM.anchored()).await;
    // The most talkative log that can be had.
    world.stack.kill_server();
    world.stack.start_server(&[("ROADSTEAD_LOG", "trace")]).await.unwrap();
    world.fill_treasury().await;
    let alice = world.funded_customer("alice", "ETH", 2 * ETH).await;
    let bob = world.customer("bob").await;
    let id = world.withdraw(&alice, "ETH", ETH, &outside("ETH")).await;
    world.wait_withdrawal(&id, "settled").await;
    let body = json!({ "from": alice, "to": bob, "asset": "ETH", "amount": "1" });
    world.tenant.post_once("/v1/transfers", &unique(), body).await.unwrap();
    // A key as it may be mistyped, in all the wrong places.
    let _ =
        world.stack.tenant(&format!("{}x", world.tenant_key)).unwrap().get("/v1/customers").await;
    let passphrase = std::fs::read_to_string(world.stack.folder().join("passphrase")).unwrap();
    let secret = world.tenant_key.rsplit('_').next().unwrap();
    let operator_key = world.stack.operator_key.clone();
    let canaries = [
        ("the mnemonic", STACK_MNEMONIC),
        ("a part of the mnemonic", "legal winner thank"),
        ("another part of the mnemonic", "useful legal winner"),
        ("the passphrase", passphrase.trim()),
        ("the operator's key", operator_key.as_str()),
        ("the secret of an API key", secret),
    ];
    let logs = [("server", world.stack.server_log()), ("signer", world.stack.signer_log())];
    for (name, log) in &logs {
        assert!(!log.is_empty(), "{name}");
        assert_clean(&format!("the log of the {name}"), log.as_bytes(), &canaries);
    }
    let processes = processes(world.stack.folder());
    assert!(processes.len() >= 2, "{processes:?}");
    for process in &processes {
        for part in ["cmdline", "environ"] {
            let bytes = std::fs::read(process.join(part)).unwrap();
            assert_clean(&format!("{} of {}", part, process.display()), &bytes, &canaries);
        }
    }
    world.stack.kill_server();
    world.stack.kill_signer();
    let mut read = 0;
    for file in files(world.stack.folder()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !HOMES.contains(&name.as_str()) {
            read += 1;
            assert_clean(&file.display().to_string(), &std::fs::read(&file).unwrap(), &canaries);
        }
    }
    assert!(read >= 4, "only {read} files were looked at");
}

fn assert_clean(place: &str, bytes: &[u8], canaries: &[(&str, &str)]) {
    for (what, canary) in canaries {
        assert!(canary.len() >= 16);
        let found = bytes.windows(canary.len()).position(|window| window == canary.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(200)..at];
            panic!("{what} is in {place}, after {:?}", String::from_utf8_lossy(around));
        }
    }
}

/// The processes that were started on this folder.
fn processes(folder: &Path) -> Vec<PathBuf> {
    let wanted = folder.to_str().unwrap().to_owned();
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let of_stack = |process: &PathBuf| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&wanted)
    };
    all.filter(|path| path.join("cmdline").exists()).filter(of_stack).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
