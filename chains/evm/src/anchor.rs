use alloy_primitives::{Address as RawAddress, B256, Bytes, Log, LogData, address, b256};
use alloy_sol_types::{SolCall, SolEvent, sol};
use chain_core::{Address, AnchorCommitment, BuildError, ChainId};

use crate::address::canonical;

sol!(RoadsteadAnchor, "contracts/RoadsteadAnchor.json");

/// The deterministic deployment proxy, at the same address on almost every EVM chain:
/// <https://github.com/Arachnid/deterministic-deployment-proxy>. Its input is a salt and init code.
pub const DEPLOYMENT_PROXY: RawAddress = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Keccak-256 of `roadstead anchor 1`.
const SALT: B256 = b256!("129af3e5d2b3c9d40651b7c44a89814bf906da21c56cbd30038b31b9c01b5775");

/// The deployment proxy as an address of `chain`.
#[must_use]
pub fn deployment_proxy_address(chain: &ChainId) -> Address {
    canonical(chain, &DEPLOYMENT_PROXY)
}

/// Where the anchor contract is on every EVM chain (EIP-1014): a function of the proxy, the salt and
/// the compiled contract alone, so nobody has to be told and nobody can deploy another one there.
#[must_use]
pub fn anchor_contract_address(chain: &ChainId) -> Address {
    canonical(chain, &contract())
}

pub(crate) fn contract() -> RawAddress {
    DEPLOYMENT_PROXY.create2_from_code(SALT, &RoadsteadAnchor::BYTECODE)
}

/// What the proxy is sent so that it deploys the anchor contract.
pub(crate) fn deployment_input() -> Bytes {
    [SALT.as_slice(), &RoadsteadAnchor::BYTECODE].concat().into()
}

pub(crate) fn anchor_input(commitment: &AnchorCommitment) -> Bytes {
    RoadsteadAnchor::anchorCall {
        origin: commitment.origin.into(),
        size: commitment.size,
        checkpoint: commitment.checkpoint.into(),
    }
    .abi_encode()
    .into()
}

pub(crate) fn decode_anchor_input(input: &[u8]) -> Result<AnchorCommitment, BuildError> {
    let call = RoadsteadAnchor::anchorCall::abi_decode_validate(input)
        .map_err(|error| BuildError::Malformed(format!("not a call of anchor: {error}")))?;
    Ok(AnchorCommitment {
        origin: call.origin.into(),
        size: call.size,
        checkpoint: call.checkpoint.into(),
    })
}

/// An `Anchored` event of the anchor contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchoredEvent {
    /// Who recorded it.
    pub sender: Address,
    /// What was recorded.
    pub commitment: AnchorCommitment,
}

/// Reads a log entry; `None` when it is not an `Anchored` event of the anchor contract.
#[must_use]
pub fn anchored_event(
    chain: &ChainId,
    emitter: RawAddress,
    data: &LogData,
) -> Option<AnchoredEvent> {
    let log = Log { address: emitter, data: data.clone() };
    let event = RoadsteadAnchor::Anchored::decode_log_validate(&log).ok()?;
    (emitter == contract()).then(|| AnchoredEvent {
        sender: canonical(chain, &event.sender),
        commitment: AnchorCommitment {
            origin: event.origin.into(),
            size: event.size,
            checkpoint: event.checkpoint.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn the_salt_is_what_it_says() {
        assert_eq!(SALT, keccak256("roadstead anchor 1"));
    }

    #[test]
    fn only_the_contracts_own_events_are_read() {
        let Ok(chain) = "eip155:1".parse::<ChainId>() else { panic!() };
        let (sender, origin, checkpoint) =
            (RawAddress::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3));
        let data = RoadsteadAnchor::Anchored { sender, origin, size: 4, checkpoint };
        let data = data.encode_log_data();
        let read = |emitter| anchored_event(&chain, emitter, &data);
        let commitment = AnchorCommitment { origin: origin.0, size: 4, checkpoint: checkpoint.0 };
        let event = AnchoredEvent { sender: canonical(&chain, &sender), commitment };
        assert_eq!(read(contract()), Some(event));
        assert_eq!(read(sender), None, "anybody can emit an event that looks the same");
        assert_eq!(anchored_event(&chain, contract(), &LogData::default()), None);
    }

    #[test]
    fn the_address_is_the_same_on_every_chain() {
        for id in ["eip155:1", "eip155:31337"] {
            let Ok(chain) = id.parse::<ChainId>() else { panic!("{id}") };
            let address = anchor_contract_address(&chain);
            assert_eq!(address.as_str(), "0xA205924f508407048C5E295B59f8c8531Ec9c11D");
            assert_eq!(address.chain(), &chain);
        }
    }
}
