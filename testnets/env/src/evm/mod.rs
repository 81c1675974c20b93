mod erc20;

use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address as EvmAddress, B256, Bytes, U256, keccak256};
use chain_core::{Amount, ChainId};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::erc20::{call_data, init_code};
use crate::env::until_ready;
use crate::error::{Error, Result};
use crate::ports::Port;
use crate::provision;
use crate::rpc::Rpc;
use crate::token::TestToken;
use crate::watchdog::Watched;

/// The tenth developer account gives money away; tests may use the nine before it.
const FAUCET: &str = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
/// What each developer account holds at the start, in ether.
const ENDOWMENT_ETHER: &str = "100000000";
/// The deterministic deployment proxy, which anvil has from the start.
const DEPLOYER: &str = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
/// Blocks that anvil's `finalized` tag is behind the head: two epochs of one slot.
const FINALITY_DEPTH: u64 = 2;
const RECEIPT_LIMIT: Duration = Duration::from_secs(30);

/// How anvil is started.
#[derive(Clone, Debug, Default)]
pub struct EvmOptions {
    /// The port; a free one when absent.
    pub port: Option<u16>,
    /// Mine a block this often, also without transactions, so that `finalized` advances. When
    /// absent, a block is mined with each transaction and on request.
    pub block_time: Option<Duration>,
}

/// A local EVM network: anvil.
#[derive(Debug)]
pub struct Evm {
    rpc: Rpc,
    url: String,
    chain: ChainId,
    faucet: Mutex<()>,
    node: Option<(Watched, Port)>,
}

impl Evm {
    /// Starts anvil and waits until it answers.
    ///
    /// # Errors
    /// See [`Error`]; most likely a taken port or a program that cannot be had.
    pub async fn start(options: &EvmOptions) -> Result<Self> {
        let program = provision::in_background(provision::anvil).await?;
        let port = match options.port {
            Some(number) => Port::fixed(number, "the EVM node", "--evm-port")?,
            None => Port::free()?,
        };
        let arguments = arguments(port.number(), options);
        let mut watched = Watched::start("anvil", &program, |_: &Path| arguments)?;
        let url = format!("http://127.0.0.1:{}", port.number());
        let mut evm = until_ready("anvil", &mut watched, || Self::connect(&url)).await?;
        evm.node = Some((watched, port));
        Ok(evm)
    }

    /// A handle for a node that runs already; dropping it leaves the node alone.
    ///
    /// # Errors
    /// [`Error::Transport`] when nothing answers there.
    pub async fn connect(url: &str) -> Result<Self> {
        let rpc = Rpc::new(url)?;
        let number: U256 = rpc.call("eth_chainId", json!([])).await?;
        let chain = format!("eip155:{number}")
            .parse()
            .map_err(|error| Error::Refused(format!("{url}: {error}")))?;
        Ok(Self { rpc, url: url.to_owned(), chain, faucet: Mutex::new(()), node: None })
    }

