//! The networks, the stack on them, and what every test does with them.

use std::time::Duration;

use api_store::Engine;
use api_store::test_db::TestDb;
use chain_core::Amount;
use serde_json::{Value, json};
use testnets::stack::{Api, Outside, Stack, StackOptions};
use testnets::{BitcoinOptions, EvmOptions, TestEnv};

/// How long anything may take on this machine, which may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often the networks that tick make a block.
const TICK: Duration = Duration::from_millis(250);

pub(crate) const BTC: u128 = 100_000_000;
pub(crate) const ETH: u128 = 1_000_000_000_000_000_000;
pub(crate) const SOL: u128 = 1_000_000_000;
pub(crate) const RTT: u128 = 1_000_000;

/// Which networks a test wants, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    evm: bool,
    bitcoin: bool,
    solana: bool,
    tick: bool,
    anchors: bool,
    engine: Engine,
}

impl Setup {
    /// No network, SQLite, no anchors; networks tick.
    pub(crate) const NONE: Self = Self {
        evm: false,
        bitcoin: false,
        solana: false,
        tick: true,
        anchors: false,
        engine: Engine::Sqlite,
    };
    pub(crate) const EVM: Self = Self { evm: true, ..Self::NONE };
    pub(crate) const BITCOIN: Self = Self { bitcoin: true, ..Self::NONE };
    pub(crate) const SOLANA: Self = Self { solana: true, ..Self::NONE };
    pub(crate) const ALL: Self = Self { evm: true, bitcoin: true, solana: true, ..Self::NONE };

    /// Blocks only on request.
    pub(crate) const fn by_hand(self) -> Self {
        Self { tick: false, ..self }
    }

    pub(crate) const fn anchored(self) -> Self {
        Self { anchors: true, ..self }
    }

    pub(crate) const fn on(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }
}

