//! The guards against paying and crediting twice, on both engines.

#![expect(clippy::unwrap_used, reason = "tests")]

use api_store::test_db::TestDb;
use api_store::{Engine, Tx};
use chain_core::{
    Action, Amount, BlockRef, Intent, IntentId, KeyedAddress, OutPoint, Payment, Purpose, SignedTx,
    TxId, UncheckedAddress, UnsignedTx,
};
use uuid::Uuid;

use super::bank::BankLine;
use super::coins::StoredCoin;
use super::deposits::Deposit;
use super::intents::{Place, State};
use super::{bank, blocks, coins, deposits, intents, nonces, tenants};

const CHAIN: &str = "evm";
const TENANT: Uuid = Uuid::from_u128(7);
const OTHER: Uuid = Uuid::from_u128(8);
const SENDER: &str = "0x52908400098527886E0F7030069857D2E4169EE7";

async fn databases() -> Vec<TestDb> {
    let mut found = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestDb::new(engine).await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        assert!(tenants::insert_tenant(&mut tx, TENANT, "a", 1).await.unwrap());
        assert!(tenants::insert_tenant(&mut tx, OTHER, "b", 1).await.unwrap());
        tx.commit().await.unwrap();
        found.push(test);
    }
    found
}

fn block(height: u64, hash: &str) -> BlockRef {
    BlockRef { height, hash: hash.to_owned() }
}

fn deposit(tenant: Uuid, asset: &str, amount: &str, block: BlockRef) -> Deposit {
    Deposit {
        id: Uuid::now_v7(),
        tenant,
        customer: None,
        chain: CHAIN.to_owned(),
        asset: asset.to_owned(),
        address: format!("address of {tenant}"),
        tx: "0xaa".to_owned(),
        position: "log:0".to_owned(),
        amount: amount.to_owned(),
        coinbase: false,
        block,
        state: "seen".to_owned(),
        created_at: 1,
        credited_at: None,
    }
}

#[tokio::test]
async fn promise_18_a_deposit_that_another_block_changes_is_taken_wholly_anew() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        // A contract may pay another token to another owner in another block, at the same position
        // of the same transaction: many units of the one must not become as many of the other.
        deposits::see(&mut tx, &deposit(TENANT, "GOLD", "1", block(5, "a"))).await.unwrap();
        assert_eq!(deposits::orphan_above(&mut tx, CHAIN, 4).await.unwrap(), 0);
        let moved = deposit(OTHER, "DUST", "1000000", block(6, "b"));
        deposits::see(&mut tx, &moved).await.unwrap();
        let seen = deposits::seen(&mut tx, CHAIN).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].tenant, seen[0].asset.as_str()), (OTHER, "DUST"));
        assert_eq!((seen[0].amount.as_str(), &seen[0].address), ("1000000", &moved.address));
        assert_eq!(seen[0].block, moved.block);
        // Once credited nothing moves it.
        assert!(deposits::finalise(&mut tx, seen[0].id, 2).await.unwrap());
        assert!(!deposits::finalise(&mut tx, seen[0].id, 2).await.unwrap());
        deposits::see(&mut tx, &deposit(TENANT, "GOLD", "9", block(7, "c"))).await.unwrap();
        let after = deposits::get(&mut tx, OTHER, seen[0].id).await.unwrap().unwrap();
        assert_eq!((after.state.as_str(), after.asset.as_str()), ("final", "DUST"));
        assert_eq!(deposits::orphan_above(&mut tx, CHAIN, 4).await.unwrap(), 1, "credited above");
    }
}

