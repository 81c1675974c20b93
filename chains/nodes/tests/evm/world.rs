use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address as RawAddress, Bytes, U256};
use alloy_sol_types::{SolCall, SolConstructor, sol};
use chain_core::{
    Action, Address, Amount, AnchorCommitment, AssetId, BroadcastOutcome, ChainEvent, ChainId,
    Context, ContextRequest, EvmContext, FeeTier, Node, Payment, ScannedAmount, ScannedDeposit,
    SignedTx, UncheckedAddress, UnsignedTx, WatchSet,
};
use chain_nodes::evm::{EvmNode, EvmOptions};
use serde_json::{Value, json};
use testnets::{Evm, TestEnv};

use crate::common::{Key, intent};

sol!(TestToken, "../evm/contracts/TestToken.json");
sol!(FeeOnTransferToken, "../evm/contracts/FeeOnTransferToken.json");
sol!(NoReturnToken, "../evm/contracts/NoReturnToken.json");
sol!(ReturnFalseToken, "../evm/contracts/ReturnFalseToken.json");
sol!(SpoofToken, "../evm/contracts/SpoofToken.json");
sol!(Payer, "../evm/contracts/Payer.json");

/// The first developer account of anvil, which signs for itself there.
pub(crate) const OUTSIDER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

/// A network, a connection to it, and what is known of it.
pub(crate) struct World {
    env: TestEnv,
    pub(crate) node: EvmNode,
    pub(crate) chain: ChainId,
    mining_is_held: AtomicBool,
}

impl World {
    pub(crate) async fn new() -> Self {
        let env = TestEnv::builder().anvil().start().await.unwrap();
        let evm = env.evm().unwrap();
        let chain = evm.chain().clone();
        let node =
            EvmNode::connect(evm.rpc_url(), chain.clone(), EvmOptions::default()).await.unwrap();
        Self { env, node, chain, mining_is_held: AtomicBool::new(false) }
    }

    pub(crate) fn evm(&self) -> &Evm {
        self.env.evm().unwrap()
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        self.evm().rpc().call(method, params).await.unwrap()
    }

    /// A transaction of the outsider, with gas enough to fail too; its hash.
    pub(crate) async fn submit(&self, to: Option<RawAddress>, value: u128, data: Bytes) -> String {
        self.submit_with_gas(1_000_000, to, value, data).await
    }

    pub(crate) async fn submit_with_gas(
        &self,
        gas: u64,
        to: Option<RawAddress>,
        value: u128,
        data: Bytes,
    ) -> String {
        let (gas, value) = (U256::from(gas), U256::from(value));
        let mut transaction = json!({ "from": OUTSIDER, "value": value, "data": data, "gas": gas });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.rpc("eth_sendTransaction", json!([transaction])).await;
        let hash = hash.as_str().unwrap().to_owned();
        self.wait_unless_held(&hash).await;
        hash
    }

    async fn wait_unless_held(&self, hash: &str) {
        if !self.mining_is_held.load(Ordering::Relaxed) {
            self.receipt(hash).await;
        }
    }

    pub(crate) async fn call(&self, to: RawAddress, value: u128, call: &impl SolCall) -> String {
        self.submit(Some(to), value, call.abi_encode().into()).await
    }

