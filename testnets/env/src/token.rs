use chain_core::AssetId;

use crate::error::{Error, Result};

pub(crate) const TOKEN_SYMBOL: &str = "RTT";
pub(crate) const TOKEN_DECIMALS: u8 = 6;

/// The test token of a local network: an ERC-20 contract or an SPL mint. Worth nothing, anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestToken {
    /// The CAIP-19 id.
    pub asset: AssetId,
    /// The contract or mint, as the network writes it.
    pub address: String,
    /// `RTT`.
    pub symbol: &'static str,
    /// Decimal places: 6.
    pub decimals: u8,
}

impl TestToken {
    /// The test token with this CAIP-19 id and this contract or mint.
    ///
    /// # Errors
    /// [`Error::Refused`] when the id is not one.
    pub(crate) fn new(asset: &str, address: String) -> Result<Self> {
        let asset =
            asset.parse().map_err(|error| Error::Refused(format!("test token: {error}")))?;
        Ok(Self { asset, address, symbol: TOKEN_SYMBOL, decimals: TOKEN_DECIMALS })
    }
}
