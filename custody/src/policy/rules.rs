//! What the policy's file can say.

use std::collections::BTreeSet;

use chain_core::{Address, Amount, AssetId, ChainId, IdError, KeyPath, Purpose, UncheckedAddress};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub(super) enum Rule {
    Withdrawal(PayRule),
    Sweep(PayRule),
    Fuel(PayRule),
    Anchor(ActRule),
    Setup(ActRule),
}

/// A rule for payments of one asset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayRule {
    pub(super) asset: AssetId,
    /// The most that one intent may pay.
    pub(super) amount_max: Amount,
    /// The most that all intents under this rule may pay in any 24 hours.
    pub(super) per_day_max: Amount,
    pub(super) fees: FeeCaps,
    pub(super) destinations: Destinations,
    pub(super) from: Option<BTreeSet<Wallet>>,
}

/// A rule for what moves no customer money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActRule {
    pub(super) chain: ChainId,
    pub(super) fees: FeeCaps,
    /// The contracts that an anchor may call (EVM).
    #[serde(default)]
    pub(super) contracts: Vec<UncheckedAddress>,
    pub(super) from: Option<BTreeSet<Wallet>>,
}

/// Caps in the chain's native coin.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeeCaps {
    pub(super) per_tx_max: Amount,
    pub(super) per_day_max: Amount,
}

/// Who may be paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Destinations {
    Named(Group),
    List(Vec<UncheckedAddress>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    /// Anybody, within the limits.
    Any,
    /// Addresses that this signer issued; the treasury's alone for a sweep.
    Own,
}

/// Whose keys may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wallet {
    Treasury,
    Anchor,
    Customers,
}

impl Rule {
    pub(super) const fn purpose(&self) -> Purpose {
        match self {
            Self::Withdrawal(_) => Purpose::Withdrawal,
            Self::Sweep(_) => Purpose::Sweep,
            Self::Fuel(_) => Purpose::Fuel,
            Self::Anchor(_) => Purpose::Anchor,
            Self::Setup(_) => Purpose::Setup,
        }
    }

    pub(super) const fn chain(&self) -> &ChainId {
        match self {
            Self::Withdrawal(rule) | Self::Sweep(rule) | Self::Fuel(rule) => rule.asset.chain(),
            Self::Anchor(rule) | Self::Setup(rule) => &rule.chain,
        }
    }

    pub(super) fn subject(&self) -> String {
        match self {
            Self::Withdrawal(rule) | Self::Sweep(rule) | Self::Fuel(rule) => rule.asset.to_string(),
            Self::Anchor(rule) | Self::Setup(rule) => rule.chain.to_string(),
        }
    }

    pub(super) fn validate(
        &self,
        check: impl Fn(&ChainId, &UncheckedAddress) -> Result<Address, IdError>,
    ) -> Result<(), String> {
        let addresses = match self {
            Self::Withdrawal(PayRule { destinations: Destinations::List(list), .. }) => list,
            Self::Withdrawal(_) => return Ok(()),
            Self::Sweep(rule) | Self::Fuel(rule) => {
                let own = matches!(rule.destinations, Destinations::Named(Group::Own));
                let native = rule.asset.is_native() || self.purpose() == Purpose::Sweep;
                return match (own, native) {
                    (false, _) => Err("its destinations can only be \"own\"".to_owned()),
                    (_, false) => Err("fuel is the native coin".to_owned()),
                    _ => Ok(()),
                };
            }
            Self::Anchor(rule) => &rule.contracts,
            Self::Setup(rule) if rule.contracts.is_empty() => return Ok(()),
            Self::Setup(_) => return Err("a setup rule names no contracts".to_owned()),
        };
        addresses.iter().try_for_each(|text| {
            let address = check(self.chain(), text).map_err(|error| error.to_string())?;
            if address.as_str() == text.0 {
                Ok(())
            } else {
                Err(format!("write {:?} as {address}", text.0))
            }
        })
    }
}

impl Wallet {
    pub(super) const fn of(key: KeyPath) -> Option<Self> {
        match key.account() {
            KeyPath::TREASURY => Some(Self::Treasury),
            KeyPath::ANCHOR => Some(Self::Anchor),
            KeyPath::FIRST_CUSTOMER.. => Some(Self::Customers),
            _ => None,
        }
    }
}
