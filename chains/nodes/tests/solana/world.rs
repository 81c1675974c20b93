//! A network of its own for each test, with keys made of one byte.

use std::time::Duration;

use chain_core::{
    Action, Address, Amount, AssetId, Block, Branch, BroadcastOutcome, ChainEvent, Context,
    ContextRequest, FeeTier, Intent, IntentId, KeyPath, KeyScheme, KeyedAddress, Node, NodeError,
    Payment, Purpose, ScannedDeposit, Signature, SignedTx, SolanaContext, TxId, TxStatus, WatchSet,
};
use chain_nodes::solana::{SolanaNode, SolanaOptions};
use ed25519_dalek::{Signer, SigningKey};
use testnets::{Solana, TestEnv, spl};
use uuid::Uuid;

/// The treasury: pays fees and payouts.
pub(crate) const TREASURY: u8 = 1;
/// A customer whose address is watched.
pub(crate) const CUSTOMER: u8 = 16;
/// Somebody else.
pub(crate) const STRANGER: u8 = 66;
/// One SOL.
pub(crate) const SOL: u128 = 1_000_000_000;

pub(crate) struct World {
    env: TestEnv,
    pub(crate) node: SolanaNode,
}

pub(crate) fn secret(key: u8) -> [u8; 32] {
    [key; 32]
}

impl World {
    pub(crate) async fn start() -> Self {
        let env = TestEnv::builder().solana().start().await.unwrap();
        let solana = env.solana().unwrap();
        let chain = solana.chain().clone();
        let node = SolanaNode::connect(solana.rpc_url(), chain, SolanaOptions::default());
        let node = node.await.unwrap();
        Self { env, node }
    }

    /// A network whose treasury holds 10 SOL and its durable nonce account 0.
    pub(crate) async fn with_treasury() -> Self {
        let world = Self::start().await;
        world.fund(TREASURY, 10 * SOL).await;
        let created = world.run(world.create_nonce(), &[TREASURY], false).await;
        world.settled(&created.id).await;
        world
    }

    pub(crate) fn solana(&self) -> &Solana {
        self.env.solana().unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        self.solana().rpc_url()
    }

    pub(crate) fn wallet(&self, key: u8) -> Address {
        let public = SigningKey::from_bytes(&secret(key)).verifying_key().to_bytes();
        chain_solana::address_of_public_key(self.node.chain(), &public).unwrap()
    }

    pub(crate) fn keyed(&self, key: u8) -> KeyedAddress {
        let address = self.wallet(key);
        let key = KeyPath::new(KeyScheme::Slip10Solana, key.into(), Branch::External, 0).unwrap();
        KeyedAddress { key, address }
    }

    pub(crate) fn sol(&self) -> AssetId {
        self.node.chain().native()
    }

    pub(crate) fn nonce_account(&self) -> Address {
        chain_solana::nonce_address(&self.wallet(TREASURY), 0).unwrap()
    }

    pub(crate) async fn fund(&self, key: u8, lamports: u128) -> String {
        let to = self.wallet(key).to_string();
        self.env.fund(&to, Amount::new(lamports)).await.unwrap()
    }

    /// A new token of the treasury's.
    pub(crate) async fn token(&self, decimals: u8) -> AssetId {
        let mint = spl::create_mint(self.url(), &secret(TREASURY), decimals).await.unwrap();
        format!("{}/token:{mint}", self.node.chain()).parse().unwrap()
    }

    pub(crate) async fn mint(&self, asset: &AssetId, to: u8, units: u128) -> String {
        let (to, units) = (self.wallet(to).to_string(), Amount::new(units));
        let mint = asset.token().unwrap();
        spl::mint_to(self.url(), &secret(TREASURY), mint, &to, units).await.unwrap()
    }

    pub(crate) fn pay(&self, to: u8, asset: &AssetId, amount: u128) -> Action {
        let payment =
            Payment { to: self.wallet(to), asset: asset.clone(), amount: Amount::new(amount) };
        Action::Pay { payments: vec![payment] }
    }

    pub(crate) fn create_nonce(&self) -> Action {
        Action::CreateNonceAccount { number: 0, nonce_account: self.nonce_account() }
    }

    pub(crate) fn request(&self, action: Action, signers: &[u8], durable: bool) -> ContextRequest {
        ContextRequest {
            action,
            signers: signers.iter().map(|key| self.keyed(*key)).collect(),
            tier: FeeTier::Normal,
            coins: Vec::new(),
            must_spend: Vec::new(),
            change: None,
            nonce_floor: 0,
            nonce_account: durable.then(|| self.nonce_account()),
        }
    }

