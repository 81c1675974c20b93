use chain_core::{ChainFamily, ChainId, KeyPath, KeyScheme};

use crate::bip32::HARDENED;
use crate::keys::KeyError;

/// The CAIP-2 reference of Bitcoin's main network; every other Bitcoin network is a test network.
const BITCOIN_MAIN: &str = "000000000019d6689c085ae165831e93";

/// The purpose of the log key's own branch, `ROAD` in ASCII: no wallet derives there.
const LOG_PURPOSE: u32 = 0x524F_4144;

/// The SLIP-44 coin type that `chain`'s keys are derived with: 0 on Bitcoin's main network and 1 on
/// its test networks, 60 on every EVM chain, 501 on every Solana cluster.
#[must_use]
pub fn coin_type(chain: &ChainId) -> u32 {
    match chain.family() {
        ChainFamily::Bitcoin if chain.reference() != BITCOIN_MAIN => 1,
        family => family.slip44(),
    }
}

/// The steps of `key` on `chain`, hardened ones with bit 31 set: purpose', coin', account', branch,
/// index, the last two hardened too on Solana.
///
/// # Errors
/// [`KeyError::WrongFamily`] when the scheme is not of the chain's family.
pub(crate) fn steps(chain: &ChainId, key: KeyPath) -> Result<[u32; 5], KeyError> {
    if key.scheme().family() != chain.family() {
        return Err(KeyError::WrongFamily { key, chain: chain.clone() });
    }
    let (purpose, tail) = match key.scheme() {
        KeyScheme::Bip84 => (84, 0),
        KeyScheme::Bip86 => (86, 0),
        KeyScheme::Bip44Evm => (44, 0),
        KeyScheme::Slip10Solana => (44, HARDENED),
    };
    Ok([
        purpose | HARDENED,
        coin_type(chain) | HARDENED,
        key.account() | HARDENED,
        key.branch().number() | tail,
        key.index() | tail,
    ])
}

/// The steps of a log key: `m/1380925764'/0'/<generation>'`.
pub(crate) const fn log_steps(generation: u8) -> [u32; 3] {
    [LOG_PURPOSE | HARDENED, HARDENED, generation as u32 | HARDENED]
}

/// The path as other wallets write it, `m/84'/1'/16'/0/3`.
///
/// # Errors
/// [`KeyError::WrongFamily`].
pub fn path_text(chain: &ChainId, key: KeyPath) -> Result<String, KeyError> {
    let mut text = "m".to_owned();
    for step in steps(chain, key)? {
        let (number, mark) = (step & !HARDENED, if step >= HARDENED { "'" } else { "" });
        text.push_str(&format!("/{number}{mark}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_are_the_documented_ones() {
        let text =
            |chain: &str, key: &str| path_text(&chain.parse().unwrap(), key.parse().unwrap());
        let main = "bip122:000000000019d6689c085ae165831e93";
        let regtest = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
        let solana = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
        assert_eq!(text(main, "bip84/0/1/7").unwrap(), "m/84'/0'/0'/1/7");
        assert_eq!(text(regtest, "bip86/16/0/3").unwrap(), "m/86'/1'/16'/0/3");
        assert_eq!(text("eip155:56", "bip44-evm/2/0/9").unwrap(), "m/44'/60'/2'/0/9");
        assert_eq!(text(solana, "slip10-solana/0/0/1").unwrap(), "m/44'/501'/0'/0'/1'");
        assert!(matches!(text(main, "bip44-evm/0/0/0"), Err(KeyError::WrongFamily { .. })));
    }
}