    /// The HTTP address for JSON-RPC.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.url
    }

    /// The network: `eip155:31337`.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// For calls that the handle does not offer, such as `evm_increaseTime`.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Blocks that a final block is behind the head.
    #[must_use]
    pub const fn finality_depth(&self) -> u64 {
        FINALITY_DEPTH
    }

    /// The number of the newest block.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn height(&self) -> Result<u64> {
        let height: U256 = self.rpc.call("eth_blockNumber", json!([])).await?;
        u64::try_from(height).map_err(|_| Error::Refused("a block number past 64 bits".into()))
    }

    /// The balance of `address` at the head, in wei.
    ///
    /// # Errors
    /// [`Error::Rpc`] when the address is not one.
    pub async fn balance(&self, address: &str) -> Result<Amount> {
        amount(self.rpc.call("eth_getBalance", json!([address, "latest"])).await?)
    }

    /// What `address` holds of `token` at the head, in its smallest unit.
    ///
    /// # Errors
    /// [`Error::Refused`] when the address is not one.
    pub async fn token_balance(&self, token: &TestToken, address: &str) -> Result<Amount> {
        let data = call_data("balanceOf(address)", &[parse_address(address)?.into_word()]);
        let call = json!([{ "to": token.address, "data": data }, "latest"]);
        amount(self.rpc.call("eth_call", call).await?)
    }

    /// Sends `amount` wei to `address` in a transaction of its own, waits until it is mined, and
    /// returns its hash.
    ///
    /// # Errors
    /// [`Error::Rpc`] or [`Error::Refused`] when the node or the contract at `address` refuses it.
    pub async fn fund(&self, address: &str, amount: Amount) -> Result<String> {
        let address = parse_address(address)?;
        self.send(json!({ "to": address, "value": U256::from(amount.minor()) })).await
    }

    /// Mints `amount` units of `token` for `address`, and returns the transaction's hash.
    ///
    /// # Errors
    /// As [`Evm::fund`].
    pub async fn fund_token(
        &self,
        token: &TestToken,
        address: &str,
        amount: Amount,
    ) -> Result<String> {
        self.mint(token, address, U256::from(amount.minor())).await
    }

    /// Mints 2^128 units of `token` and `more` for `address`, which is more than an [`Amount`] can say, and
    /// returns the transaction's hash.
    ///
    /// # Errors
    /// As [`Evm::fund`].
    pub async fn fund_token_past_128_bits(
        &self,
        token: &TestToken,
        address: &str,
        more: Amount,
    ) -> Result<String> {
        self.mint(token, address, U256::from(u128::MAX) + U256::from(1) + U256::from(more.minor()))
            .await
    }

    async fn mint(&self, token: &TestToken, address: &str, value: U256) -> Result<String> {
        let words = [parse_address(address)?.into_word(), B256::from(value)];
        let data = call_data("mint(address,uint256)", &words);
        self.send(json!({ "to": token.address, "data": data })).await
    }

    /// Deploys the test token (`RTT`, 6 places) unless it is there. Its address is the same on
    /// every anvil.
    ///
    /// # Errors
    /// [`Error::Rpc`] when the node refuses it.
    pub async fn deploy_token(&self) -> Result<TestToken> {
        let init_code = init_code()?;
        let deployer = parse_address(DEPLOYER)?;
        let address = deployer.create2(B256::ZERO, keccak256(&init_code));
        let code: Bytes = self.rpc.call("eth_getCode", json!([address, "latest"])).await?;
        if code.is_empty() {
            let data = Bytes::from([B256::ZERO.as_slice(), &init_code].concat());
            self.send(json!({ "to": deployer, "data": data })).await?;
        }
        let asset = format!("{}/erc20:{address:#x}", self.chain);
        TestToken::new(&asset, address.to_string())
    }

    /// Mines `blocks` blocks.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn mine(&self, blocks: u64) -> Result<()> {
        self.rpc.call::<Value>("anvil_mine", json!([format!("{blocks:#x}")])).await.map(|_| ())
    }

    /// Replaces the newest `depth` blocks by as many empty ones. The transactions in them are gone
    /// from chain and mempool; send them again to see them mined elsewhere.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain is not that long.
    pub async fn reorg(&self, depth: u64) -> Result<()> {
        self.replace(depth, &[]).await
    }

    /// As [`Evm::reorg`], but the transactions are mined again, all in the newest block.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain is not that long.
    pub async fn reorg_keeping(&self, depth: u64) -> Result<()> {
        let height = self.height().await?;
        let mut kept = Vec::new();
        for number in height.saturating_sub(depth)..height {
            let number = format!("{:#x}", number.saturating_add(1));
            let block: Value =
                self.rpc.call("eth_getBlockByNumber", json!([number, false])).await?;
            for hash in block["transactions"].as_array().into_iter().flatten() {
                kept.push(self.rpc.call("eth_getRawTransactionByHash", json!([hash])).await?);
            }
        }
        self.replace(depth, &kept).await
    }

    /// Puts `depth` new blocks in place of the newest ones, with these raw transactions in the last.
    async fn replace(&self, depth: u64, transactions: &[String]) -> Result<()> {
        let height = self.height().await?;
        let Some(last) = depth.checked_sub(1).filter(|_| depth <= height) else {
            return Err(Error::Refused(format!(
                "cannot reorganise {depth} blocks of a chain of {height}"
            )));
        };
        let placed: Vec<Value> = transactions.iter().map(|raw| json!([raw, last])).collect();
        self.rpc.call::<Value>("anvil_reorg", json!([depth, placed])).await.map(|_| ())
    }

    async fn send(&self, mut transaction: Value) -> Result<String> {
        // One at a time, so that the node numbers them without gaps.
        let _turn = self.faucet.lock().await;
        transaction["from"] = json!(FAUCET);
        let hash: String = self.rpc.call("eth_sendTransaction", json!([transaction])).await?;
        let receipt = self.receipt(&hash).await?;
        if receipt["status"] == json!("0x1") {
            Ok(hash)
        } else {
            Err(Error::Refused(format!("transaction {hash} was mined and failed")))
        }
    }

    async fn receipt(&self, hash: &str) -> Result<Value> {
        let limit = tokio::time::Instant::now() + RECEIPT_LIMIT;
        loop {
            let receipt: Value = self.rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
            if !receipt.is_null() {
                return Ok(receipt);
            }
            if tokio::time::Instant::now() > limit {
                return Err(Error::Refused(format!("transaction {hash} is not mined after 30 s")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn arguments(port: u16, options: &EvmOptions) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--silent", "--slots-in-an-epoch", "1", "--balance", ENDOWMENT_ETHER, "--port"]
            .map(str::to_owned)
            .into();
    arguments.push(port.to_string());
    arguments.extend(["--mnemonic".to_owned(), crate::DEV_MNEMONIC.to_owned()]);
    if let Some(block_time) = options.block_time {
        let (seconds, millis) = (block_time.as_secs(), block_time.subsec_millis());
        arguments.extend(["--block-time".to_owned(), format!("{seconds}.{millis:03}")]);
    }
    arguments
}

fn parse_address(text: &str) -> Result<EvmAddress> {
    text.parse().map_err(|_| Error::Refused(format!("{text:?} is not an EVM address")))
}

fn amount(value: U256) -> Result<Amount> {
    u128::try_from(value)
        .map(Amount::new)
        .map_err(|_| Error::Refused("a balance past 128 bits".into()))
}
