//! The configuration files of a local stack.

use std::fmt::Write as _;
use std::path::Path;

use super::{ORIGIN, StackOptions};
use crate::{TestEnv, TestToken};

pub(super) const SIGNER: &str = r#"state_dir = "signer-state"
high_water_dir = "signer-mark"
socket = "signer.sock"
policy = "policy.toml"
"#;

/// One network as the files need it.
struct Network {
    name: &'static str,
    id: String,
    rpc_url: String,
    native: &'static str,
    decimals: u8,
    finality: &'static str,
    fee_max: &'static str,
    sweep_min: &'static str,
    more: String,
}

fn networks(folder: &Path, env: &TestEnv) -> Vec<Network> {
    let mut networks = Vec::new();
    if let Ok(bitcoin) = env.bitcoin() {
        let password = folder.join("bitcoin.password");
        networks.push(Network {
            name: "bitcoin",
            id: bitcoin.chain().to_string(),
            rpc_url: bitcoin.rpc_url().replace("roadstead:roadstead@", ""),
            native: "BTC",
            decimals: 8,
            finality: "2",
            fee_max: "100000",
            sweep_min: "10000",
            more: format!(
                "rpc_user = \"roadstead\"\nrpc_password_file = \"{}\"\nfallback_fee_sat_per_kwu = 500\n\
                 evidence_headers = 1\n",
                password.display()
            ),
        });
    }
    if let Ok(evm) = env.evm() {
        networks.push(Network {
            name: "evm",
            id: evm.chain().to_string(),
            rpc_url: evm.rpc_url().to_owned(),
            native: "ETH",
            decimals: 18,
            finality: "\"finalized\"",
            fee_max: "50000000000000000",
            sweep_min: "10000000000000000",
            more: String::new(),
        });
    }
    if let Ok(solana) = env.solana() {
        networks.push(Network {
            name: "solana",
            id: solana.chain().to_string(),
            rpc_url: solana.rpc_url().to_owned(),
            native: "SOL",
            decimals: 9,
            finality: "\"finalized\"",
            fee_max: "10000000",
            sweep_min: "1000000",
            more: "nonce_accounts = 4\n".to_owned(),
        });
    }
    networks
}

/// The code of a test token in the API: `RTT` on EVM, `RTT-SOL` on Solana.
pub(super) fn token_code(token: &TestToken) -> &'static str {
    if token.asset.chain().eip155().is_some() { "RTT" } else { "RTT-SOL" }
}

pub(super) fn server(
    folder: &Path,
    port: u16,
    env: &TestEnv,
    tokens: &[TestToken],
    options: &StackOptions,
) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let database =
        options.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", path("roadstead.db")));
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\noperator_key_file = \"{}\"\n\n[database]\nurl = \"{database}\"\n\n\
         [signer]\nsocket = \"{}\"\n\n[webhooks]\nkey_file = \"{}\"\nallow_http = true\n\
         allow_private = true\n\n[log]\norigin = \"{ORIGIN}\"\ncheckpoint_ms = 300\nanchor_ms = 1500\n\n\
         [fiat]\ncurrencies = [\"EUR\", \"CNY\"]\nstatement_folder = \"{}\"\n\n\
         [care]\ndecide_ms = 300\ndeliver_ms = 200\nlocal_gateways = true\n",
        path("operator.key"),
        path("signer.sock"),
        path("webhook.key"),
        path("statements"),
    );
    for network in networks(folder, env) {
        let Network { name, id, rpc_url, native, decimals, finality, fee_max, sweep_min, more } =
            network;
        let _ = write!(
            text,
            "\n[[chains]]\nname = \"{name}\"\nid = \"{id}\"\nrpc_url = \"{rpc_url}\"\nfinality = {finality}\n\
             poll_ms = 150\nfee_max = \"{fee_max}\"\nanchor = true\n{more}\n[[assets]]\ncode = \"{native}\"\n\
             id = \"{}\"\ndecimals = {decimals}\nsweep_min = \"{sweep_min}\"\n",
            native_id(&id),
        );
    }
    for token in tokens {
        let _ = write!(
            text,
            "\n[[assets]]\ncode = \"{}\"\nid = \"{}\"\ndecimals = {}\nsweep_min = \"1000000\"\n\
             fuel = \"2000000000000000\"\n",
            token_code(token),
            token.asset,
            token.decimals,
        );
    }
    text
}

fn native_id(chain: &str) -> String {
    let coin = match chain.split(':').next() {
        Some("bip122") => 0,
        Some("eip155") => 60,
        _ => 501,
    };
    format!("{chain}/slip44:{coin}")
}

/// What the signer signs on the local networks: generous limits, and nothing that is not used.
pub(super) fn policy(env: &TestEnv, tokens: &[TestToken]) -> String {
    let networks = networks(Path::new(""), env);
    let ids: Vec<String> = networks.iter().map(|network| format!("{:?}", network.id)).collect();
    let mut text =
        format!("version = 1\nchains = [{}]\nlog_origins = [\"{ORIGIN}\"]\n", ids.join(", "));
    for network in &networks {
        let fees = fees(network);
        let asset = native_id(&network.id);
        for purpose in ["withdrawal", "sweep", "fuel"] {
            push_payment_rule(&mut text, purpose, &asset, &fees);
        }
        for token in tokens.iter().filter(|token| token.asset.chain().as_str() == network.id) {
            for purpose in ["withdrawal", "sweep"] {
                push_payment_rule(&mut text, purpose, &token.asset.to_string(), &fees);
            }
        }
        let contracts = match env.evm() {
            Ok(evm) if evm.chain().as_str() == network.id => {
                format!(
                    "contracts = [{:?}]\n",
                    chain_evm::anchor_contract_address(evm.chain()).as_str()
                )
            }
            _ => String::new(),
        };
        for (purpose, more) in [("anchor", contracts.as_str()), ("setup", "")] {
            let _ = write!(
                text,
                "\n[[rule]]\npurpose = \"{purpose}\"\nchain = {:?}\nfees = {fees}\n{more}from = [\"treasury\"]\n",
                network.id
            );
        }
    }
    text
}

fn fees(network: &Network) -> String {
    // A hundred thousand transactions a day: five more digits.
    format!("{{ per_tx_max = \"{0}\", per_day_max = \"{0}00000\" }}", network.fee_max)
}

fn push_payment_rule(text: &mut String, purpose: &str, asset: &str, fees: &str) {
    let destinations = if purpose == "withdrawal" { "any" } else { "own" };
    let _ = write!(
        text,
        "\n[[rule]]\npurpose = \"{purpose}\"\nasset = \"{asset}\"\namount_max = \"1000000000000000000000\"\n\
         per_day_max = \"1000000000000000000000000\"\nfees = {fees}\ndestinations = \"{destinations}\"\n",
    );
}
