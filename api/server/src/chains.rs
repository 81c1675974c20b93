//! The configured networks and assets, and the connections to their nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use chain_core::{
    Address, Amount, AssetId, AssetKind, ChainFamily, ChainId, NodeError, UncheckedAddress,
};
use chain_nodes::AnyNode;
use chain_nodes::bitcoin::{BitcoinAuth, BitcoinNode, BitcoinNodeConfig};
use chain_nodes::evm::{EvmNode, EvmOptions};
use chain_nodes::solana::{SolanaNode, SolanaOptions};
use tokio::sync::OnceCell;

use crate::config::{AssetConfig, ChainConfig, Config, Finality, read_secret};
use crate::error::{Code, Error};

/// The networks.
#[derive(Debug)]
pub struct Chains {
    chains: Vec<Chain>,
    assets: Vec<AssetConfig>,
}

/// One network.
#[derive(Debug)]
pub struct Chain {
    /// As configured.
    pub config: ChainConfig,
    tokens: BTreeSet<String>,
    node: OnceCell<AnyNode>,
}

impl Chains {
    pub(crate) fn new(config: &Config) -> Self {
        let chains = config.chains.iter().map(|chain| {
            let tokens = config.assets.iter().filter(|asset| *asset.id.chain() == chain.id);
            let tokens = tokens.filter_map(|asset| asset.id.token().map(str::to_owned)).collect();
            Chain { config: chain.clone(), tokens, node: OnceCell::new() }
        });
        Self { chains: chains.collect(), assets: config.assets.clone() }
    }

    /// All networks.
    pub fn iter(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter()
    }

    /// All assets.
    #[must_use]
    pub fn assets(&self) -> &[AssetConfig] {
        &self.assets
    }

    /// The network with this name.
    ///
    /// # Errors
    /// [`Code::UnknownChain`].
    pub fn named(&self, name: &str) -> Result<&Chain, Error> {
        let found = self.chains.iter().find(|chain| chain.config.name == name);
        found
            .ok_or_else(|| Error::refuse(Code::UnknownChain, format!("there is no chain {name:?}")))
    }

    /// The network with this CAIP-2 id.
    ///
    /// # Errors
    /// [`Code::UnknownChain`].
    pub fn with_id(&self, id: &ChainId) -> Result<&Chain, Error> {
        let found = self.chains.iter().find(|chain| chain.config.id == *id);
        found.ok_or_else(|| Error::refuse(Code::UnknownChain, format!("there is no chain {id}")))
    }

    /// The chain asset with this code.
    ///
    /// # Errors
    /// [`Code::UnknownAsset`].
    pub fn asset(&self, code: &str) -> Result<&AssetConfig, Error> {
        let found = self.assets.iter().find(|asset| asset.code == code);
        found.ok_or_else(|| {
            Error::refuse(Code::UnknownAsset, format!("there is no chain asset {code:?}"))
        })
    }

    /// The code of an asset by its CAIP-19 id.
    #[must_use]
    pub fn code_of(&self, id: &AssetId) -> Option<&str> {
        self.assets.iter().find(|asset| asset.id == *id).map(|asset| asset.code.as_str())
    }

    /// The native coin of a network; the configuration was checked to have it.
    ///
    /// # Errors
    /// [`Code::UnknownAsset`].
    pub fn native(&self, chain: &Chain) -> Result<&AssetConfig, Error> {
        let native = chain.config.id.native();
        let found = self.assets.iter().find(|asset| asset.id == native);
        found
            .ok_or_else(|| Error::refuse(Code::UnknownAsset, format!("{native} is not configured")))
    }

    /// The assets of a network.
    pub fn assets_of(&self, chain: &Chain) -> impl Iterator<Item = &AssetConfig> {
        let id = chain.config.id.clone();
        self.assets.iter().filter(move |asset| *asset.id.chain() == id)
    }
}

impl Chain {
    /// The family.
    #[must_use]
    pub const fn family(&self) -> ChainFamily {
        self.config.id.family()
    }

