//! The networks, the stack on them, and who is in the story.

use std::time::Duration;

use serde_json::{Value, json};
use testnets::stack::{Api, Outside, Stack, StackOptions};
use testnets::{BitcoinOptions, EvmOptions, TestEnv};

use crate::report::Report;

/// How long anything on a chain may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that the steps share.
pub(crate) struct World {
    pub(crate) env: TestEnv,
    pub(crate) stack: Stack,
    pub(crate) operator: Api,
    pub(crate) tenant: Api,
    pub(crate) tenant_key: String,
    pub(crate) alice: String,
    pub(crate) bob: String,
    pub(crate) outside: Outside,
    /// What each deposit must bring: customer, asset, address, amount.
    pub(crate) expected: Vec<Expected>,
    /// Payouts: withdrawal id, asset, amount, destination.
    pub(crate) paid: Vec<Paid>,
}

/// A deposit that was made on a chain.
pub(crate) struct Expected {
    pub(crate) customer: String,
    pub(crate) asset: &'static str,
    pub(crate) address: String,
    pub(crate) amount: u128,
    pub(crate) tx: String,
}

/// A payout that was asked for.
pub(crate) struct Paid {
    pub(crate) id: String,
    pub(crate) asset: &'static str,
    pub(crate) amount: u128,
    pub(crate) destination: String,
}

impl World {
    /// Brings up the networks, the signer and the server, and makes the tenant.
    pub(crate) async fn start(port: Option<u16>, report: &mut Report) -> anyhow::Result<Self> {
        report.step("networks", "starting Bitcoin (regtest), an EVM network and Solana");
        let quick = Some(Duration::from_millis(500));
        let env = TestEnv::builder()
            .bitcoin_with(BitcoinOptions { block_time: quick, ..BitcoinOptions::default() })
            .anvil_with(EvmOptions { block_time: quick, ..EvmOptions::default() })
            .solana()
            .start()
            .await?;
        report.detail(&format!(
            "{}, {}, {}",
            env.bitcoin()?.chain(),
            env.evm()?.chain(),
            env.solana()?.chain()
        ));
        report.step("stack", "starting the signer and the server");
        let stack = Stack::start(&env, &StackOptions { port, database_url: None }).await?;
        report.detail(&format!("server at {}, signer behind a Unix socket", stack.url()));
        let operator = stack.operator()?;
        let created = operator.post("/v1/tenants", json!({ "name": "First Harbour Bank" })).await?;
        let tenant_key = text(&created, "api_key")?;
        Ok(Self {
            tenant: stack.tenant(&tenant_key)?,
            tenant_key,
            env,
            stack,
            operator,
            alice: String::new(),
            bob: String::new(),
            outside: Outside::new()?,
            expected: Vec::new(),
            paid: Vec::new(),
        })
    }

    /// The customer's posted and available balance of every asset.
    pub(crate) async fn balances(&self, customer: &str) -> anyhow::Result<Value> {
        Ok(self.tenant.get(&format!("/v1/customers/{customer}/balances")).await?)
    }

    /// The customer's available balance of one asset.
    pub(crate) async fn available(&self, customer: &str, asset: &str) -> anyhow::Result<u128> {
        let balances = self.balances(customer).await?;
        let found =
            balances.as_array().and_then(|all| all.iter().find(|one| one["asset"] == asset));
        match found {
            Some(balance) => Ok(text(balance, "available")?.parse()?),
            None => Ok(0),
        }
    }
}

/// A text field of an answer.
pub(crate) fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    let found = answer[field].as_str().map(str::to_owned);
    found.ok_or_else(|| anyhow::anyhow!("no {field:?} in {answer}"))
}
