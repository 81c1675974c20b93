use std::future::Future;
use std::time::Duration;

use chain_core::{Amount, ChainFamily};

use crate::bitcoin::{Bitcoin, BitcoinOptions};
use crate::coins::family_of;
use crate::error::{Error, Result};
use crate::evm::{Evm, EvmOptions};
use crate::solana::{Solana, SolanaOptions};
use crate::watchdog::Watched;

const READY_LIMIT: Duration = Duration::from_secs(60);

/// Local networks that live as long as this value.
#[derive(Debug)]
pub struct TestEnv {
    evm: Option<Evm>,
    bitcoin: Option<Bitcoin>,
    solana: Option<Solana>,
}

/// Which networks to start, and how.
#[derive(Clone, Debug, Default)]
pub struct TestEnvBuilder {
    evm: Option<EvmOptions>,
    bitcoin: Option<BitcoinOptions>,
    solana: Option<SolanaOptions>,
}

impl TestEnv {
    /// No network yet: name those that are wanted.
    #[must_use]
    pub fn builder() -> TestEnvBuilder {
        TestEnvBuilder::default()
    }

    /// The EVM network.
    ///
    /// # Errors
    /// [`Error::Absent`] when the builder was not asked for it.
    pub fn evm(&self) -> Result<&Evm> {
        self.evm.as_ref().ok_or(Error::Absent("EVM"))
    }

    /// The Bitcoin network.
    ///
    /// # Errors
    /// [`Error::Absent`] when the builder was not asked for it.
    pub fn bitcoin(&self) -> Result<&Bitcoin> {
        self.bitcoin.as_ref().ok_or(Error::Absent("Bitcoin"))
    }

    /// The Solana network.
    ///
    /// # Errors
    /// [`Error::Absent`] when the builder was not asked for it.
    pub fn solana(&self) -> Result<&Solana> {
        self.solana.as_ref().ok_or(Error::Absent("Solana"))
    }

    /// Sends native coin to `address`, whose form tells the network; returns the transaction's id.
    /// On Bitcoin it waits in the mempool for a block.
    ///
    /// # Errors
    /// As `fund` of the network.
    pub async fn fund(&self, address: &str, amount: Amount) -> Result<String> {
        match family_of(address)? {
            ChainFamily::Evm => self.evm()?.fund(address, amount).await,
            ChainFamily::Bitcoin => self.bitcoin()?.fund(address, amount).await,
            ChainFamily::Solana => self.solana()?.fund(address, amount).await,
        }
    }
}

impl TestEnvBuilder {
    /// With an EVM network that mines a block for each transaction.
    #[must_use]
    pub fn anvil(self) -> Self {
        self.anvil_with(EvmOptions::default())
    }

    /// With an EVM network.
    #[must_use]
    pub fn anvil_with(mut self, options: EvmOptions) -> Self {
        self.evm = Some(options);
        self
    }

    /// With a Bitcoin network that mines on request.
    #[must_use]
    pub fn bitcoin(self) -> Self {
        self.bitcoin_with(BitcoinOptions::default())
    }

    /// With a Bitcoin network.
    #[must_use]
    pub fn bitcoin_with(mut self, options: BitcoinOptions) -> Self {
        self.bitcoin = Some(options);
        self
    }

    /// With a Solana network of 50 ms slots.
    #[must_use]
    pub fn solana(self) -> Self {
        self.solana_with(SolanaOptions::default())
    }

    /// With a Solana network.
    #[must_use]
    pub fn solana_with(mut self, options: SolanaOptions) -> Self {
        self.solana = Some(options);
        self
    }

    /// Starts what was named, all at once, and waits until every node answers.
    ///
    /// # Errors
    /// The first failure; what was started is stopped again.
    pub async fn start(self) -> Result<TestEnv> {
        let (evm, bitcoin, solana) = tokio::try_join!(
            optional(self.evm.as_ref().map(Evm::start)),
            optional(self.bitcoin.as_ref().map(Bitcoin::start)),
            optional(self.solana.as_ref().map(Solana::start)),
        )?;
        Ok(TestEnv { evm, bitcoin, solana })
    }
}

async fn optional<T>(start: Option<impl Future<Output = Result<T>>>) -> Result<Option<T>> {
    match start {
        Some(start) => start.await.map(Some),
        None => Ok(None),
    }
}

/// Tries `connect` until it works, the node has ended, or a minute is over.
pub(crate) async fn until_ready<T, F: Future<Output = Result<T>>>(
    name: &'static str,
    node: &mut Watched,
    connect: impl Fn() -> F,
) -> Result<T> {
    let limit = tokio::time::Instant::now() + READY_LIMIT;
    loop {
        let error = match connect().await {
            // Somebody else may answer at that port: ours must be alive to be believed.
            Ok(handle) => return node.check().map(|()| handle),
            Err(error) => error,
        };
        node.check()?;
        if tokio::time::Instant::now() > limit {
            let seconds = READY_LIMIT.as_secs();
            return Err(Error::NotReady { name, seconds, last: error.to_string() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
