//! The architecture as rules that a change can break. `docs/ARCHITECTURE.md` gives the reasons.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "rules/links.rs"]
mod links;
#[path = "rules/sources.rs"]
mod sources;

use links::{Crate, linked, offences, undeclared, workspace};
use sources::{Rule, SourceFile, breaches, rust_files};

/// Each crate of ours and the crates of ours that it may name in `[dependencies]`.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("chain-core", &[]),
    ("chain-evm", &["chain-core"]),
    ("chain-bitcoin", &["chain-core"]),
    ("chain-solana", &["chain-core"]),
    ("chain-families", &["chain-core", "chain-evm", "chain-bitcoin", "chain-solana"]),
    (
        "chain-nodes",
        &["chain-core", "chain-families", "chain-evm", "chain-bitcoin", "chain-solana"],
    ),
    ("custody", &["chain-core"]),
    ("signer-protocol", &["chain-core"]),
    ("signer-client", &["chain-core", "signer-protocol"]),
    (
        "signer-daemon",
        &[
            "custody",
            "signer-protocol",
            "chain-core",
            "chain-families",
            "chain-evm",
            "chain-bitcoin",
            "chain-solana",
        ],
    ),
    ("api-store", &[]),
    ("api-ledger", &["api-store"]),
    ("api-loans", &["api-ledger", "api-store"]),
    ("api-audit", &["api-store", "api-verify"]),
    ("api-verify", &[]),
    ("api-verify-wasm", &["api-verify"]),
    ("api-witness", &["api-verify"]),
    ("api-webhooks", &["api-store", "api-ledger"]),
    ("api-care", &["api-store", "api-ledger", "api-loans", "api-audit", "api-webhooks"]),
    (
        "api-server",
        &[
            "api-store",
            "api-ledger",
            "api-loans",
            "api-audit",
            "api-verify",
            "api-webhooks",
            "api-care",
            "api-witness",
            "chain-core",
            "chain-families",
            "chain-evm",
            "chain-bitcoin",
            "chain-solana",
            "chain-nodes",
            "signer-protocol",
            "signer-client",
        ],
    ),
    ("launch", &[]),
];

/// May depend on anything; nothing depends on it.
const TESTNETS: &str = "testnets";

/// What turns a secret into keys, or keeps it.
const KEY_MATERIAL: &[&str] =
    &["custody", "bip39", "argon2", "slip10", "solana-keypair", "solana-seed-phrase"];
const KEY_HOLDERS: &[&str] = &["custody", "signer-daemon"];

/// What speaks to a node and to nothing else.
const NODE_CLIENTS: &[&str] = &[
    "alloy-provider",
    "alloy-transport-http",
    "alloy-transport-ws",
    "alloy-rpc-client",
    "solana-rpc-client",
    "solana-pubsub-client",
    "bitcoincore-rpc",
    "bdk_bitcoind_rpc",
    "corepc-client",
];
/// `roadstead-verify --node` is the named exception.
const NODE_CALLERS: &[&str] = &["chain-nodes", "api-verify"];
/// Nodes can be spoken to over plain HTTP too, so who may use it is named as well.
const HTTP_CLIENTS: &[&str] = &["reqwest", "ureq", "hyper", "hyper-util"];
/// The webhooks go to customers; witnesses are asked to cosign.
const HTTP_CALLERS: &[&str] = &["chain-nodes", "api-verify", "api-webhooks", "api-witness"];

/// Its functions need names in the module, by an attribute that counts as unsafe (ADR 501).
const UNSAFE_NAMES: &str = "api-verify-wasm";

/// Network, database and web: nothing of it in the process that holds the keys.
const NOT_IN_THE_SIGNER: &[&str] = &[
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "axum",
    "reqwest",
    "ureq",
    "hyper",
    "hyper-util",
    "h2",
    "rustls",
    "native-tls",
    "openssl",
    "tungstenite",
    "chain-nodes",
];

