//! Promises 4, 6 and 7: where secrets are not.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv};
use hmac::{Hmac, Mac};
use signer_client::SignerClient;
use signer_protocol::Signer;

use crate::common::*;
use crate::crashes::serve;

const BINARY: &str = env!("CARGO_BIN_EXE_roadstead-signer");

fn command(place: &Place, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .arg("--config")
        .arg(place.path("signer.toml"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses at once does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Every secret of the test seed: as bytes, reversed as the curve library keeps them, and as text.
fn needles() -> Vec<(&'static str, Vec<u8>)> {
    let seed = custody::Phrase::parse(WORDS).unwrap().seed("");
    let seed = seed.reveal();
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let key = |path: &str| {
        let path: DerivationPath = path.parse().unwrap();
        let master = Xpriv::new_master(bitcoin::NetworkKind::Test, &**seed).unwrap();
        master.derive_priv(&secp, &path).unwrap().private_key.secret_bytes().to_vec()
    };
    let ed25519 = |steps: &[u32]| {
        let hash = |key: &[u8], parts: &[&[u8]]| -> [u8; 64] {
            let mut mac = Hmac::<sha2::Sha512>::new_from_slice(key).unwrap();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        };
        let mut node = hash(b"ed25519 seed", &[&**seed]);
        for step in steps {
            let hardened = ChildNumber::from_hardened_idx(*step).unwrap();
            let index = u32::from(hardened).to_be_bytes();
            node = hash(&node[32..], &[&[0], &node[..32], &index]);
        }
        node[..32].to_vec()
    };
    let mut needles = vec![
        ("seed", seed[..32].to_vec()),
        ("end of seed", seed[32..].to_vec()),
        ("evm key", key("m/44'/60'/0'/0/0")),
        ("evm account", key("m/44'/60'/0'")),
        ("bitcoin key", key("m/86'/1'/0'/0/0")),
        ("bitcoin account", key("m/86'/1'/0'")),
        ("master key", key("m")),
        ("solana key", ed25519(&[44, 501, 0, 0, 0])),
        ("log key", ed25519(&[0x524F_4144, 0, 0])),
        ("passphrase", PASSPHRASE.to_vec()),
        ("words", WORDS.as_bytes().to_vec()),
    ];
    for (name, bytes) in needles.clone() {
        needles.push((name, bytes.iter().rev().copied().collect()));
        needles.push((name, hex::encode(&bytes).into_bytes()));
    }
    needles
}

fn found(haystack: &[u8], needles: &[(&'static str, Vec<u8>)]) -> Vec<&'static str> {
    let there = |needle: &[u8]| {
        let first = needle[0];
        let mut from = 0;
        while let Some(at) = haystack[from..].iter().position(|byte| *byte == first) {
            if haystack[from + at..].starts_with(needle) {
                return true;
            }
            from += at + 1;
        }
        false
    };
    needles.iter().filter(|(_, needle)| there(needle)).map(|(name, _)| *name).collect()
}

fn files_below(dir: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, into);
        } else if path.is_file() && path.file_name().unwrap() != "passphrase" {
            into.extend(std::fs::read(&path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_04_no_secret_in_any_output_or_file() {
    let place = Place::empty();
    let file = place.path("passphrase").display().to_string();
    let with = |arguments: &[&str]| {
        [arguments, &["--passphrase-file", &file]].concat().into_iter().map(str::to_owned).collect()
    };
    let run = |arguments: &[&str], input: &str| -> Output {
        let arguments: Vec<String> = with(arguments);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        command(&place, &arguments, input)
    };
    let mut outputs = Vec::new();
    let wrong = WORDS.replace("junk", "test");
    for (arguments, input, success) in [
        (&["init", "--import"][..], wrong.as_str(), false),
        (&["init", "--import"], "", false),
        (&["init", "--import"], WORDS, true),
        (&["init", "--import"], WORDS, false),
        (&["log-key"], "", true),
        (&["backup", "--dir", place.path("").to_str().unwrap()], "", true),
        (&["drill", "--dir", place.path("").to_str().unwrap()], "", true),
    ] {
        let output = run(arguments, input);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), success, "{arguments:?}: {text}");
        outputs.push(output);
    }
    for arguments in [&["addresses"][..], &["policy", "check"], &["serve", "--help"]] {
        outputs.push(command(&place, arguments, ""));
    }
    let running = serve(&place, None);
    let client = SignerClient::new(&place.config.socket, None);
    let request = signer_protocol::AddressRequest {
        chain: chain(EVM),
        key: "bip44-evm/0/0/0".parse().unwrap(),
    };
    client.address(&request).await.unwrap();
    let process = Path::new("/proc").join(running.0.id().to_string());
    let mut all = std::fs::read(process.join("cmdline")).unwrap();
    all.extend(std::fs::read(process.join("environ")).unwrap_or_default());
    drop(running);
    for output in outputs {
        all.extend(output.stdout);
        all.extend(output.stderr);
    }
    files_below(place.dir.path(), &mut all);
    assert!(all.len() > 5_000, "{}", all.len());
    assert_eq!(found(&all, &needles()), Vec::<&str>::new());
}

#[test]
fn promise_01_a_new_mnemonic_is_printed_once_and_kept_nowhere() {
    let place = Place::empty();
    let file = place.path("passphrase").display().to_string();
    let init = || command(&place, &["init", "--passphrase-file", &file], "");
    let output = init();
    assert!(output.status.success());
    let words = String::from_utf8(output.stdout).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    custody::Phrase::parse(&words).unwrap();
    assert!(output.stderr.is_empty());
    let mut files = Vec::new();
    files_below(place.dir.path(), &mut files);
    let three_words: Vec<&str> = words.split_whitespace().take(3).collect();
    assert!(!String::from_utf8_lossy(&files).contains(&three_words.join(" ")));
    assert!(!init().status.success(), "a second init changes nothing");
}

#[test]
fn promise_04_a_passphrase_comes_from_a_private_place_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::empty();
    let file = place.path("passphrase");
    let path = file.display().to_string();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let init = &["init", "--import", "--passphrase-file", path.as_str()];
    assert!(!command(&place, init, WORDS).status.success(), "others can read it");
    assert!(!command(&place, &["init", "--import"], WORDS).status.success(), "none is named");
    let argument = &["init", "--import", "--passphrase", "in clear"];
    assert!(!command(&place, argument, WORDS).status.success(), "there is no such argument");
}

/// The memory of a process that it can write to: heap, stacks, data.
fn memory(process: &Path) -> Option<Vec<u8>> {
    let maps = std::fs::read_to_string(process.join("maps")).ok()?;
    let mut file = File::open(process.join("mem")).ok()?;
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut region = vec![0; usize::try_from(to - from).unwrap()];
        if file.read_exact(&mut region).is_ok() {
            all.extend(region);
        }
    }
    Some(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_no_key_is_left_in_memory_after_signing() {
    let place = Place::new();
    let requests = three(&mut place.engine());
    let running = serve(&place, None);
    let client = SignerClient::new(&place.config.socket, None);
    let marker = "canary-of-the-scan-41c7";
    let freeze = signer_protocol::FreezeRequest {
        asset: None,
        account: Some(99),
        reason: marker.to_owned(),
    };
    client.freeze(&freeze).await.unwrap();
    for request in &requests {
        client.sign(request).await.unwrap();
    }
    let checkpoint =
        signer_protocol::CheckpointRequest { origin: ORIGIN.to_owned(), size: 1, root: [1; 32] };
    client.checkpoint(&checkpoint).await.unwrap();
    let process = Path::new("/proc").join(running.0.id().to_string());
    let Some(memory) = memory(&process) else {
        // Not even the same user may read it; that is the other half of the promise.
        assert!(!rustix::process::geteuid().is_root());
        return;
    };
    assert!(memory.len() > 100_000);
    let seen = found(&memory, &[("marker", marker.as_bytes().to_vec())]);
    assert_eq!(seen, ["marker"], "the scan sees the heap");
    assert_eq!(found(&memory, &needles()), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_04_the_process_dumps_no_core_and_cannot_be_attached_to() {
    let place = Place::new();
    let running = serve(&place, None);
    SignerClient::new(&place.config.socket, None).hello().await.unwrap();
    let process = Path::new("/proc").join(running.0.id().to_string());
    let limits = std::fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    // A process that is not dumpable belongs to root in /proc, whoever runs it. (For root itself this
    // shows nothing; the unit test of `harden` asks the kernel.)
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(process.join("mem")).unwrap().uid(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_07_the_signer_needs_no_network() {
    let available = Command::new("unshare").args(["-rn", "true"]).status();
    let place = Place::new();
    let request = evm_withdrawal(&mut place.engine(), 1, 0, 1_000);
    let config = place.path("signer.toml");
    let passphrase = place.path("passphrase");
    // No interface but a loopback that is down. Without user namespaces there is still the check of
    // the open sockets below.
    let mut command = if available.is_ok_and(|status| status.success()) {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rn", BINARY]);
        unshare
    } else {
        Command::new(BINARY)
    };
    command.arg("--config").arg(&config).args(["serve", "--passphrase-file"]).arg(&passphrase);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let running = crate::crashes::Running(child);
    SignerClient::new(&place.config.socket, None).sign(&request).await.unwrap();
    let process = Path::new("/proc").join(running.0.id().to_string());
    if let Ok(descriptors) = std::fs::read_dir(process.join("fd")) {
        let inodes: Vec<String> = descriptors
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.replace(']', "")))
            .collect();
        assert!(!inodes.is_empty());
        for table in ["tcp", "tcp6", "udp", "udp6", "raw"] {
            let table = std::fs::read_to_string(process.join("net").join(table)).unwrap();
            for line in table.lines().skip(1) {
                let inode = line.split_whitespace().nth(9).unwrap();
                assert!(!inodes.iter().any(|ours| ours == inode), "{line}");
            }
        }
    }
}
