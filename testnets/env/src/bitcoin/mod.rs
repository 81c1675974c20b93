mod faucet;

use std::path::Path;
use std::time::Duration;

use bitcoin::{Address, Network, WPubkeyHash, hashes::Hash};
use chain_core::{Amount, ChainId};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::faucet::Faucet;
use crate::env::until_ready;
use crate::error::{Error, Result};
use crate::ports::Port;
use crate::provision;
use crate::rpc::Rpc;
use crate::watchdog::Watched;

/// User and password of every local node; they protect nothing.
const LOGIN: &str = "roadstead";
/// A coinbase can be spent after 100 blocks, so the faucet starts with twenty coins of 50.
const FIRST_BLOCKS: u64 = 120;

/// How bitcoind is started.
#[derive(Clone, Debug, Default)]
pub struct BitcoinOptions {
    /// The RPC port; a free one when absent.
    pub port: Option<u16>,
    /// Mine a block this often, for as long as the handle lives; only on request when absent.
    pub block_time: Option<Duration>,
}

/// A local Bitcoin network: Bitcoin Core's `bitcoind` on regtest, with `-txindex`, without a wallet.
#[derive(Debug)]
pub struct Bitcoin {
    rpc: Rpc,
    url: String,
    chain: ChainId,
    faucet: Faucet,
    miner: Option<JoinHandle<()>>,
    node: Option<(Watched, Port)>,
}

impl Bitcoin {
    /// Starts bitcoind, and mines the faucet's first coins.
    ///
    /// # Errors
    /// See [`Error`]; most likely a taken port or a program that cannot be had.
    pub async fn start(options: &BitcoinOptions) -> Result<Self> {
        let program = provision::in_background(provision::bitcoind).await?;
        let port = match options.port {
            Some(number) => Port::fixed(number, "the Bitcoin node", "--bitcoin-port")?,
            None => Port::free()?,
        };
        let number = port.number();
        let mut watched = Watched::start("bitcoind", &program, |folder| arguments(folder, number))?;
        let url = format!("http://{LOGIN}:{LOGIN}@127.0.0.1:{number}");
        let mut bitcoin = until_ready("bitcoind", &mut watched, || Self::connect(&url)).await?;
        bitcoin.node = Some((watched, port));
        bitcoin.mine(FIRST_BLOCKS).await?;
        if let Some(block_time) = options.block_time {
            bitcoin.mine_every(block_time);
        }
        Ok(bitcoin)
    }

    /// A handle for a node that runs already; dropping it leaves the node alone.
    ///
    /// # Errors
    /// [`Error::Transport`] when nothing answers there, [`Error::Refused`] when it is not regtest.
    pub async fn connect(url: &str) -> Result<Self> {
        let rpc = Rpc::new(url)?;
        let info: Value = rpc.call("getblockchaininfo", json!([])).await?;
        if info["chain"] != json!("regtest") {
            return Err(Error::Refused(format!("the node follows {}, not regtest", info["chain"])));
        }
        let genesis: String = rpc.call("getblockhash", json!([0])).await?;
        let chain = genesis
            .get(..32)
            .and_then(|reference| format!("bip122:{reference}").parse().ok())
            .ok_or_else(|| Error::Refused(format!("odd genesis hash {genesis}")))?;
        let faucet = Faucet::new(rpc.clone())?;
        Ok(Self { rpc, url: url.to_owned(), chain, faucet, miner: None, node: None })
    }

