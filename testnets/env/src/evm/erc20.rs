use alloy_primitives::{B256, Bytes, U256, hex, keccak256};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::token::{TOKEN_DECIMALS, TOKEN_SYMBOL};

const ARTEFACT: &str = include_str!("../../../../chains/evm/contracts/TestToken.json");

/// The ABI encoding of a call whose arguments are single words.
pub(super) fn call_data(signature: &str, words: &[B256]) -> Bytes {
    let selector = keccak256(signature);
    let mut data = selector[..4].to_vec();
    words.iter().for_each(|word| data.extend_from_slice(word.as_slice()));
    data.into()
}

/// The contract's creation code with its constructor's arguments: name, symbol, decimals.
pub(super) fn init_code() -> Result<Vec<u8>> {
    let broken = |reason: String| Error::Refused(format!("TestToken.json: {reason}"));
    let artefact: Value =
        serde_json::from_str(ARTEFACT).map_err(|error| broken(error.to_string()))?;
    let bytecode = artefact["bytecode"].as_str().ok_or_else(|| broken("no bytecode".into()))?;
    let mut code = hex::decode(bytecode).map_err(|error| broken(error.to_string()))?;
    let word = |value: u64| B256::from(U256::from(value));
    let text = |value: &str| {
        let mut padded = [0_u8; 32];
        padded[..value.len()].copy_from_slice(value.as_bytes());
        B256::from(padded)
    };
    // Offsets of the two strings, the number, then each string as length and one padded word.
    let (name, symbol) = ("Roadstead Test Token", TOKEN_SYMBOL);
    let arguments = [
        word(0x60),
        word(0xa0),
        word(TOKEN_DECIMALS.into()),
        word(20),
        text(name),
        word(3),
        text(symbol),
    ];
    arguments.iter().for_each(|argument| code.extend_from_slice(argument.as_slice()));
    Ok(code)
}