    /// The receipt, once there is one.
    pub(crate) async fn receipt(&self, hash: &str) -> Value {
        for _ in 0..500 {
            let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
            if !receipt.is_null() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{hash} is not mined after ten seconds")
    }

    pub(crate) async fn deploy(&self, bytecode: &Bytes) -> RawAddress {
        let hash = self.submit(None, 0, bytecode.clone()).await;
        let receipt = self.receipt(&hash).await;
        assert_eq!(receipt["status"], "0x1");
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn deploy_test_token(&self) -> RawAddress {
        let arguments = TestToken::constructorCall {
            name_: "Test dollar".to_owned(),
            symbol_: "TUSD".to_owned(),
            decimals_: 6,
        };
        let code = [&TestToken::BYTECODE[..], &arguments.abi_encode()].concat();
        self.deploy(&code.into()).await
    }

    /// Collects transactions without mining until [`World::mine_together`].
    pub(crate) async fn hold_mining(&self) {
        self.mining_is_held.store(true, Ordering::Relaxed);
        self.rpc("evm_setAutomine", json!([false])).await;
    }

    pub(crate) async fn mine_together(&self) {
        self.rpc("evm_mine", json!([])).await;
        self.rpc("evm_setAutomine", json!([true])).await;
        self.mining_is_held.store(false, Ordering::Relaxed);
    }

    pub(crate) fn asset(&self, token: RawAddress) -> AssetId {
        format!("{}/erc20:{token:#x}", self.chain).parse().unwrap()
    }

    pub(crate) fn address(&self, text: &str) -> Address {
        chain_evm::check_address(&self.chain, &UncheckedAddress(text.to_owned())).unwrap()
    }

    /// A fresh address of ours.
    pub(crate) fn key(&self, number: u8) -> (Key, RawAddress) {
        let key = Key::new(number);
        let raw = key.keyed(&self.chain).address.as_str().parse().unwrap();
        (key, raw)
    }

    /// Everything that the whole chain holds for these addresses in native coin and these tokens.
    pub(crate) async fn deposits(
        &self,
        addresses: &[RawAddress],
        tokens: &[RawAddress],
    ) -> Vec<ScannedDeposit> {
        let watch = WatchSet {
            addresses: addresses.iter().map(|raw| raw.to_checksum(None)).collect(),
            tokens: tokens.iter().map(|raw| format!("{raw:#x}")).collect(),
        };
        let head = self.node.tip().await.unwrap().head.height;
        let blocks = self.node.scan(0, head, &watch).await.unwrap();
        let events = blocks.into_iter().flat_map(|block| block.events);
        events
            .map(|event| match event {
                ChainEvent::Deposit(deposit) => deposit,
                ChainEvent::Spent { .. } => panic!("EVM chains have no coins"),
            })
            .collect()
    }

    pub(crate) fn pay(&self, to: RawAddress, asset: AssetId, amount: u128) -> Action {
        let to = self.address(&to.to_checksum(None));
        Action::Pay { payments: vec![Payment { to, asset, amount: Amount::new(amount) }] }
    }

    pub(crate) fn pay_native(&self, to: RawAddress, amount: u128) -> Action {
        self.pay(to, self.chain.native(), amount)
    }

    pub(crate) fn request(&self, key: &Key, action: &Action) -> ContextRequest {
        ContextRequest {
            action: action.clone(),
            signers: vec![key.keyed(&self.chain)],
            tier: FeeTier::Normal,
            coins: Vec::new(),
            change: None,
            nonce_floor: 0,
            nonce_account: None,
            must_spend: Vec::new(),
        }
    }

    pub(crate) async fn context(&self, key: &Key, action: &Action) -> EvmContext {
        match self.node.context(&self.request(key, action)).await.unwrap() {
            Context::Evm(context) => context,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn unsigned(&self, action: &Action, context: &EvmContext) -> UnsignedTx {
        chain_evm::build(&intent(&self.chain, action.clone()), context).unwrap()
    }

    /// Builds, signs and assembles.
    pub(crate) fn sign(&self, key: &Key, action: &Action, context: &EvmContext) -> SignedTx {
        let unsigned = self.unsigned(action, context);
        let payloads = chain_evm::payloads(&unsigned).unwrap();
        chain_evm::assemble(&unsigned, &[key.sign(&payloads[0])]).unwrap()
    }

    /// Does it, from context to broadcast.
    pub(crate) async fn perform(&self, key: &Key, action: &Action) -> SignedTx {
        let context = self.context(key, action).await;
        let signed = self.sign(key, action, &context);
        self.send(&signed).await;
        signed
    }

    /// Broadcasts it, and waits for its block unless mining is held.
    pub(crate) async fn send(&self, signed: &SignedTx) {
        let outcome = self.node.broadcast(signed).await.unwrap();
        assert_eq!(outcome, BroadcastOutcome::Accepted);
        self.wait_unless_held(&signed.id.0).await;
    }

    pub(crate) async fn fund(&self, to: RawAddress, wei: u128) -> String {
        self.evm().fund(&to.to_checksum(None), Amount::new(wei)).await.unwrap()
    }

    pub(crate) async fn held(&self, asset: &AssetId, owner: RawAddress) -> u128 {
        let address = self.address(&owner.to_checksum(None));
        let balances = self.node.balances(asset, std::slice::from_ref(&address)).await.unwrap();
        balances.get(address.as_str()).map_or(0, |amount| amount.minor())
    }

    pub(crate) fn anchor(&self, size: u64, checkpoint: [u8; 32]) -> Action {
        Action::Anchor {
            commitment: AnchorCommitment { origin: [7; 32], size, checkpoint },
            contract: Some(chain_evm::anchor_contract_address(&self.chain)),
        }
    }
}

/// An exact amount, for comparisons.
pub(crate) fn exact(amount: u128) -> ScannedAmount {
    ScannedAmount::Exact(Amount::new(amount))
}

/// Transaction, position and amount of each deposit.
pub(crate) fn brief(deposits: &[ScannedDeposit]) -> Vec<(&str, &str, ScannedAmount)> {
    let mut brief = Vec::new();
    for ScannedDeposit { tx, position, amount, .. } in deposits {
        brief.push((tx.0.as_str(), position.as_str(), amount.clone()));
    }
    brief
}
