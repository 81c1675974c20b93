use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The families of chains that Roadstead speaks; a closed set, so dispatch is an exhaustive `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainFamily {
    /// Bitcoin and its test networks (CAIP-2 namespace `bip122`).
    Bitcoin,
    /// Ethereum and every chain that runs its virtual machine (`eip155`).
    Evm,
    /// Solana and its clusters (`solana`).
    Solana,
}

impl ChainFamily {
    /// The CAIP-2 namespace.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Bitcoin => "bip122",
            Self::Evm => "eip155",
            Self::Solana => "solana",
        }
    }

    /// The SLIP-44 coin type of the main network's native coin.
    #[must_use]
    pub const fn slip44(self) -> u32 {
        match self {
            Self::Bitcoin => 0,
            Self::Evm => 60,
            Self::Solana => 501,
        }
    }
}

impl fmt::Display for ChainFamily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bitcoin => "bitcoin",
            Self::Evm => "evm",
            Self::Solana => "solana",
        })
    }
}

/// Why an identifier was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a CAIP-2 chain id of a family that is known here.
    #[error("{0:?} is not a CAIP-2 chain id such as eip155:1, bip122:<32 hex> or solana:<base58>")]
    Chain(String),
    /// Not a CAIP-19 asset id.
    #[error("{0:?} is not a CAIP-19 asset id such as eip155:1/slip44:60 or eip155:1/erc20:0x…")]
    Asset(String),
    /// The text is no address of this network.
    #[error("{text:?} is not an address of {chain}: {reason}")]
    Address {
        /// What was given.
        text: String,
        /// The network it was meant for.
        chain: ChainId,
        /// What is wrong with it, in the user's words.
        reason: String,
    },
}

/// A network, as a CAIP-2 id: `eip155:31337`, `bip122:<first 32 hex of the genesis hash>`,
/// `solana:<first 32 characters of the genesis hash>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainId {
    family: ChainFamily,
    text: String,
}

impl ChainId {
    /// The family that the namespace names.
    #[must_use]
    pub const fn family(&self) -> ChainFamily {
        self.family
    }

    /// The whole CAIP-2 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part after the colon.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.text[self.family.namespace().len() + 1..]
    }

    /// The EIP-155 number of an EVM chain; `None` for other families.
    #[must_use]
    pub fn eip155(&self) -> Option<u64> {
        match self.family {
            ChainFamily::Evm => self.reference().parse().ok(),
            ChainFamily::Bitcoin | ChainFamily::Solana => None,
        }
    }

    /// The native coin of this network.
    #[must_use]
    pub fn native(&self) -> AssetId {
        AssetId { chain: self.clone(), kind: AssetKind::Native }
    }
}

impl FromStr for ChainId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError::Chain(text.to_owned());
        let (namespace, reference) = text.split_once(':').ok_or_else(error)?;
        let alphanumeric = reference.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (family, valid) = match namespace {
            "bip122" => {
                let lower_hex =
                    reference.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (ChainFamily::Bitcoin, reference.len() == 32 && lower_hex)
            }
            "eip155" => {
                let number = reference.parse::<u64>();
                (ChainFamily::Evm, number.is_ok_and(|id| id > 0 && id.to_string() == reference))
            }
            "solana" => (ChainFamily::Solana, reference.len() == 32 && alphanumeric),
            _ => return Err(error()),
        };
        if valid { Ok(Self { family, text: text.to_owned() }) } else { Err(error()) }
    }
}

impl TryFrom<String> for ChainId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ChainId> for String {
    fn from(chain: ChainId) -> Self {
        chain.text
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What kind of asset of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// The coin that pays the fees.
    Native,
    /// An ERC-20 contract (`0x…` in lower case) or an SPL mint (base58).
    Token(String),
}

/// An asset, as a CAIP-19 id: `eip155:1/slip44:60`, `eip155:1/erc20:0x…`, `solana:…/token:<mint>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetId {
    chain: ChainId,
    kind: AssetKind,
}