    /// The HTTP address for JSON-RPC, with user and password in it.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.url
    }

    /// The network: `bip122:` and the first 32 digits of the genesis hash.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// For calls that the handle does not offer.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The height of the newest block.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn height(&self) -> Result<u64> {
        self.rpc.call("getblockcount", json!([])).await
    }

    /// What lies on `address` in the best chain, in satoshi; the mempool is left out.
    ///
    /// # Errors
    /// [`Error::Rpc`] when the address is not one.
    pub async fn balance(&self, address: &str) -> Result<Amount> {
        let coins = faucet::unspent(&self.rpc, address).await?;
        let total = coins.iter().try_fold(0_u64, |sum, coin| sum.checked_add(coin.value.to_sat()));
        total.map(Amount::from).ok_or_else(|| Error::Refused("more than there can be".into()))
    }

    /// Sends `amount` satoshi to `address` in a transaction of its own, which waits in the mempool
    /// for a block; returns its id.
    ///
    /// # Errors
    /// [`Error::Refused`] for another network's address or more than the faucet has.
    pub async fn fund(&self, address: &str, amount: Amount) -> Result<String> {
        self.faucet.send(address, amount).await
    }

    /// Mines `blocks` blocks with what is in the mempool; returns their hashes.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn mine(&self, blocks: u64) -> Result<Vec<String>> {
        self.mine_to(&self.faucet.address(), blocks).await
    }

    /// Mines `blocks` blocks whose coinbase goes to `address`.
    ///
    /// # Errors
    /// [`Error::Rpc`] when the address is not one.
    pub async fn mine_to(&self, address: &str, blocks: u64) -> Result<Vec<String>> {
        self.rpc.call("generatetoaddress", json!([blocks, address])).await
    }

    /// Replaces the newest `depth` blocks by a branch that is one longer. The transactions in them
    /// are mined again in its first block, if they are still valid.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain is not that long.
    pub async fn reorg(&self, depth: u64) -> Result<()> {
        self.forget(depth).await?;
        self.mine_to(&nobody(), depth.saturating_add(1)).await.map(|_| ())
    }

    /// As [`Bitcoin::reorg`], but the new branch is empty: the transactions wait in the mempool.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain is not that long.
    pub async fn reorg_empty(&self, depth: u64) -> Result<()> {
        self.forget(depth).await?;
        for _ in 0..=depth {
            self.rpc.call::<Value>("generateblock", json!([nobody(), []])).await?;
        }
        Ok(())
    }

    /// Makes the node regard its newest `depth` blocks as invalid.
    async fn forget(&self, depth: u64) -> Result<()> {
        let height = self.height().await?;
        let first = height.checked_add(1).and_then(|next| next.checked_sub(depth));
        let Some(first) = first.filter(|first| depth > 0 && *first > 0) else {
            return Err(Error::Refused(format!(
                "cannot reorganise {depth} blocks of a chain of {height}"
            )));
        };
        let hash: String = self.rpc.call("getblockhash", json!([first])).await?;
        self.rpc.call("invalidateblock", json!([hash])).await
    }

    fn mine_every(&mut self, block_time: Duration) {
        let (rpc, address) = (self.rpc.clone(), self.faucet.address());
        self.miner = Some(tokio::spawn(async move {
            let mut clock = tokio::time::interval(block_time);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                // A block that failed is made up for by the next one.
                let _ = rpc.call::<Value>("generatetoaddress", json!([1, address])).await;
            }
        }));
    }
}

impl Drop for Bitcoin {
    fn drop(&mut self) {
        if let Some(miner) = &self.miner {
            miner.abort();
        }
    }
}

/// An address without a key, another one each time, so that no two branches have equal blocks.
fn nobody() -> String {
    let hash = WPubkeyHash::from_byte_array(rand::random());
    let program = bitcoin::ScriptBuf::new_p2wpkh(&hash);
    Address::from_script(&program, Network::Regtest)
        .map_or_else(|_| String::new(), |address| address.to_string())
}

fn arguments(folder: &Path, port: u16) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-regtest",
        "-server",
        "-listen=0",
        "-dnsseed=0",
        "-fixedseeds=0",
        "-discover=0",
        "-txindex=1",
        "-acceptnonstdtxn=0",
        "-rpcbind=127.0.0.1",
        "-rpcallowip=127.0.0.1",
        "-rpcworkqueue=256",
        "-nodebuglogfile",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("-datadir={}", folder.display()));
    arguments.push(format!("-rpcport={port}"));
    arguments.push(format!("-rpcuser={LOGIN}"));
    arguments.push(format!("-rpcpassword={LOGIN}"));
    arguments
}