    pub(crate) async fn context(
        &self,
        action: Action,
        signers: &[u8],
    ) -> Result<SolanaContext, NodeError> {
        let durable = !matches!(action, Action::CreateNonceAccount { .. });
        match self.node.context(&self.request(action, signers, durable)).await? {
            Context::Solana(context) => Ok(context),
            other => panic!("{other:?}"),
        }
    }

    /// Context, build, describe, sign and assemble.
    pub(crate) async fn signed(&self, action: Action, signers: &[u8]) -> SignedTx {
        let context = self.context(action.clone(), signers).await.unwrap();
        self.signed_with(action, &context)
    }

    pub(crate) fn signed_with(&self, action: Action, context: &SolanaContext) -> SignedTx {
        let intent = Intent {
            id: IntentId(Uuid::from_u128(1)),
            chain: self.node.chain().clone(),
            purpose: Purpose::Withdrawal,
            action,
            fee_max: Amount::new(5_000_000),
        };
        let tx = chain_solana::build(&intent, context).unwrap();
        assert_eq!(chain_solana::describe(&tx).unwrap().action, intent.action);
        let sign = |signer: &KeyedAddress| {
            let key = SigningKey::from_bytes(&secret(u8::try_from(signer.key.account()).unwrap()));
            Signature {
                bytes: key.sign(&tx.bytes).to_bytes().to_vec(),
                public_key: key.verifying_key().to_bytes().to_vec(),
            }
        };
        let signatures: Vec<Signature> = tx.signers.iter().map(sign).collect();
        chain_solana::assemble(&tx, &signatures).unwrap()
    }

    /// Sends what must be accepted, and waits until it is final where asked.
    pub(crate) async fn run(&self, action: Action, signers: &[u8], finalize: bool) -> SignedTx {
        let tx = self.signed(action, signers).await;
        assert_eq!(self.node.broadcast(&tx).await.unwrap(), BroadcastOutcome::Accepted);
        if finalize {
            self.finalized(&tx.id).await;
        }
        tx
    }

    /// The status once the transaction is confirmed.
    pub(crate) async fn settled(&self, tx: &TxId) -> TxStatus {
        self.until(tx, |status| matches!(status, TxStatus::Included { .. })).await
    }

    /// The status once the transaction is final.
    pub(crate) async fn finalized(&self, tx: &TxId) -> TxStatus {
        self.until(tx, |status| matches!(status, TxStatus::Included { finalized: true, .. })).await
    }

    async fn until(&self, tx: &TxId, done: impl Fn(&TxStatus) -> bool) -> TxStatus {
        for _ in 0..600 {
            let status = self.node.status(tx).await.unwrap();
            if done(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{tx} does not get there")
    }

    /// What a transaction cost, once it is confirmed and successful.
    pub(crate) async fn cost(&self, tx: &TxId) -> u128 {
        match self.settled(tx).await {
            TxStatus::Included { success: true, fee, .. } => fee.minor(),
            other => panic!("{other:?}"),
        }
    }

    /// Compute units that a confirmed transaction used.
    pub(crate) async fn units(&self, tx: &TxId) -> u64 {
        let options = serde_json::json!({ "encoding": "base64", "commitment": "confirmed" });
        let params = serde_json::json!([tx.0, options]);
        let found: serde_json::Value =
            self.solana().rpc().call("getTransaction", params).await.unwrap();
        found["meta"]["computeUnitsConsumed"].as_u64().unwrap()
    }

    pub(crate) async fn balance(&self, key: u8, asset: &AssetId) -> u128 {
        let address = self.wallet(key);
        let balances = self.node.balances(asset, std::slice::from_ref(&address)).await.unwrap();
        balances[address.as_str()].minor()
    }

    pub(crate) fn watch(&self, keys: &[u8], assets: &[&AssetId]) -> WatchSet {
        WatchSet {
            addresses: keys.iter().map(|key| self.wallet(*key).to_string()).collect(),
            tokens: assets.iter().map(|asset| asset.token().unwrap().to_owned()).collect(),
        }
    }

    /// Every block of the network so far, in several scans.
    pub(crate) async fn blocks(&self, watch: &WatchSet) -> Vec<Block> {
        let head = self.node.tip().await.unwrap().head.height;
        let mut blocks = Vec::new();
        let mut from = 31;
        while from <= head {
            let to = head.min(from + 199);
            blocks.extend(self.node.scan(from, to, watch).await.unwrap());
            from = to + 1;
        }
        blocks
    }

    pub(crate) async fn deposits(&self, watch: &WatchSet) -> Vec<ScannedDeposit> {
        let blocks = self.blocks(watch).await;
        let events = blocks.into_iter().flat_map(|block| block.events);
        let deposit = |event| match event {
            ChainEvent::Deposit(deposit) => deposit,
            other => panic!("{other:?}"),
        };
        events.map(deposit).collect()
    }
}