#[tokio::test]
async fn a_deposit_in_suspense_is_taken_back_and_seen_again() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let large = "340282366920938463463374607431768211456";
        let mut too_large = deposit(TENANT, "GOLD", large, block(5, "a"));
        too_large.state = "suspense".to_owned();
        deposits::see(&mut tx, &too_large).await.unwrap();
        let waits = deposits::suspended(&mut tx, "", 10).await.unwrap();
        assert_eq!((waits.len(), waits[0].amount.as_str()), (1, large));
        let after = waits[0].id.to_string();
        assert!(deposits::suspended(&mut tx, &after, 10).await.unwrap().is_empty());
        deposits::orphan_above(&mut tx, CHAIN, 4).await.unwrap();
        let found = deposits::get(&mut tx, TENANT, too_large.id).await.unwrap().unwrap();
        assert_eq!(found.state, "orphaned");
        assert!(deposits::suspended(&mut tx, "", 10).await.unwrap().is_empty());
        deposits::see(&mut tx, &deposit(TENANT, "GOLD", "3", block(5, "b"))).await.unwrap();
        let seen = deposits::seen(&mut tx, CHAIN).await.unwrap();
        assert_eq!((seen.len(), seen[0].amount.as_str()), (1, "3"));
    }
}

fn keyed() -> KeyedAddress {
    let chain = "eip155:1".parse().unwrap();
    let unchecked = UncheckedAddress(SENDER.to_owned());
    let address = chain_families::check_address(&chain, &unchecked).unwrap();
    KeyedAddress { key: "bip44-evm/0/0/0".parse().unwrap(), address }
}

fn unsigned(byte: u8) -> UnsignedTx {
    let chain = "eip155:1".parse().unwrap();
    UnsignedTx { chain, bytes: vec![byte], signers: vec![keyed()], change: Vec::new() }
}

async fn insert(tx: &mut Tx, purpose: Purpose) -> IntentId {
    let payment = Payment {
        to: keyed().address,
        asset: "eip155:1/slip44:60".parse().unwrap(),
        amount: Amount::new(1),
    };
    let intent = Intent {
        id: IntentId(Uuid::now_v7()),
        chain: "eip155:1".parse().unwrap(),
        purpose,
        action: Action::Pay { payments: vec![payment] },
        fee_max: Amount::new(1),
    };
    intents::insert(tx, CHAIN, &intent, &[keyed()], 1).await.unwrap();
    intent.id
}

fn nonce(nonce: u64) -> Place {
    Place { evm: Some((SENDER.to_owned(), nonce)), nonce_account: None }
}

fn signed(id: &str) -> SignedTx {
    SignedTx { chain: "eip155:1".parse().unwrap(), id: TxId(id.to_owned()), bytes: vec![0] }
}

/// An intent that is signed, at this nonce.
async fn insert_signed(tx: &mut Tx, purpose: Purpose, at: u64, attempt: &str) -> IntentId {
    let id = insert(tx, purpose).await;
    assert!(intents::built(tx, id, &unsigned(1), nonce(at), 1).await.unwrap());
    assert!(intents::signed(tx, id, &unsigned(1), &signed(attempt), 1).await.unwrap());
    id
}

