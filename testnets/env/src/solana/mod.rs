mod launch;

use std::time::Duration;

use chain_core::{Amount, ChainId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use self::launch::{arguments, ports, subscription_url};
use crate::env::until_ready;
use crate::error::{Error, Result};
use crate::ports::PortPair;
use crate::provision;
use crate::rpc::Rpc;
use crate::spl;
use crate::token::{TOKEN_DECIMALS, TestToken};
use crate::watchdog::Watched;

/// The node refuses to leave an account with less: the rent-exempt minimum of an empty account.
const FUND_MIN_LAMPORTS: u128 = 890_880;
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);
const SLOT_MS: u64 = 50;
/// What the authority of the test token starts with: a thousand token accounts' rent.
const AUTHORITY_LAMPORTS: u128 = 5_000_000_000;

/// How the Solana node is started.
#[derive(Clone, Debug, Default)]
pub struct SolanaOptions {
    /// The port for requests; subscriptions are on the port above it. Free ones when absent.
    pub port: Option<u16>,
    /// The length of a slot; 50 ms when absent, so that a block is final after about 2 s.
    pub slot_time: Option<Duration>,
}

/// A local Solana network.
#[derive(Debug)]
pub struct Solana {
    rpc: Rpc,
    url: String,
    ws_url: String,
    chain: ChainId,
    token: OnceCell<TestToken>,
    node: Option<(Watched, PortPair)>,
}

impl Solana {
    /// Starts the node and waits until it answers.
    ///
    /// # Errors
    /// See [`Error`]; most likely a taken port or a program that cannot be had.
    pub async fn start(options: &SolanaOptions) -> Result<Self> {
        let program = provision::in_background(provision::solana).await?;
        let ports = ports(options)?;
        let rpc_port = ports.rpc.number();
        let slot_ms = options
            .slot_time
            .and_then(|time| u64::try_from(time.as_millis()).ok())
            .unwrap_or(SLOT_MS);
        let mut watched = Watched::start("solana-node", program.path(), |folder| {
            arguments(&program, folder, rpc_port, slot_ms)
        })?;
        let url = format!("http://127.0.0.1:{rpc_port}");
        let mut solana = until_ready("solana-node", &mut watched, || Self::connect(&url)).await?;
        solana.node = Some((watched, ports));
        Ok(solana)
    }

    /// A handle for a node that runs already; dropping it leaves the node alone.
    ///
    /// # Errors
    /// [`Error::Transport`] when nothing answers there.
    pub async fn connect(url: &str) -> Result<Self> {
        let rpc = Rpc::new(url)?;
        let _: Value = rpc.call("getHealth", json!([])).await?;
        let genesis: String = rpc.call("getGenesisHash", json!([])).await?;
        let refused = |reason: String| Error::Refused(format!("{url}: {reason}"));
        let reference = genesis.get(..32).ok_or_else(|| refused("short genesis hash".into()))?;
        let chain =
            format!("solana:{reference}").parse().map_err(|error| refused(format!("{error}")))?;
        let ws_url = subscription_url(url).ok_or_else(|| refused("no port in it".into()))?;
        Ok(Self { rpc, url: url.to_owned(), ws_url, chain, token: OnceCell::new(), node: None })
    }

