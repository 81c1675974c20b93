use alloy_primitives::{Address as RawAddress, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use chain_core::{
    Action, Address, Amount, AmountError, AnchorCommitment, AssetId, BuildError, ChainId, Payment,
    UncheckedAddress,
};

use crate::address::{canonical, raw};
use crate::{anchor, check_address};

sol! {
    /// The one verb of ERC-20 that is ever signed.
    interface Erc20 {
        function transfer(address to, uint256 amount) external returns (bool);
    }
}

/// The call that an action becomes: the fields of a transaction that do not depend on the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who is called.
    pub to: RawAddress,
    /// Native coin that is sent along, in wei.
    pub value: U256,
    /// The call data.
    pub input: Bytes,
}

/// The call that performs `action` on `chain`.
///
/// # Errors
/// [`BuildError`] for what cannot be done here: another network's assets, several payments in one
/// transaction, nothing to pay, a payment to the token contract itself, another anchor contract.
pub fn call_of(chain: &ChainId, action: &Action) -> Result<Call, BuildError> {
    match action {
        Action::Pay { payments } => {
            let [payment] = &payments[..] else {
                let count = payments.len();
                return Err(BuildError::Unsupported(format!(
                    "an EVM transaction makes exactly one payment, not {count}"
                )));
            };
            call_of_payment(chain, payment)
        }
        Action::Anchor { commitment, contract } => {
            call_of_anchor(chain, commitment, contract.as_ref())
        }
        Action::DeployAnchorContract => Ok(Call {
            to: anchor::DEPLOYMENT_PROXY,
            value: U256::ZERO,
            input: anchor::deployment_input(),
        }),
        Action::CreateNonceAccount { .. } => {
            Err(BuildError::Unsupported("EVM chains have no nonce accounts".to_owned()))
        }
    }
}

fn call_of_payment(chain: &ChainId, payment: &Payment) -> Result<Call, BuildError> {
    let to = raw(chain, &payment.to)?;
    if payment.asset.chain() != chain {
        let asset = &payment.asset;
        return Err(BuildError::Unsupported(format!("{asset} is not an asset of {chain}")));
    }
    if payment.amount.is_zero() {
        return Err(BuildError::Zero);
    }
    let amount = U256::from(payment.amount.minor());
    let Some(token) = payment.asset.token() else {
        return Ok(Call { to, value: amount, input: Bytes::new() });
    };
    let token = raw(chain, &check_address(chain, &UncheckedAddress(token.to_owned()))?)?;
    if token == to {
        return Err(BuildError::Unsupported(
            "a token that is sent to its own contract is lost".to_owned(),
        ));
    }
    let input = Erc20::transferCall { to, amount }.abi_encode().into();
    Ok(Call { to: token, value: U256::ZERO, input })
}

fn call_of_anchor(
    chain: &ChainId,
    commitment: &AnchorCommitment,
    contract: Option<&Address>,
) -> Result<Call, BuildError> {
    let expected = crate::anchor_contract_address(chain);
    if contract != Some(&expected) {
        return Err(BuildError::Unsupported(format!(
            "the anchor contract of {chain} is {expected}"
        )));
    }
    if commitment.checkpoint == [0; 32] {
        return Err(BuildError::Unsupported("the zero hash cannot be anchored".to_owned()));
    }
    Ok(Call { to: anchor::contract(), value: U256::ZERO, input: anchor::anchor_input(commitment) })
}

/// Reads back what a call does. Whatever [`call_of`] would not have made is refused.
pub(crate) fn action_of(chain: &ChainId, call: &Call) -> Result<Action, BuildError> {
    let action = if call.input.is_empty() {
        pay(canonical(chain, &call.to), chain.native(), call.value)?
    } else if call.to == anchor::DEPLOYMENT_PROXY {
        Action::DeployAnchorContract
    } else if call.to == anchor::contract() {
        Action::Anchor {
            commitment: anchor::decode_anchor_input(&call.input)?,
            contract: Some(canonical(chain, &call.to)),
        }
    } else {
        token_payment_of(chain, call)?
    };
    if call_of(chain, &action)? == *call {
        Ok(action)
    } else {
        Err(BuildError::Malformed("the call carries more than what it does".to_owned()))
    }
}

fn token_payment_of(chain: &ChainId, call: &Call) -> Result<Action, BuildError> {
    let transfer = Erc20::transferCall::abi_decode_validate(&call.input).map_err(|_| {
        BuildError::Malformed(format!("an unknown call of {}", call.to.to_checksum(None)))
    })?;
    let asset: AssetId = format!("{chain}/erc20:{:#x}", call.to).parse()?;
    pay(canonical(chain, &transfer.to), asset, transfer.amount)
}

fn pay(to: Address, asset: AssetId, amount: U256) -> Result<Action, BuildError> {
    let amount = u128::try_from(amount).map(Amount::new).map_err(|_| AmountError::Overflow)?;
    Ok(Action::Pay { payments: vec![Payment { to, asset, amount }] })
}