#[tokio::test]
async fn promise_29_the_next_nonce_is_the_lowest_that_the_chain_waits_for() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let free =
            async |tx: &mut Tx, count| intents::free_nonce(tx, CHAIN, SENDER, count).await.unwrap();
        assert_eq!(free(&mut tx, 4).await, 4, "the chain's count");
        insert_signed(&mut tx, Purpose::Withdrawal, 4, "0x4").await;
        let given_up = insert(&mut tx, Purpose::Withdrawal).await;
        assert!(intents::built(&mut tx, given_up, &unsigned(2), nonce(5), 1).await.unwrap());
        assert!(intents::has_unsigned(&mut tx, CHAIN, SENDER).await.unwrap());
        assert_eq!(free(&mut tx, 4).await, 6);
        let (from, to) = (State::Built, State::Failed);
        assert!(intents::advance(&mut tx, given_up, from, to, None, 1).await.unwrap());
        assert!(!intents::has_unsigned(&mut tx, CHAIN, SENDER).await.unwrap());
        insert_signed(&mut tx, Purpose::Withdrawal, 6, "0x6").await;
        assert_eq!(free(&mut tx, 4).await, 5, "what was given up would hold 6 up for ever");
        insert_signed(&mut tx, Purpose::Withdrawal, 5, "0x5").await;
        assert_eq!(free(&mut tx, 4).await, 7);
        assert_eq!(free(&mut tx, 6).await, 7);
        assert_eq!(free(&mut tx, 9).await, 9);
        assert_eq!(intents::free_nonce(&mut tx, CHAIN, "0xother", 4).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn promise_29_a_place_has_one_intent_and_an_account_one_unsigned_transaction() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        insert_signed(&mut tx, Purpose::Withdrawal, 4, "0x4").await;
        let (first, second) =
            (insert(&mut tx, Purpose::Fuel).await, insert(&mut tx, Purpose::Fuel).await);
        tx.commit().await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        assert!(!intents::built(&mut tx, first, &unsigned(1), nonce(4), 1).await.unwrap());
        tx.rollback().await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        assert!(intents::built(&mut tx, first, &unsigned(1), nonce(5), 1).await.unwrap());
        assert!(!intents::built(&mut tx, first, &unsigned(2), nonce(6), 1).await.unwrap(), "again");
        tx.commit().await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        assert!(!intents::built(&mut tx, second, &unsigned(1), nonce(6), 1).await.unwrap());
        tx.rollback().await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        // Only the bytes that are stored may be stored as signed.
        assert!(!intents::signed(&mut tx, first, &unsigned(2), &signed("0x5"), 1).await.unwrap());
        assert!(intents::unbuilt(&mut tx, first, "frozen", 1).await.unwrap());
        assert!(!intents::signed(&mut tx, first, &unsigned(1), &signed("0x5"), 1).await.unwrap());
        assert!(intents::built(&mut tx, second, &unsigned(1), nonce(5), 1).await.unwrap());
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn promise_29_of_two_servers_one_takes_the_place() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let (first, second) =
            (insert(&mut tx, Purpose::Fuel).await, insert(&mut tx, Purpose::Fuel).await);
        tx.commit().await.unwrap();
        let place = || Place { evm: None, nonce_account: Some("account".to_owned()) };
        let take = async |id| {
            let mut tx = test.db.begin().await.unwrap();
            let taken = intents::built(&mut tx, id, &unsigned(1), place(), 1).await.unwrap();
            if taken {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                tx.commit().await.unwrap();
            }
            taken
        };
        let taken = tokio::join!(take(first), take(second));
        assert!(taken.0 != taken.1, "{taken:?}");
    }
}

#[tokio::test]
async fn our_own_transactions_and_what_the_chain_ended_are_found_again() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let id = insert_signed(&mut tx, Purpose::Sweep, 1, "0x1").await;
        let attempt = TxId("0x1".to_owned());
        assert_eq!(intents::purpose_of(&mut tx, &attempt).await.unwrap(), Some(Purpose::Sweep));
        let unknown = TxId("0x2".to_owned());
        assert_eq!(intents::purpose_of(&mut tx, &unknown).await.unwrap(), None);
        let bytes = intents::unsigned_of(&mut tx, id, &attempt).await.unwrap();
        assert_eq!(bytes, Some(unsigned(1)));
        assert_eq!(intents::live(&mut tx, CHAIN).await.unwrap(), [id]);
        assert_eq!(intents::ended_above(&mut tx, CHAIN, 0).await.unwrap(), 0);
        let (to, fee) = (State::Settled, Amount::new(1));
        let end = async |tx: &mut Tx| {
            intents::end(tx, id, to, &attempt, fee, &block(9, "a"), 2).await.unwrap()
        };
        assert!(end(&mut tx).await);
        assert!(!end(&mut tx).await, "it ends once");
        assert_eq!(intents::ended_above(&mut tx, CHAIN, 8).await.unwrap(), 1);
        assert_eq!(intents::ended_above(&mut tx, CHAIN, 9).await.unwrap(), 0);
        assert!(intents::live(&mut tx, CHAIN).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_coin_that_a_settled_transaction_spent_is_not_offered_again() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let outpoint = OutPoint { txid: TxId("c".to_owned()), vout: 1 };
        let address = "address".to_owned();
        let coin = StoredCoin { outpoint: outpoint.clone(), amount: Amount::new(5), address };
        coins::insert(&mut tx, CHAIN, &coin, 3, false).await.unwrap();
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(coins::reserve(&mut tx, CHAIN, &outpoint, mine).await.unwrap());
        assert!(!coins::reserve(&mut tx, CHAIN, &outpoint, other).await.unwrap());
        let by = TxId("d".to_owned());
        coins::spend(&mut tx, CHAIN, &outpoint, &by, 7).await.unwrap();
        coins::release(&mut tx, mine).await.unwrap();
        assert!(coins::spendable(&mut tx, CHAIN, 100, 0).await.unwrap().is_empty());
        assert!(!coins::reserve(&mut tx, CHAIN, &outpoint, other).await.unwrap());
        // Unless a reorganisation gives it back.
        coins::forget_above(&mut tx, CHAIN, 6).await.unwrap();
        assert_eq!(coins::spendable(&mut tx, CHAIN, 100, 0).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn promise_19_a_server_that_was_overtaken_stores_nothing_on_an_old_block() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        blocks::insert(&mut tx, CHAIN, &block(4, "a")).await.unwrap();
        blocks::insert(&mut tx, CHAIN, &block(5, "b")).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        assert!(!blocks::is_newest(&mut tx, CHAIN, &block(4, "a")).await.unwrap());
        assert!(!blocks::is_newest(&mut tx, CHAIN, &block(5, "x")).await.unwrap());
        assert!(blocks::is_newest(&mut tx, CHAIN, &block(5, "b")).await.unwrap());
        // One rolls back while the other waits to go on from the same block.
        let waiting = {
            let db = test.db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                blocks::is_newest(&mut tx, CHAIN, &block(5, "b")).await.unwrap()
            })
        };
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        blocks::forget_above(&mut tx, CHAIN, 4).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!waiting.await.unwrap());
    }
}