    /// The HTTP address for JSON-RPC.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        &self.url
    }

    /// The web socket's address for subscriptions.
    #[must_use]
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// The network: `solana:` and the first 32 characters of the genesis hash.
    #[must_use]
    pub const fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// For calls that the handle does not offer.
    #[must_use]
    pub const fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The newest slot at commitment `confirmed`.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn slot(&self) -> Result<u64> {
        self.rpc.call("getSlot", json!([{ "commitment": "confirmed" }])).await
    }

    /// The balance of `address` in lamports.
    ///
    /// # Errors
    /// [`Error::Rpc`] when the address is not one.
    pub async fn balance(&self, address: &str) -> Result<Amount> {
        let options = json!([address, { "commitment": "confirmed" }]);
        let answer: Value = self.rpc.call("getBalance", options).await?;
        let lamports = answer["value"].as_u64();
        lamports.map(Amount::from).ok_or_else(|| Error::Refused("getBalance: no number".into()))
    }

    /// Sends `amount` lamports to `address` and waits until that is confirmed; returns the
    /// signature.
    ///
    /// # Errors
    /// [`Error::Refused`] under 890,880 lamports, which the network does not let an account hold.
    pub async fn fund(&self, address: &str, amount: Amount) -> Result<String> {
        if amount.minor() < FUND_MIN_LAMPORTS {
            return Err(Error::Refused(format!(
                "{amount} lamports are under the rent-exempt minimum of {FUND_MIN_LAMPORTS}"
            )));
        }
        let lamports = amount.to_u64().map_err(|error| Error::Refused(error.to_string()))?;
        let signature: String = self.rpc.call("requestAirdrop", json!([address, lamports])).await?;
        self.confirm(&signature).await?;
        Ok(signature)
    }

    /// Creates the test token (`RTT`, 6 places), the first time on this handle.
    ///
    /// # Errors
    /// [`Error::Rpc`] or [`Error::Refused`] when the node refuses it.
    pub async fn deploy_token(&self) -> Result<TestToken> {
        let create = async {
            let secret = token_authority();
            self.fund(&spl::address(&secret).to_string(), Amount::new(AUTHORITY_LAMPORTS)).await?;
            let mint = spl::create_mint(&self.url, &secret, TOKEN_DECIMALS).await?;
            self.token_at(mint)
        };
        self.token.get_or_try_init(|| create).await.cloned()
    }

    /// The test token whose mint is known, for a handle that did not create it.
    ///
    /// # Errors
    /// [`Error::Refused`] when the mint is no address.
    pub fn token_at(&self, mint: String) -> Result<TestToken> {
        TestToken::new(&format!("{}/token:{mint}", self.chain), mint)
    }

    /// Mints `amount` units of `token` for the wallet `owner`, whose token account is created if it
    /// is absent; returns the signature.
    ///
    /// # Errors
    /// As [`Solana::fund`].
    pub async fn fund_token(
        &self,
        token: &TestToken,
        owner: &str,
        amount: Amount,
    ) -> Result<String> {
        spl::mint_to(&self.url, &token_authority(), &token.address, owner, amount).await
    }

    /// What the wallet `owner` holds of `token`, in its smallest unit.
    ///
    /// # Errors
    /// [`Error::Rpc`] when an address is none.
    pub async fn token_balance(&self, token: &TestToken, owner: &str) -> Result<Amount> {
        let options = json!({ "encoding": "jsonParsed", "commitment": "confirmed" });
        let query = json!([owner, { "mint": token.address }, options]);
        let answer: Value = self.rpc.call("getTokenAccountsByOwner", query).await?;
        let amounts = answer["value"].as_array().into_iter().flatten().map(|account| {
            let info = &account["account"]["data"]["parsed"]["info"];
            info["tokenAmount"]["amount"].as_str().unwrap_or_default().parse::<Amount>()
        });
        let amounts = amounts.collect::<std::result::Result<Vec<_>, _>>();
        amounts
            .and_then(Amount::checked_sum)
            .map_err(|error| Error::Refused(format!("token accounts of {owner}: {error}")))
    }

    /// Waits until `signature` is confirmed.
    ///
    /// # Errors
    /// [`Error::Refused`] when the transaction failed, or is not there after 30 s.
    pub async fn confirm(&self, signature: &str) -> Result<()> {
        let limit = tokio::time::Instant::now() + CONFIRM_LIMIT;
        loop {
            let answer: Value = self.rpc.call("getSignatureStatuses", json!([[signature]])).await?;
            let status = &answer["value"][0];
            if !status["err"].is_null() {
                return Err(Error::Refused(format!("transaction {signature}: {}", status["err"])));
            }
            let level = status["confirmationStatus"].as_str();
            if matches!(level, Some("confirmed" | "finalized")) {
                return Ok(());
            }
            if tokio::time::Instant::now() > limit {
                return Err(Error::Refused(format!("{signature} is not confirmed after 30 s")));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until `slots` more slots have passed; the node's clock makes them.
    ///
    /// # Errors
    /// [`Error::Transport`] or [`Error::Rpc`].
    pub async fn mine(&self, slots: u64) -> Result<()> {
        let target = self.slot().await?.saturating_add(slots);
        while self.slot().await? < target {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Always refused: the node has one branch only.
    ///
    /// # Errors
    /// [`Error::Refused`], saying what to do instead.
    pub fn reorg(&self) -> Result<()> {
        Err(Error::Refused(
            "the local Solana node cannot be reorganised: it follows a single branch. \
             Forks and expiry are tested with the scripted node of chain-nodes"
                .into(),
        ))
    }
}

/// The same key on every local network, so that another process may mint too.
fn token_authority() -> [u8; 32] {
    Sha256::digest(b"roadstead local Solana token authority").into()
}
