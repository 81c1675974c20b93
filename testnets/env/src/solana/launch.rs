use std::path::Path;

use super::SolanaOptions;
use crate::error::Result;
use crate::ports::{Port, PortPair};
use crate::provision::SolanaProgram;

pub(super) fn ports(options: &SolanaOptions) -> Result<PortPair> {
    let Some(rpc) = options.port else { return PortPair::free() };
    let flag = "--solana-port";
    let rpc = Port::fixed(rpc, "the Solana node", flag)?;
    let ws = Port::fixed(rpc.number().saturating_add(1), "Solana subscriptions", flag)?;
    Ok(PortPair { rpc, ws })
}

pub(super) fn arguments(
    program: &SolanaProgram,
    folder: &Path,
    port: u16,
    slot_ms: u64,
) -> Vec<String> {
    let list: Vec<(&str, String)> = match program {
        SolanaProgram::Own(_) => vec![
            ("--rpc-port", port.to_string()),
            ("--ws-port", port.saturating_add(1).to_string()),
            ("--slot-ms", slot_ms.to_string()),
        ],
        // It puts subscriptions on the port above by itself; a tick is 6.25 ms.
        SolanaProgram::TestValidator(_) => vec![
            ("--ledger", folder.join("ledger").display().to_string()),
            ("--bind-address", "127.0.0.1".into()),
            ("--rpc-port", port.to_string()),
            ("--faucet-port", "0".into()),
            ("--ticks-per-slot", slot_ms.saturating_mul(4).div_euclid(25).max(2).to_string()),
            ("--quiet", String::new()),
        ],
    };
    list.into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .filter(|argument| !argument.is_empty())
        .collect()
}

/// The same host, one port up, as every Solana client expects.
pub(super) fn subscription_url(url: &str) -> Option<String> {
    let mut parsed = reqwest::Url::parse(url).ok()?;
    let port = parsed.port()?.checked_add(1)?;
    parsed.set_port(Some(port)).ok()?;
    parsed.set_scheme("ws").ok()?;
    Some(parsed.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_one_port_up() {
        let url = subscription_url("http://127.0.0.1:8899");
        assert_eq!(url.as_deref(), Some("ws://127.0.0.1:8900"));
    }

    #[test]
    fn a_test_validator_gets_a_ledger_of_its_own_and_short_slots() {
        let program = SolanaProgram::TestValidator("solana-test-validator".into());
        let arguments = arguments(&program, Path::new("/scratch"), 25_000, 50).join(" ");
        assert!(arguments.contains("--ledger /scratch/ledger"), "{arguments}");
        assert!(arguments.contains("--ticks-per-slot 8 --quiet"), "{arguments}");
    }
}
