use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Address, ChainFamily};

/// How a key is derived from the seed, and what its address looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyScheme {
    /// BIP-84, P2WPKH: `m/84'/coin'/account'/branch/index`.
    Bip84,
    /// BIP-86, P2TR by key path: `m/86'/coin'/account'/branch/index`.
    Bip86,
    /// BIP-44 for EVM chains: `m/44'/60'/account'/branch/index`.
    Bip44Evm,
    /// SLIP-10 Ed25519 for Solana, all hardened: `m/44'/501'/account'/branch'/index'`.
    Slip10Solana,
}

impl KeyScheme {
    /// The family whose addresses the scheme gives.
    #[must_use]
    pub const fn family(self) -> ChainFamily {
        match self {
            Self::Bip84 | Self::Bip86 => ChainFamily::Bitcoin,
            Self::Bip44Evm => ChainFamily::Evm,
            Self::Slip10Solana => ChainFamily::Solana,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Bip84 => "bip84",
            Self::Bip86 => "bip86",
            Self::Bip44Evm => "bip44-evm",
            Self::Slip10Solana => "slip10-solana",
        }
    }
}

/// The external or the change branch of an account (BIP-44).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// Addresses that are given out.
    External,
    /// Change that comes back.
    Change,
}

impl Branch {
    /// 0 for external, 1 for change.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::External => 0,
            Self::Change => 1,
        }
    }
}

/// Names one key of the seed. The coin type is left to the signer, which knows each network: so a
/// caller cannot ask for a path outside the documented ones.
///
/// Accounts are hardened: 0 is the treasury, 1 pays for anchors, 16 and up belong to customers, one
/// each. Its text is `bip84/16/0/3`: scheme, account, branch, index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPath {
    scheme: KeyScheme,
    account: u32,
    branch: Branch,
    index: u32,
}

/// Why a key path was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a key path such as bip84/16/0/3 (scheme, account, branch 0 or 1, index; each below 2^31)"
)]
pub struct KeyPathError(String);

impl KeyPath {
    /// The account of the treasury.
    pub const TREASURY: u32 = 0;
    /// The account that pays for anchors.
    pub const ANCHOR: u32 = 1;
    /// The first account that belongs to a customer.
    pub const FIRST_CUSTOMER: u32 = 16;

    /// The key of `scheme` at the hardened `account`, `branch` and `index`.
    ///
    /// # Errors
    /// [`KeyPathError`] when a number is 2^31 or more.
    pub fn new(
        scheme: KeyScheme,
        account: u32,
        branch: Branch,
        index: u32,
    ) -> Result<Self, KeyPathError> {
        let path = Self { scheme, account, branch, index };
        if account < 1 << 31 && index < 1 << 31 {
            Ok(path)
        } else {
            Err(KeyPathError(path.to_string()))
        }
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(self) -> KeyScheme {
        self.scheme
    }

    /// The hardened account number.
    #[must_use]
    pub const fn account(self) -> u32 {
        self.account
    }

    /// The branch.
    #[must_use]
    pub const fn branch(self) -> Branch {
        self.branch
    }

    /// The address index.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, account, branch, index } = self;
        write!(formatter, "{}/{account}/{}/{index}", scheme.label(), branch.number())
    }
}

impl FromStr for KeyPath {
    type Err = KeyPathError;

    fn from_str(text: &str) -> Result<Self, KeyPathError> {
        let error = || KeyPathError(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let [scheme, account, branch, index] = parts[..] else { return Err(error()) };
        let schemes =
            [KeyScheme::Bip84, KeyScheme::Bip86, KeyScheme::Bip44Evm, KeyScheme::Slip10Solana];
        let scheme = schemes.into_iter().find(|known| known.label() == scheme).ok_or_else(error)?;
        let branch = match branch {
            "0" => Branch::External,
            "1" => Branch::Change,
            _ => return Err(error()),
        };
        let number = |part: &str| part.parse::<u32>().map_err(|_| error());
        let path = Self::new(scheme, number(account)?, branch, number(index)?)?;
        if path.to_string() == text { Ok(path) } else { Err(error()) }
    }
}

impl TryFrom<String> for KeyPath {
    type Error = KeyPathError;

    fn try_from(text: String) -> Result<Self, KeyPathError> {
        text.parse()
    }
}

impl From<KeyPath> for String {
    fn from(path: KeyPath) -> Self {
        path.to_string()
    }
}

/// An address of ours together with the key that controls it. The signer derives the address again
/// and refuses a pair that does not match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyedAddress {
    /// The key.
    pub key: KeyPath,
    /// Its address.
    pub address: Address,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_odd_texts_are_refused() {
        for good in
            ["bip84/0/1/7", "bip86/16/0/0", "bip44-evm/2147483647/0/1", "slip10-solana/3/0/9"]
        {
            assert_eq!(good.parse::<KeyPath>().map(String::from), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "bip84/0/0",
            "bip84/0/2/0",
            "bip84/2147483648/0/0",
            "bip84/00/0/0",
            "bip84/0'/0/0",
            "m/84'/0'/0'/0/0",
        ] {
            assert!(bad.parse::<KeyPath>().is_err(), "{bad:?}");
        }
    }
}