#[tokio::test]
async fn a_nonce_account_whose_creation_failed_is_tried_again_later() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let id = insert(&mut tx, Purpose::Setup).await;
        nonces::insert(&mut tx, CHAIN, "account", 0, SENDER, id).await.unwrap();
        assert_eq!(intents::newest_setup(&mut tx, CHAIN).await.unwrap(), i64::MAX, "under way");
        let failed =
            async |tx: &mut Tx, then| nonces::failed(tx, CHAIN, SENDER, then).await.unwrap();
        assert!(failed(&mut tx, 1_000).await.is_empty(), "under way");
        let (from, to) = (State::Reserved, State::Failed);
        assert!(intents::advance(&mut tx, id, from, to, None, 500).await.unwrap());
        assert_eq!(intents::newest_setup(&mut tx, CHAIN).await.unwrap(), 500);
        assert!(failed(&mut tx, 500).await.is_empty(), "too early");
        assert_eq!(failed(&mut tx, 501).await, [0]);
        let again = insert(&mut tx, Purpose::Setup).await;
        nonces::retry(&mut tx, CHAIN, "account", again).await.unwrap();
        assert!(failed(&mut tx, 1_000).await.is_empty());
        nonces::ready(&mut tx, again).await.unwrap();
        assert_eq!(nonces::free(&mut tx, CHAIN, SENDER).await.unwrap(), Some(0));
    }
}

#[tokio::test]
async fn a_bank_line_is_taken_once_and_a_changed_one_is_noticed() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        let line = BankLine {
            id: "b1".to_owned(),
            currency: "EUR".to_owned(),
            amount: Amount::new(5),
            reference: "r".to_owned(),
            booked_on: "2026-01-31".to_owned(),
            tenant: Some(TENANT),
            customer: None,
            state: "suspense".to_owned(),
            created_at: 1,
        };
        assert!(bank::insert(&mut tx, &line).await.unwrap());
        assert!(!bank::insert(&mut tx, &line).await.unwrap());
        assert!(bank::is_same(&mut tx, &line).await.unwrap());
        let changed = BankLine { amount: Amount::new(6), ..line };
        assert!(!bank::insert(&mut tx, &changed).await.unwrap());
        assert!(!bank::is_same(&mut tx, &changed).await.unwrap());
    }
}