/// A running system with a tenant.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) env: TestEnv,
    pub(crate) operator: Api,
    pub(crate) tenant: Api,
    pub(crate) tenant_key: String,
    setup: Setup,
    _database: Option<TestDb>,
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        let block_time = setup.tick.then_some(TICK);
        let mut builder = TestEnv::builder();
        if setup.evm {
            builder = builder.anvil_with(EvmOptions { block_time, ..EvmOptions::default() });
        }
        if setup.bitcoin {
            builder =
                builder.bitcoin_with(BitcoinOptions { block_time, ..BitcoinOptions::default() });
        }
        if setup.solana {
            builder = builder.solana();
        }
        let env = builder.start().await.unwrap();
        let database = match setup.engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(TestDb::new(Engine::Postgres).await.unwrap()),
        };
        let database_url = database.as_ref().map(|database| database.url.clone());
        let options = StackOptions { database_url, ..StackOptions::default() };
        let mut stack = Stack::start(&env, &options).await.unwrap();
        if !setup.anchors && (setup.evm || setup.bitcoin || setup.solana) {
            stack.kill_server();
            edit(&stack, "roadstead.toml", |text| text.replace("anchor = true", "anchor = false"));
            stack.start_server(&[]).await.unwrap();
        }
        let operator = stack.operator().unwrap();
        let tenant_key = new_tenant(&operator, "First Harbour Bank").await;
        let tenant = stack.tenant(&tenant_key).unwrap();
        Self { stack, env, operator, tenant, tenant_key, setup, _database: database }
    }

    /// Another tenant's client.
    pub(crate) async fn another_tenant(&self, name: &str) -> Api {
        self.stack.tenant(&new_tenant(&self.operator, name).await).unwrap()
    }

    pub(crate) async fn customer(&self, reference: &str) -> String {
        let body = json!({ "reference": reference });
        text(&self.tenant.post("/v1/customers", body).await.unwrap(), "id")
    }

    pub(crate) async fn address(&self, customer: &str, chain: &str) -> String {
        let path = format!("/v1/customers/{customer}/addresses");
        let issued = self.tenant.post(&path, json!({ "chain": chain })).await.unwrap();
        text(&issued, "address")
    }

    /// Coins from nowhere to `address`; the transaction's id.
    pub(crate) async fn send(&self, asset: &str, address: &str, amount: u128) -> String {
        let amount = Amount::new(amount);
        let token = |number: usize| &self.stack.tokens[number];
        match asset {
            "RTT" => self.env.evm().unwrap().fund_token(token(0), address, amount).await.unwrap(),
            "RTT-SOL" => {
                let token = token(usize::from(self.setup.evm));
                self.env.solana().unwrap().fund_token(token, address, amount).await.unwrap()
            }
            _ => self.env.fund(address, amount).await.unwrap(),
        }
    }

    /// What the chain itself says that an address holds.
    pub(crate) async fn on_chain(&self, asset: &str, address: &str) -> u128 {
        let token = |number: usize| &self.stack.tokens[number];
        let held = match asset {
            "BTC" => self.env.bitcoin().unwrap().balance(address).await,
            "ETH" => self.env.evm().unwrap().balance(address).await,
            "RTT" => self.env.evm().unwrap().token_balance(token(0), address).await,
            "SOL" => self.env.solana().unwrap().balance(address).await,
            _ => {
                let token = token(usize::from(self.setup.evm));
                self.env.solana().unwrap().token_balance(token, address).await
            }
        };
        held.unwrap().minor()
    }

    /// Blocks by hand where the networks do not tick by themselves.
    pub(crate) async fn blocks(&self, count: u64) {
        if self.setup.tick {
            return;
        }
        if let Ok(bitcoin) = self.env.bitcoin() {
            bitcoin.mine(count).await.unwrap();
        }
        if let Ok(evm) = self.env.evm() {
            evm.mine(count).await.unwrap();
        }
    }

    /// A customer with `amount` of `asset`, credited by a deposit from the chain.
    pub(crate) async fn funded_customer(&self, name: &str, asset: &str, amount: u128) -> String {
        let customer = self.customer(name).await;
        self.credit(&customer, asset, amount).await;
        customer
    }

    pub(crate) async fn credit(&self, customer: &str, asset: &str, amount: u128) {
        let before = self.available(customer, asset).await;
        let address = self.address(customer, chain_of(asset)).await;
        self.send(asset, &address, amount).await;
        self.blocks(3).await;
        self.wait_available(customer, asset, before + amount).await;
    }

    pub(crate) async fn wait_available(&self, customer: &str, asset: &str, amount: u128) {
        let path = format!("/v1/customers/{customer}/balances");
        let is_there = |answer: &Value| balance(answer, asset, "available") == amount;
        self.tenant.wait_for(&path, PATIENCE, is_there).await.unwrap();
    }

    pub(crate) async fn available(&self, customer: &str, asset: &str) -> u128 {
        let path = format!("/v1/customers/{customer}/balances");
        balance(&self.tenant.get(&path).await.unwrap(), asset, "available")
    }

    /// Fills the treasury of every network, and waits until what the networks need is set up.
    pub(crate) async fn fill_treasury(&self) {
        let addresses = self.operator.get("/v1/treasury/addresses").await.unwrap();
        for entry in addresses.as_array().unwrap() {
            let address = text(entry, "address");
            let (coins, amount) = match text(entry, "chain").as_str() {
                // Several coins, so that several transactions can be under way at once.
                "bitcoin" => (12, BTC / 10),
                "evm" => (1, 50 * ETH),
                _ => (1, 50 * SOL),
            };
            for _ in 0..coins {
                self.env.fund(&address, Amount::new(amount)).await.unwrap();
            }
            if let ("evm", Some(token)) = (text(entry, "chain").as_str(), self.stack.tokens.first())
            {
                let evm = self.env.evm().unwrap();
                evm.fund_token(token, &address, Amount::new(1_000 * RTT)).await.unwrap();
            }
        }
        self.blocks(3).await;
        self.wait_idle().await;
        self.wait_funded().await;
    }

    /// Waits until the books have what the treasury holds.
    async fn wait_funded(&self) {
        let is_booked = |answer: &Value| {
            let findings = items(answer);
            findings.iter().all(|one| one["agrees"] == true && one["not_yet_credited"] == "0")
                && findings.iter().any(|one| one["in_books"] != "0")
        };
        let path = "/v1/treasury/reconciliation";
        self.operator.wait_for(path, PATIENCE, is_booked).await.unwrap();
    }

    /// Waits until no transaction is under way, anchors left out.
    pub(crate) async fn wait_idle(&self) {
        let limit = std::time::Instant::now() + PATIENCE;
        loop {
            let intents = self.operator.get("/v1/treasury/intents").await.unwrap();
            let is_live = |intent: &&Value| {
                intent["purpose"] != "anchor"
                    && intent["state"] != "settled"
                    && intent["state"] != "failed"
            };
            let Some(live) = items(&intents).iter().find(is_live).cloned() else { return };
            assert!(std::time::Instant::now() < limit, "still under way: {live}");
            self.blocks(1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks for a withdrawal; its id.
    pub(crate) async fn withdraw(
        &self,
        customer: &str,
        asset: &str,
        amount: u128,
        destination: &str,
    ) -> String {
        let body = withdrawal(customer, asset, amount, destination);
        let answer = self.tenant.post_once("/v1/withdrawals", &unique(), body).await.unwrap();
        text(&answer, "id")
    }

    pub(crate) async fn wait_withdrawal(&self, id: &str, state: &str) -> Value {
        let path = format!("/v1/withdrawals/{id}");
        let limit = std::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.tenant.get(&path).await.unwrap();
            if answer["state"] == state {
                return answer;
            }
            assert!(std::time::Instant::now() < limit, "not {state}: {answer}");
            if state == "settled" {
                self.blocks(1).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The journal sums to zero, and the books equal the chains.
    pub(crate) async fn books_agree(&self) {
        let check = self.operator.get("/v1/treasury/ledger-check").await.unwrap();
        assert_eq!(check["clean"], true, "{check}");
        let agrees = |answer: &Value| {
            items(answer).iter().all(|one| one["agrees"] == true && one["covered"] == true)
        };
        let path = "/v1/treasury/reconciliation";
        self.operator.wait_for(path, PATIENCE, agrees).await.unwrap();
    }

    /// Why the chain is halted, if it is.
    pub(crate) async fn halted(&self, chain: &str) -> Option<String> {
        let chains = self.tenant.get("/v1/chains").await.unwrap();
        let found = items(&chains).iter().find(|one| one["name"] == chain).unwrap().clone();
        found["halted"].as_str().map(str::to_owned)
    }

    /// Waits until the server has read the chain up to its head.
    pub(crate) async fn wait_scanned(&self, chain: &str) {
        let height = match chain {
            "bitcoin" => self.env.bitcoin().unwrap().height().await.unwrap(),
            _ => self.env.evm().unwrap().height().await.unwrap(),
        };
        let is_scanned = |answer: &Value| {
            let of_chain = items(answer).iter().find(|one| one["name"] == chain);
            of_chain.is_some_and(|one| one["scanned_height"].as_u64() >= Some(height))
        };
        self.tenant.wait_for("/v1/chains", PATIENCE, is_scanned).await.unwrap();
    }

    /// The tenant's deposits from chains.
    pub(crate) async fn deposits(&self) -> Vec<Value> {
        items(&self.tenant.get("/v1/deposits").await.unwrap()).to_vec()
    }

    /// Waits until the only deposit is in this state.
    pub(crate) async fn wait_deposit(&self, state: &str) -> Value {
        let is_there = |answer: &Value| items(answer).iter().any(|one| one["state"] == state);
        let answer = self.tenant.wait_for("/v1/deposits", PATIENCE, is_there).await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{}", self.stack.server_log()));
        assert_eq!(items(&answer).len(), 1, "{answer}");
        items(&answer)[0].clone()
    }
}

/// The body of a withdrawal.
pub(crate) fn withdrawal(customer: &str, asset: &str, amount: u128, destination: &str) -> Value {
    json!({ "customer": customer, "asset": asset, "amount": amount.to_string(), "destination": destination })
}

/// Changes a file of the stack.
pub(crate) fn edit(stack: &Stack, name: &str, change: impl FnOnce(String) -> String) {
    let file = stack.folder().join(name);
    let before = std::fs::read_to_string(&file).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "nothing to change in {name}");
    std::fs::write(&file, after).unwrap();
}

pub(crate) async fn new_tenant(operator: &Api, name: &str) -> String {
    text(&operator.post("/v1/tenants", json!({ "name": name })).await.unwrap(), "api_key")
}

pub(crate) fn chain_of(asset: &str) -> &'static str {
    match asset {
        "BTC" => "bitcoin",
        "ETH" | "RTT" => "evm",
        _ => "solana",
    }
}

/// An outside address on the asset's network.
pub(crate) fn outside(asset: &str) -> String {
    let outside = Outside::new().unwrap();
    match chain_of(asset) {
        "bitcoin" => outside.bitcoin,
        "evm" => outside.evm,
        _ => outside.solana,
    }
}

/// The items of a list or of a page.
pub(crate) fn items(answer: &Value) -> &[Value] {
    let list = answer.as_array().or_else(|| answer["items"].as_array());
    list.map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field:?} in {answer}")).to_owned()
}

/// A balance of one asset; zero when nothing was ever booked.
pub(crate) fn balance(answer: &Value, asset: &str, which: &str) -> u128 {
    let found = items(answer).iter().find(|one| one["asset"] == asset);
    found.map_or(0, |one| text(one, which).parse().unwrap())
}

/// A key that nobody used before.
pub(crate) fn unique() -> String {
    format!("key-{}", hex::encode(rand::random::<[u8; 12]>()))
}