/// Crates that compute and store, and never open a connection of their own.
const OFFLINE: &[&str] = &[
    "chain-core",
    "chain-evm",
    "chain-bitcoin",
    "chain-solana",
    "chain-families",
    "custody",
    "signer-protocol",
    "signer-client",
];
const NOT_OFFLINE: &[&str] = &["reqwest", "ureq", "hyper", "sqlx", "sqlx-core", "axum"];

fn checked_crates() -> Vec<Crate> {
    let crates: Vec<Crate> =
        workspace().into_iter().filter(|member| member.name != TESTNETS).collect();
    assert!(crates.len() >= DIRECTIONS.len(), "cargo metadata lost some crates");
    crates
}

#[test]
fn crates_depend_only_in_the_allowed_directions() {
    let wrong = undeclared(&checked_crates(), DIRECTIONS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Promise 7: the server can never obtain a key, because what makes keys is not linked into it.
#[test]
fn promise_07_only_custody_and_the_signer_link_key_material() {
    for member in checked_crates() {
        if !KEY_HOLDERS.contains(&member.name.as_str()) {
            let found = offences(&linked(&member.name), KEY_MATERIAL);
            assert!(found.is_empty(), "{} links {found:?}", member.name);
        }
    }
    let signer = linked("signer-daemon");
    assert!(!offences(&signer, &["custody"]).is_empty(), "the check sees nothing: {signer:?}");
}

/// Promise 7: the process with the keys has no way out.
#[test]
fn promise_07_the_signer_links_no_network_client_and_no_database() {
    let signer = linked("signer-daemon");
    assert!(offences(&signer, NOT_IN_THE_SIGNER).is_empty(), "{signer:?}");
    assert!(!signer.iter().any(|name| name.starts_with("api-")), "{signer:?}");
}

#[test]
fn only_chain_nodes_speaks_to_nodes() {
    for (clients, callers) in [(NODE_CLIENTS, NODE_CALLERS), (HTTP_CLIENTS, HTTP_CALLERS)] {
        for member in checked_crates() {
            if !callers.contains(&member.name.as_str()) {
                let found = offences(&member.dependencies, clients);
                assert!(found.is_empty(), "{} depends on {found:?}", member.name);
            }
        }
    }
    for name in OFFLINE {
        let tree = linked(name);
        let found = [offences(&tree, NODE_CLIENTS), offences(&tree, NOT_OFFLINE)].concat();
        assert!(found.is_empty(), "{name} links {found:?}");
    }
    let nodes = linked("chain-nodes");
    let seen = [offences(&nodes, NODE_CLIENTS), offences(&nodes, HTTP_CLIENTS)].concat();
    assert!(!seen.is_empty(), "the check sees nothing: {nodes:?}");
}

/// The verifier works when the operator is gone: nothing of the server is in it.
#[test]
fn the_verifier_links_nothing_of_the_server() {
    let tree = linked("api-verify");
    let ours: Vec<&str> = DIRECTIONS.iter().map(|(name, _)| *name).collect();
    let others: Vec<&str> = ours.into_iter().filter(|name| *name != "api-verify").collect();
    let found =
        [offences(&tree, &others), offences(&tree, &["sqlx", "sqlx-core", "axum"])].concat();
    assert!(found.is_empty(), "api-verify links {found:?}");
}

#[test]
fn sql_lives_in_the_store_and_in_repositories() {
    assert_kept(Rule::Sql, 3);
}

#[test]
fn only_the_http_folder_of_the_server_knows_axum() {
    assert_kept(Rule::Axum, 1);
}

#[test]
fn only_the_family_crates_vouch_for_addresses() {
    assert_kept(Rule::CanonicalAddress, 1);
}

/// Fails on a breach, and when fewer than `expected` files use the thing where it is allowed: then
/// the check itself would see nothing.
fn assert_kept(rule: Rule, expected: usize) {
    let files = rust_files();
    let wrong = breaches(rule, &files);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let uses = files.iter().filter(|file| rule.allows(&file.path) && rule.uses(&file.code)).count();
    assert!(uses >= expected, "only {uses} files use it at all: is the check blind?");
}

/// Whether the lints are those of the workspace but for unsafe code, which is denied instead of
/// forbidden: attributes may expect it.
fn has_the_workspace_lints(manifest: &str) -> bool {
    let workspace =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")).unwrap();
    let from = |text: &str, start: &str, end: &str| -> Option<String> {
        let (_, rest) = text.split_once(start)?;
        Some(rest.split(end).next()?.trim().replace("[workspace.lints", "[lints"))
    };
    let wanted = from(&workspace, "[workspace.lints.rust]", "[profile.");
    let found = from(manifest, "[lints.rust]", "[profile.");
    wanted.is_some() && wanted == found.map(|lints| lints.replace("\"deny\"", "\"forbid\""))
}

#[test]
fn every_crate_takes_the_workspace_lints_and_shows_its_readme() {
    for member in workspace() {
        let manifest = std::fs::read_to_string(&member.manifest).unwrap();
        let lints = manifest.contains("[lints]\nworkspace = true")
            || (member.name == UNSAFE_NAMES && has_the_workspace_lints(&manifest));
        assert!(lints, "{}: lints", member.name);
        let folder = member.manifest.parent().unwrap();
        assert!(folder.join("README.md").exists(), "{}: README.md", member.name);
        let root = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        let root = root.iter().find(|path| path.exists()).unwrap();
        let code = std::fs::read_to_string(root).unwrap();
        assert!(code.contains("include_str!(\"../README.md\")"), "{}: doc", member.name);
    }
}

#[test]
fn the_direction_check_finds_a_wrong_arrow_and_a_stranger() {
    let member = |name: &str, dependencies: &[&str]| Crate {
        name: name.into(),
        manifest: "Cargo.toml".into(),
        dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
    };
    let good = [member("chain-core", &["serde"]), member("chain-evm", &["chain-core"])];
    assert!(undeclared(&good, DIRECTIONS).is_empty());
    let bad = [
        member("chain-evm", &["chain-core", "chain-bitcoin"]),
        member("api-server", &["custody"]),
        member("api-ledger", &["testnets"]),
        member("chain-utils", &[]),
    ];
    let found = undeclared(&bad, DIRECTIONS);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn the_source_checks_find_what_they_look_for() {
    let file = |path: &str, code: &str| SourceFile { path: path.into(), code: code.into() };
    let sql = "let q = \"SELECT id FROM t\";";
    let address = "let a = Address::from_canonical(chain, text);";
    let bad = [
        (Rule::Sql, file("api/server/src/http/deposits.rs", sql)),
        (Rule::Sql, file("api/loans/src/lib.rs", "use sqlx::Row;")),
        (Rule::Sql, file("api/loans/src/terms.rs", "r#\"\n  INSERT INTO loans\"#")),
        (Rule::Sql, file("chains/core/src/lib.rs", "\"DELETE FROM x\"")),
        (Rule::Axum, file("api/server/src/jobs/sweep.rs", "use axum::Json;")),
        (Rule::Axum, file("api/audit/src/lib.rs", "axum::Router::new()")),
        (Rule::CanonicalAddress, file("api/server/src/custody.rs", address)),
        (Rule::CanonicalAddress, file("chains/nodes/src/evm.rs", address)),
    ];
    for (rule, file) in bad {
        assert_eq!(breaches(rule, std::slice::from_ref(&file)).len(), 1, "{rule:?} {}", file.path);
    }
    let good = [
        (Rule::Sql, file("api/store/src/tx.rs", sql)),
        (Rule::Sql, file("api/loans/src/repo.rs", sql)),
        (Rule::Sql, file("api/server/src/repo/deposits.rs", sql)),
        (Rule::Sql, file("api/ledger/src/engine/sqlite.rs", sql)),
        (Rule::Sql, file("api/loans/src/lib.rs", "let update = select(insert);")),
        (Rule::Axum, file("api/server/src/http/mod.rs", "use axum::Json;")),
        (Rule::CanonicalAddress, file("chains/evm/src/address.rs", address)),
    ];
    for (rule, file) in good {
        assert!(breaches(rule, std::slice::from_ref(&file)).is_empty(), "{rule:?} {}", file.path);
    }
}