impl AssetId {
    /// The network that the asset lives on.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// Native coin or token.
    #[must_use]
    pub const fn kind(&self) -> &AssetKind {
        &self.kind
    }

    /// True for the coin that pays fees.
    #[must_use]
    pub const fn is_native(&self) -> bool {
        matches!(self.kind, AssetKind::Native)
    }

    /// The contract or mint of a token; `None` for the native coin.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match &self.kind {
            AssetKind::Native => None,
            AssetKind::Token(token) => Some(token),
        }
    }
}

impl FromStr for AssetId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError::Asset(text.to_owned());
        let (chain, asset) = text.split_once('/').ok_or_else(error)?;
        let chain: ChainId = chain.parse().map_err(|_| error())?;
        let (namespace, reference) = asset.split_once(':').ok_or_else(error)?;
        let kind = match (namespace, chain.family) {
            ("slip44", family) if reference == family.slip44().to_string() => AssetKind::Native,
            ("erc20", ChainFamily::Evm) if is_lower_hex_address(reference) => {
                AssetKind::Token(reference.to_owned())
            }
            ("token", ChainFamily::Solana)
                if (32..=44).contains(&reference.len())
                    && reference.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                AssetKind::Token(reference.to_owned())
            }
            _ => return Err(error()),
        };
        Ok(Self { chain, kind })
    }
}

fn is_lower_hex_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| {
        digits.len() == 40 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl TryFrom<String> for AssetId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AssetId> for String {
    fn from(asset: AssetId) -> Self {
        asset.to_string()
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = &self.chain;
        match (&self.kind, chain.family) {
            (AssetKind::Native, family) => write!(formatter, "{chain}/slip44:{}", family.slip44()),
            (AssetKind::Token(token), ChainFamily::Solana) => {
                write!(formatter, "{chain}/token:{token}")
            }
            (AssetKind::Token(token), _) => write!(formatter, "{chain}/erc20:{token}"),
        }
    }
}

/// Text that somebody gave as an address. It cannot be paid: a family crate's `check_address` turns
/// it into an [`Address`] once network and checksum are right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UncheckedAddress(pub String);

/// An address whose network and checksum were checked, in its canonical text.
///
/// EVM: EIP-55 mixed case; Bitcoin: lower-case bech32(m) or Base58Check; Solana: base58.
/// It is not `Deserialize`d into trust: the signer checks every address again on arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    chain: ChainId,
    text: String,
}

impl Address {
    /// Wraps a canonical text. Only the family crates call this, after their checks
    /// (`testnets/env/tests/rules.rs` keeps it so).
    #[must_use]
    pub fn from_canonical(chain: ChainId, canonical: String) -> Self {
        Self { chain, text: canonical }
    }

    /// The network.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Back to unchecked text, for the signer's own check.
    #[must_use]
    pub fn to_unchecked(&self) -> UncheckedAddress {
        UncheckedAddress(self.text.clone())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_follow_caip_2() {
        for good in [
            "eip155:1",
            "eip155:31337",
            "bip122:000000000019d6689c085ae165831e93",
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        ] {
            assert_eq!(good.parse::<ChainId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "eip155",
            "eip155:",
            "eip155:0",
            "eip155:01",
            "eip155:-1",
            "cosmos:x",
            "bip122:00",
            "solana:!",
        ] {
            assert!(bad.parse::<ChainId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn asset_ids_follow_caip_19() {
        for good in [
            "eip155:1/slip44:60",
            "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
            "bip122:000000000019d6689c085ae165831e93/slip44:0",
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/token:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        ] {
            assert_eq!(good.parse::<AssetId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "eip155:1",
            "eip155:1/slip44:0",
            "eip155:1/erc20:0xA0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
            "bip122:000000000019d6689c085ae165831e93/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        ] {
            assert!(bad.parse::<AssetId>().is_err(), "{bad:?}");
        }
    }
}
