//! The committed artefacts are what the pinned compiler makes of the committed sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// As in every source's `pragma`.
const SOLC: &str = "0.8.30";

/// Artefact and the source file that it is made from.
const CONTRACTS: [(&str, &str); 7] = [
    ("RoadsteadAnchor", "RoadsteadAnchor.sol"),
    ("TestToken", "TestToken.sol"),
    ("FeeOnTransferToken", "HostileTokens.sol"),
    ("NoReturnToken", "HostileTokens.sol"),
    ("ReturnFalseToken", "HostileTokens.sol"),
    ("SpoofToken", "HostileTokens.sol"),
    ("Payer", "Payers.sol"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contracts")
}

/// The folder of the compiler, installed once into the user's cache.
fn compiler() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    let cached = cache.join("roadstead").join(format!("npm-solc-{SOLC}"));
    if cached.join("node_modules/solc/package.json").exists() {
        return cached;
    }
    std::fs::create_dir_all(cached.parent().unwrap()).unwrap();
    // Installed beside and renamed, so that an interrupted or parallel run leaves no half of it.
    let beside = cached.with_file_name(format!("npm-solc-{SOLC}.{}", std::process::id()));
    let status = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&beside)
        .arg(format!("solc@{SOLC}"))
        .status()
        .expect("npm (Debian: apt install npm) is needed to rebuild the contracts");
    assert!(status.success(), "npm could not install solc@{SOLC}");
    if std::fs::rename(&beside, &cached).is_err() {
        std::fs::remove_dir_all(&beside).unwrap();
    }
    cached
}

#[test]
fn artefacts_are_rebuilt_from_their_sources() {
    let compiler = compiler();
    for (contract, source) in CONTRACTS {
        let output = Command::new("node")
            .arg(folder().join("compile.js"))
            .arg(&compiler)
            .arg(folder().join(source))
            .arg(contract)
            .output()
            .expect("node (Debian: apt install nodejs) is needed to rebuild the contracts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rebuilt: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = std::fs::read_to_string(folder().join(format!("{contract}.json"))).unwrap();
        let committed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(rebuilt, committed, "{contract}.json is not what {source} compiles to");
        assert!(committed["solc"].as_str().unwrap().starts_with(SOLC));
    }
}