    /// The registered tokens of the network.
    #[must_use]
    pub const fn tokens(&self) -> &BTreeSet<String> {
        &self.tokens
    }

    /// How often to look for news.
    #[must_use]
    pub const fn poll(&self) -> Duration {
        Duration::from_millis(self.config.poll_ms)
    }

    /// The address that a user wrote, checked for this network.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`].
    pub fn check_address(&self, text: &str) -> Result<Address, Error> {
        Ok(chain_families::check_address(&self.config.id, &UncheckedAddress(text.to_owned()))?)
    }

    /// What `amount` of `asset` needs to be final.
    #[must_use]
    pub fn finality(&self, asset: &AssetConfig, amount: Amount) -> Finality {
        let tier = asset.finality.iter().find(|tier| amount <= tier.amount_up_to);
        tier.map_or(self.config.finality, |tier| tier.finality)
    }

    /// The node, connected at first use.
    ///
    /// # Errors
    /// [`NodeError`] while it cannot be reached or follows another network.
    pub async fn node(&self) -> Result<&AnyNode, NodeError> {
        self.node.get_or_try_init(|| self.connect()).await
    }

    /// True once the node was reached.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.node.initialized()
    }

    async fn connect(&self) -> Result<AnyNode, NodeError> {
        let config = &self.config;
        Ok(match self.family() {
            ChainFamily::Evm => {
                let options = EvmOptions::default();
                AnyNode::Evm(EvmNode::connect(&config.rpc_url, config.id.clone(), options).await?)
            }
            ChainFamily::Bitcoin => AnyNode::Bitcoin(BitcoinNode::connect(self.bitcoin()?).await?),
            ChainFamily::Solana => {
                let options = SolanaOptions::default();
                AnyNode::Solana(
                    SolanaNode::connect(&config.rpc_url, config.id.clone(), options).await?,
                )
            }
        })
    }

    fn bitcoin(&self) -> Result<BitcoinNodeConfig, NodeError> {
        let config = &self.config;
        let password = config.rpc_password_file.as_deref().map(read_secret).transpose();
        let password = password.map_err(|error| NodeError::Unreachable(error.to_string()))?;
        let auth = BitcoinAuth::UserPassword {
            user: config.rpc_user.clone().unwrap_or_default(),
            password: password.unwrap_or_default(),
        };
        Ok(BitcoinNodeConfig {
            url: config.rpc_url.clone(),
            auth,
            chain: config.id.clone(),
            fallback_fee_sat_per_kwu: config.fallback_fee_sat_per_kwu,
        })
    }
}

/// True for the coin that pays the fees.
#[must_use]
pub(crate) fn is_native(asset: &AssetConfig) -> bool {
    matches!(asset.id.kind(), AssetKind::Native)
}

impl Finality {
    /// Whether a block at `height` is final in the world of `tip`.
    #[must_use]
    pub fn is_reached(self, height: u64, tip: &chain_core::Tip) -> bool {
        match self {
            Self::Finalized => tip.finalized.is_some_and(|finalized| finalized >= height),
            Self::Confirmations(needed) => tip
                .head
                .height
                .checked_sub(height)
                .is_some_and(|above| above.saturating_add(1) >= u64::from(needed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chain_core::{BlockRef, Tip};

    use super::Finality;

    #[test]
    fn a_block_is_final_with_its_confirmations_or_when_the_chain_says_so() {
        let tip = |head, finalized| Tip {
            head: BlockRef { height: head, hash: String::new() },
            finalized,
        };
        let two = Finality::Confirmations(2);
        assert!(!two.is_reached(10, &tip(10, None)), "1 confirmation");
        assert!(two.is_reached(10, &tip(11, None)), "2 confirmations");
        assert!(!two.is_reached(10, &tip(9, None)), "a node that went back");
        assert!(!Finality::Finalized.is_reached(10, &tip(99, Some(9))));
        assert!(Finality::Finalized.is_reached(10, &tip(99, Some(10))));
        assert!(!Finality::Finalized.is_reached(10, &tip(99, None)));
    }
}
