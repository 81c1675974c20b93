//! Real nodes: what the handles promise, on each network.
#![expect(clippy::unwrap_used, reason = "tests")]

use chain_core::Amount;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use testnets::{Bitcoin, BitcoinOptions, Evm, EvmOptions, Solana, TestEnv};

const EVM_STRANGER: &str = "0x000000000000000000000000000000000000bEEF";
const BITCOIN_STRANGER: &str = "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk";
const SOLANA_STRANGER: &str = "7EqQdEULxWcraVx3mXKFjc84LhCkMGZCkRuDpvcMwJeK";

#[tokio::test(flavor = "multi_thread")]
async fn evm_funds_mines_and_finalises() {
    let env = TestEnv::builder().anvil().start().await.unwrap();
    let evm = env.evm().unwrap();
    assert_eq!(evm.chain().to_string(), "eip155:31337");
    let hash = env.fund(EVM_STRANGER, Amount::new(1_500)).await.unwrap();
    assert_eq!(evm.balance(EVM_STRANGER).await.unwrap(), Amount::new(1_500));
    let receipt: Value = evm.rpc().call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
    assert_eq!(receipt["status"], "0x1");
    let before = evm.height().await.unwrap();
    evm.mine(evm.finality_depth()).await.unwrap();
    assert_eq!(evm.height().await.unwrap(), before + 2);
    let last: Value =
        evm.rpc().call("eth_getBlockByNumber", json!(["finalized", false])).await.unwrap();
    assert_eq!(last["number"], json!(format!("{before:#x}")));
    assert!(env.bitcoin().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn evm_reorganisation_drops_transactions() {
    let env = TestEnv::builder().anvil().start().await.unwrap();
    let evm = env.evm().unwrap();
    evm.mine(5).await.unwrap();
    evm.fund(EVM_STRANGER, Amount::new(7)).await.unwrap();
    let block = |height: u64| async move {
        let block: Value = evm
            .rpc()
            .call("eth_getBlockByNumber", json!([format!("{height:#x}"), false]))
            .await
            .unwrap();
        block["hash"].clone()
    };
    let (kept, dropped) = (block(4).await, block(6).await);
    evm.reorg(2).await.unwrap();
    assert_eq!(evm.height().await.unwrap(), 6);
    assert_eq!(block(4).await, kept);
    assert_ne!(block(6).await, dropped);
    assert_eq!(evm.balance(EVM_STRANGER).await.unwrap(), Amount::ZERO);
    assert!(evm.reorg(0).await.is_err());
    assert!(evm.reorg(7).await.unwrap_err().to_string().contains("chain of 6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn evm_reorganisation_can_mine_the_transactions_again_elsewhere() {
    let env = TestEnv::builder().anvil().start().await.unwrap();
    let evm = env.evm().unwrap();
    let first = evm.fund(EVM_STRANGER, Amount::new(7)).await.unwrap();
    let second = evm.fund(EVM_STRANGER, Amount::new(8)).await.unwrap();
    evm.mine(1).await.unwrap();
    let block_of = |hash: String| async move {
        let receipt: Value =
            evm.rpc().call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        receipt["blockNumber"].as_str().unwrap().to_owned()
    };
    assert_eq!(block_of(first.clone()).await, "0x1");
    evm.reorg_keeping(3).await.unwrap();
    assert_eq!(evm.height().await.unwrap(), 3);
    assert_eq!(block_of(first).await, "0x3");
    assert_eq!(block_of(second).await, "0x3");
    assert_eq!(evm.balance(EVM_STRANGER).await.unwrap(), Amount::new(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn evm_token_has_one_address_everywhere() {
    let start = || TestEnv::builder().anvil().start();
    let (one, other) = tokio::try_join!(start(), start()).unwrap();
    let (one, other) = (one.evm().unwrap(), other.evm().unwrap());
    assert_ne!(one.rpc_url(), other.rpc_url());
    let token = one.deploy_token().await.unwrap();
    assert_eq!(one.deploy_token().await.unwrap(), token);
    assert_eq!(other.deploy_token().await.unwrap(), token);
    one.fund_token(&token, EVM_STRANGER, Amount::new(25)).await.unwrap();
    assert_eq!(one.token_balance(&token, EVM_STRANGER).await.unwrap(), Amount::new(25));
    assert_eq!(other.token_balance(&token, EVM_STRANGER).await.unwrap(), Amount::ZERO);
    for (call, expected) in [("0x95d89b41", "525454"), ("0x06fdde03", "526f616473")] {
        let answer: String = one
            .rpc()
            .call("eth_call", json!([{ "to": token.address, "data": call }, "latest"]))
            .await
            .unwrap();
        assert!(answer.contains(expected), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bitcoin_funds_mines_and_keeps_transactions_through_a_reorganisation() {
    let env = TestEnv::builder().bitcoin().start().await.unwrap();
    let bitcoin = env.bitcoin().unwrap();
    assert_eq!(bitcoin.chain().to_string(), "bip122:0f9188f13cb7b2c71f2a335e3a4fc328");
    // Both wait in the mempool at once, so the second must choose another coin.
    env.fund(BITCOIN_STRANGER, Amount::new(150_000)).await.unwrap();
    let txid = env.fund(BITCOIN_STRANGER, Amount::new(250_000)).await.unwrap();
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::ZERO);
    bitcoin.mine(2).await.unwrap();
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::new(400_000));
    let height = bitcoin.height().await.unwrap();
    let tip = |height: u64| bitcoin.rpc().call::<String>("getblockhash", json!([height]));
    let old = tip(height).await.unwrap();

    bitcoin.reorg(2).await.unwrap();
    assert_eq!(bitcoin.height().await.unwrap(), height + 1);
    assert_ne!(tip(height).await.unwrap(), old);
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::new(400_000));

    bitcoin.reorg_empty(3).await.unwrap();
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::ZERO);
    let waiting: Vec<String> = bitcoin.rpc().call("getrawmempool", json!([])).await.unwrap();
    assert!(waiting.contains(&txid));
    assert!(bitcoin.reorg(10_000).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn bitcoin_pays_from_many_coins_and_refuses_what_it_cannot() {
    let env = TestEnv::builder().bitcoin().start().await.unwrap();
    let bitcoin = env.bitcoin().unwrap();
    let sats = 120 * 100_000_000;
    bitcoin.fund(BITCOIN_STRANGER, Amount::new(sats)).await.unwrap();
    bitcoin.mine(1).await.unwrap();
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::new(sats));
    let error = bitcoin.fund(BITCOIN_STRANGER, Amount::new(sats * 100)).await.unwrap_err();
    assert!(error.to_string().contains("mine some blocks"), "{error}");
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert!(bitcoin.fund(mainnet, Amount::new(sats)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn solana_funds_and_advances_but_is_not_reorganised() {
    let env = TestEnv::builder().solana().start().await.unwrap();
    let solana = env.solana().unwrap();
    assert!(solana.chain().as_str().starts_with("solana:"));
    env.fund(SOLANA_STRANGER, Amount::new(2_000_000)).await.unwrap();
    env.fund(SOLANA_STRANGER, Amount::new(2_000_000)).await.unwrap();
    assert_eq!(solana.balance(SOLANA_STRANGER).await.unwrap(), Amount::new(4_000_000));
    let slot = solana.slot().await.unwrap();
    solana.mine(10).await.unwrap();
    assert!(solana.slot().await.unwrap() >= slot + 10);
    let error = solana.fund(SOLANA_STRANGER, Amount::new(1)).await.unwrap_err();
    assert!(error.to_string().contains("rent"), "{error}");
    assert!(solana.reorg().unwrap_err().to_string().contains("cannot be reorganised"));
}

#[tokio::test(flavor = "multi_thread")]
async fn solana_token_is_minted_for_a_wallet_without_an_account() {
    let env = TestEnv::builder().solana().start().await.unwrap();
    let solana = env.solana().unwrap();
    let token = solana.deploy_token().await.unwrap();
    assert_eq!(solana.deploy_token().await.unwrap(), token);
    assert_eq!(token.asset.token(), Some(token.address.as_str()));
    assert_eq!(solana.token_balance(&token, SOLANA_STRANGER).await.unwrap(), Amount::ZERO);
    solana.fund_token(&token, SOLANA_STRANGER, Amount::new(25)).await.unwrap();
    // Another process knows the mint only.
    let other = Solana::connect(solana.rpc_url()).await.unwrap();
    let same = other.token_at(token.address.clone()).unwrap();
    assert_eq!(same, token);
    other.fund_token(&same, SOLANA_STRANGER, Amount::new(5)).await.unwrap();
    assert_eq!(solana.token_balance(&token, SOLANA_STRANGER).await.unwrap(), Amount::new(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_side_by_side_do_not_meet() {
    let start = || TestEnv::builder().anvil().bitcoin().start();
    let (one, two, three) = tokio::try_join!(start(), start(), start()).unwrap();
    one.fund(BITCOIN_STRANGER, Amount::new(10_000)).await.unwrap();
    one.bitcoin().unwrap().mine(1).await.unwrap();
    one.fund(EVM_STRANGER, Amount::new(1)).await.unwrap();
    for other in [&two, &three] {
        let bitcoin = other.bitcoin().unwrap();
        assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::ZERO);
        assert_eq!(bitcoin.height().await.unwrap(), 120);
        assert_eq!(other.evm().unwrap().balance(EVM_STRANGER).await.unwrap(), Amount::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_takes_its_nodes_along() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let env = TestEnv::builder().anvil().bitcoin().start().await.unwrap();
        let urls = [env.evm().unwrap().rpc_url(), env.bitcoin().unwrap().rpc_url()];
        sender.send(urls.map(str::to_owned)).unwrap();
        panic!("as planned");
    });
    let [evm, bitcoin] = receiver.await.unwrap();
    assert!(task.await.unwrap_err().is_panic());
    assert!(Evm::connect(&evm).await.is_err());
    assert!(Bitcoin::connect(&bitcoin).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_by_themselves_when_asked_for() {
    let every = Some(Duration::from_millis(200));
    let env = TestEnv::builder()
        .anvil_with(EvmOptions { block_time: every, ..EvmOptions::default() })
        .bitcoin_with(BitcoinOptions { block_time: every, ..BitcoinOptions::default() })
        .start()
        .await
        .unwrap();
    let (evm, bitcoin) = (env.evm().unwrap(), env.bitcoin().unwrap());
    env.fund(BITCOIN_STRANGER, Amount::new(10_000)).await.unwrap();
    env.fund(EVM_STRANGER, Amount::new(5)).await.unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while evm.height().await.unwrap() < 4 || bitcoin.height().await.unwrap() < 124 {
        assert!(Instant::now() < limit, "no blocks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bitcoin.balance(BITCOIN_STRANGER).await.unwrap(), Amount::new(10_000));
    assert_eq!(evm.balance(EVM_STRANGER).await.unwrap(), Amount::new(5));
}
