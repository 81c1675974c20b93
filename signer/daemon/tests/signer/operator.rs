//! The operator's commands, as they are typed.

use std::process::{Command, Output, Stdio};

use signer_client::SignerClient;
use signer_protocol::{RefusalCode, Signer, SignerError};

use crate::common::*;
use crate::crashes::serve;

const BINARY: &str = env!("CARGO_BIN_EXE_roadstead-signer");

fn run(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(place.path("signer.toml")).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn succeeds(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn code(client: &SignerClient, request: &signer_protocol::SignRequest) -> RefusalCode {
    match client.sign(request).await {
        Err(SignerError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_reaches_the_running_signer_and_only_a_stopped_one_is_thawed() {
    let place = Place::new();
    let request = evm_withdrawal(&mut place.engine(), 1, 0, 1_000);
    let client = SignerClient::new(&place.config.socket, None);
    let freeze = ["--account", "0", "--reason", "drift of 3 wei"];
    let running = serve(&place, None);
    let freezes = succeeds(&place, &[&["freeze"], &freeze[..]].concat());
    assert!(freezes.contains("drift of 3 wei"));
    assert_eq!(code(&client, &request).await, RefusalCode::Frozen);
    let refused = fails(&place, &[&["thaw"], &freeze[..]].concat());
    assert!(refused.contains("stop it first"), "{refused}");
    drop(running);
    let other = ["thaw", "--account", "1", "--reason", "not that one"];
    assert!(succeeds(&place, &other).contains("drift of 3 wei"));
    let running = serve(&place, None);
    assert_eq!(code(&client, &request).await, RefusalCode::Frozen);
    drop(running);
    assert_eq!(succeeds(&place, &[&["thaw"], &freeze[..]].concat()).trim(), "[]");
    let _running = serve(&place, None);
    client.sign(&request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_09_from_backup_to_reconciled_as_it_is_typed() {
    let place = Place::new();
    let passphrase = place.path("passphrase").display().to_string();
    let with = |arguments: &[&str]| -> Vec<String> {
        let all = [arguments, &["--passphrase-file", &passphrase]].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let typed = |arguments: &[&str]| {
        let arguments = with(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        succeeds(&place, &arguments)
    };
    let request = evm_withdrawal(&mut place.engine(), 1, 0, 1_000);
    let dir = place.dir.path().display().to_string();
    let backup = typed(&["backup", "--dir", &dir]);
    let (signed, head) = {
        let _running = serve(&place, None);
        let client = SignerClient::new(&place.config.socket, None);
        let signed = client.sign(&request).await.unwrap();
        (signed, client.last_head().await.unwrap())
    };
    assert!(typed(&["drill", "--dir", &dir]).contains("\"records_since\": 1"));
    std::fs::remove_dir_all(&place.config.state_dir).unwrap();
    typed(&["restore", "--from", backup.trim()]);

    let client = SignerClient::new(&place.config.socket, Some(head.clone()));
    {
        let _running = serve(&place, None);
        assert_eq!(code(&client, &request).await, RefusalCode::JournalRolledBack);
    }
    let line = signer_daemon::Exported::Signed {
        request: Box::new(request.clone()),
        signatures: signed.signatures.clone(),
    };
    let export = place.path("export.jsonl");
    write_private(&export, &serde_json::to_string(&line).unwrap());
    let export = export.display().to_string();
    let reconcile = ["reconcile", "--export", &export, "--reason", "disk lost"];
    let unsure = with(&reconcile);
    let unsure: Vec<&str> = unsure.iter().map(String::as_str).collect();
    assert!(fails(&place, &unsure).contains("--nothing-else-was-signed"));
    let lost = signer_daemon::show(&head);
    let sure = [&reconcile[..], &["--nothing-else-was-signed", "--lost-head", &lost]].concat();
    assert!(typed(&sure).contains("\"new\": 1"));

    let _running = serve(&place, None);
    assert_eq!(client.sign(&request).await.unwrap().signatures, signed.signatures);
    let conflicting = evm_withdrawal(&mut Place::new().engine(), 2, 0, 1_000);
    assert_eq!(code(&client, &conflicting).await, RefusalCode::Conflict);
}

#[test]
fn two_signers_never_share_a_journal() {
    let place = Place::new();
    let _running = serve(&place, None);
    let passphrase = place.path("passphrase").display().to_string();
    let error = fails(&place, &["serve", "--passphrase-file", &passphrase]);
    assert!(error.contains("another process uses"), "{error}");
}

#[test]
fn settings_with_unknown_keys_or_a_mark_beside_the_journal_are_refused() {
    let place = Place::new();
    let path = place.path("signer.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    succeeds(&place, &["policy", "check"]);
    for bad in [
        format!("{good}\npassphrase = \"in clear\""),
        good.replace("signer-mark", "signer-state/mark"),
        format!("{good}\nconnections_max = 0"),
        good.replace("socket = ", "sock = "),
    ] {
        write_private(&path, &bad);
        fails(&place, &["policy", "check"]);
    }
}

#[test]
fn addresses_are_listed_with_the_paths_that_other_wallets_use() {
    let place = Place::new();
    let mut engine = place.engine();
    issue(&mut engine, EVM, "bip44-evm/0/0/0");
    issue(&mut engine, BITCOIN, "bip84/16/0/3");
    let list = succeeds(&place, &["addresses"]);
    let lines: Vec<serde_json::Value> =
        list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    // The first account of the test mnemonic that every EVM tool knows.
    assert_eq!(lines[1]["address"], "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    assert_eq!(lines[1]["path"], "m/44'/60'/0'/0/0");
    assert_eq!(lines[0]["path"], "m/84'/1'/16'/0/3");
}
