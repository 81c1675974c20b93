//! The committed artefacts are what the pinned compiler makes of the committed sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// As in every source's `pragma`.
const SOLC: &str = "0.8.30";

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

fn committed(contract: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{contract}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn artefacts_are_rebuilt_from_their_sources() {
    let output = Command::new("node")
        .arg(folder().join("compile.js"))
        .arg(compiler())
        .output()
        .expect("node (Debian: apt install nodejs) is needed to rebuild the contracts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rebuilt: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    for (contract, artefact) in &rebuilt {
        assert_eq!(artefact, &committed(contract), "{contract}.json is not what its source makes");
        assert!(artefact["solc"].as_str().unwrap().starts_with(SOLC));
    }
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name());
    let artefacts = files.filter(|name| name.to_string_lossy().ends_with(".json")).count();
    assert_eq!(artefacts, rebuilt.len(), "every artefact of the folder is rebuilt");
}
