#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../roadstead.example.toml");

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let owned = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::from_parts(text, owned)
}

#[test]
fn the_example_is_valid() {
    let config = load(EXAMPLE, &[]).unwrap();
    assert_eq!(config.chains.len(), 3);
    assert!(!config.assets.is_empty());
}

#[test]
fn the_environment_overrides_every_kind_of_setting() {
    let environment = [
        ("ROADSTEAD__SERVER__LISTEN", "127.0.0.1:9999"),
        ("ROADSTEAD__SERVER__BODY_BYTES_MAX", "1234"),
        ("ROADSTEAD__CHAINS__0__RPC_URL", "http://127.0.0.1:1"),
        ("ROADSTEAD__CHAINS__0__ANCHOR", "false"),
        ("ROADSTEAD__FIAT__CURRENCIES", "[\"JPY\"]"),
        ("UNRELATED", "x"),
    ];
    let config = load(EXAMPLE, &environment).unwrap();
    assert_eq!(config.server.listen.port(), 9999);
    assert_eq!(config.server.body_bytes_max, 1234);
    assert_eq!(config.chains[0].rpc_url, "http://127.0.0.1:1");
    assert!(!config.chains[0].anchor);
    assert_eq!(config.fiat.currencies, BTreeSet::from(["JPY".to_owned()]));
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    let in_file = EXAMPLE.replace("[server]", "[server]\nlissten = 1");
    assert!(load(&in_file, &[]).unwrap_err().to_string().contains("lissten"));
    let in_environment = load(EXAMPLE, &[("ROADSTEAD__SERVER__LISSTEN", "1")]);
    assert!(in_environment.unwrap_err().to_string().contains("lissten"));
    assert!(load(EXAMPLE, &[("ROADSTEAD__CHAINS__9__NAME", "x")]).is_err());
}

#[test]
fn contradictions_are_refused() {
    for (old, new) in [
        ("finality = 6", "finality = \"finalized\""),
        ("finality = 6", "finality = 0"),
        ("name = \"evm\"", "name = \"bitcoin\""),
        ("code = \"ETH\"", "code = \"BTC\""),
        ("id = \"eip155:1\"", "id = \"bip122:000000000019d6689c085ae165831e93\""),
        (
            "id = \"eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48\"",
            "id = \"eip155:1/slip44:60\"",
        ),
        ("origin = \"", "origin = \"a b"),
    ] {
        assert!(EXAMPLE.contains(old), "{old}");
        assert!(load(&EXAMPLE.replacen(old, new, 1), &[]).is_err(), "{old} -> {new}");
    }
}

#[test]
fn the_quorum_of_witnesses_is_one_of_those_that_are_named() {
    let key = |name: &str, seed: u8| {
        use base64::Engine as _;
        use sha2::{Digest as _, Sha256};
        let public = ed25519(seed);
        let typed = [&[4], &public[..]].concat();
        let id = Sha256::digest([name.as_bytes(), b"\n", &typed].concat());
        let data = base64::engine::general_purpose::STANDARD.encode(&typed);
        format!("{name}+{}+{data}", hex::encode(&id[..4]))
    };
    let witness = |name: &str, seed: u8| {
        let key = key(&format!("{name}.example/w"), seed);
        format!(
            "\n[[log.witnesses]]\nname = \"{name}\"\nurl = \"https://{name}\"\nkey = \"{key}\"\n"
        )
    };
    let with = |min: &str, witnesses: String| {
        load(&(EXAMPLE.replace("[log]", &format!("[log]\n{min}")) + &witnesses), &[])
    };
    let two = || witness("one", 0) + &witness("two", 1);
    assert_eq!(with("", two()).unwrap().log.witnesses_min, None);
    assert_eq!(with("witnesses_min = 2", two()).unwrap().log.witnesses_min, Some(2));
    for min in [0, 3] {
        let error = with(&format!("witnesses_min = {min}"), two()).unwrap_err().to_string();
        assert!(error.contains("1 to 2"), "{error}");
    }
    let error = with("", witness("one", 0) + &witness("two", 0)).unwrap_err().to_string();
    assert!(error.contains("has the key of another"), "{error}");
}

/// Two points of the curve: public keys of RFC 8032 section 7.1, tests 1 and 2.
fn ed25519(number: u8) -> Vec<u8> {
    let keys = [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ];
    hex::decode(keys[usize::from(number)]).unwrap()
}
