//! The anchor contract, deployed and used, and the proof of what it recorded.

use alloy_primitives::{B256, Bytes, hex, keccak256};
use alloy_trie::Nibbles;
use alloy_trie::proof::verify_proof;
use chain_core::{
    Action, AnchorCommitment, AnchorEvidence, EvmContext, Node, NodeError, SignedTx, TxStatus,
};
use chain_evm::{anchor_contract_address, anchored_event};
use serde_json::json;

use crate::common::Key;
use crate::world::{OUTSIDER, TestToken, World};

const ETHER: u128 = 10_u128.pow(18);

async fn with_contract(number: u8) -> (World, Key) {
    let world = World::new().await;
    let (key, from) = world.key(number);
    world.fund(from, ETHER).await;
    world.perform(&key, &Action::DeployAnchorContract).await;
    (world, key)
}

async fn succeeded(world: &World, tx: &SignedTx) -> bool {
    match world.node.status(&tx.id).await.unwrap() {
        TxStatus::Included { success, .. } => success,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_deployed_once_where_it_must_be() {
    let world = World::new().await;
    let (key, from) = world.key(71);
    world.fund(from, ETHER).await;
    assert!(!world.node.has_anchor_contract().await.unwrap());
    let early = world.node.context(&world.request(&key, &world.anchor(1, [1; 32]))).await;
    assert!(matches!(early, Err(NodeError::NotAvailable(_))), "a call of nothing does nothing");

    let deployment = world.perform(&key, &Action::DeployAnchorContract).await;
    assert!(succeeded(&world, &deployment).await);
    assert!(world.node.has_anchor_contract().await.unwrap());
    let address = anchor_contract_address(&world.chain);
    let code = world.rpc("eth_getCode", json!([address.as_str(), "latest"])).await;
    assert!(code.as_str().unwrap().len() > 100);
    let again = world.node.context(&world.request(&key, &Action::DeployAnchorContract)).await;
    assert!(matches!(again, Err(NodeError::NotAvailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_written_once_and_nobody_else_can_take_its_place() {
    let (world, key) = with_contract(72).await;
    let (stranger, from) = world.key(73);
    world.fund(from, ETHER).await;

    // A stranger is there first, with something else at our place.
    let squat = world.perform(&stranger, &world.anchor(9, [0xbb; 32])).await;
    assert!(succeeded(&world, &squat).await);
    let action = world.anchor(9, [0xaa; 32]);
    let context = world.context(&key, &action).await;
    let first = world.perform(&key, &action).await;
    assert!(succeeded(&world, &first).await);
    // The same again is harmless, as after a time-out; it has an event of its own.
    let repeated = world.perform(&key, &action).await;
    assert!(succeeded(&world, &repeated).await);
    assert!(world.node.evidence(&repeated.id, 0).await.is_ok());

    let other = world.anchor(9, [0xcc; 32]);
    let refused = world.node.context(&world.request(&key, &other)).await;
    assert!(matches!(refused, Err(NodeError::Refused(_))), "{refused:?}");
    let forced = EvmContext { nonce: context.nonce + 2, ..context };
    let forced = world.sign(&key, &other, &forced);
    world.send(&forced).await;
    assert!(!succeeded(&world, &forced).await);
    assert!(matches!(world.node.evidence(&forced.id, 0).await, Err(NodeError::NotAvailable(_))));
}

/// The proof is checked with nothing but hashes: header to block hash, trie root in the header,
/// receipt in the trie, event in the receipt.
fn check(world: &World, evidence: &AnchorEvidence, block_hash: &str) -> chain_evm::AnchoredEvent {
    use alloy_consensus::{Header, ReceiptEnvelope};
    use alloy_eips::Decodable2718;
    use alloy_rlp::Decodable;
    let AnchorEvidence::Evm { index, proof, header, contract, log, .. } = evidence else {
        panic!("{evidence:?}")
    };
    let header = hex::decode(header).unwrap();
    assert_eq!(keccak256(&header).to_string(), block_hash);
    let header = Header::decode(&mut &header[..]).unwrap();
    let nodes: Vec<Bytes> = proof.iter().map(|node| hex::decode(node).unwrap().into()).collect();
    let leaf = nodes.last().unwrap();
    // The receipt is the second item of the leaf.
    let mut leaf = &leaf[..];
    alloy_rlp::Header::decode(&mut leaf).unwrap();
    Bytes::decode(&mut leaf).unwrap();
    let receipt = Bytes::decode(&mut leaf).unwrap();
    let key = Nibbles::unpack(alloy_rlp::encode(*index));
    let root: B256 = header.receipts_root;
    verify_proof(root, key, Some(receipt.to_vec()), &nodes).unwrap();
    let receipt = ReceiptEnvelope::decode_2718_exact(&receipt).unwrap();
    assert!(receipt.is_success());
    let log = &receipt.logs()[usize::try_from(*log).unwrap()];
    assert_eq!(log.address.to_checksum(None), *contract);
    anchored_event(&world.chain, log.address, &log.data).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_is_proved_by_hashes_alone() {
    let (world, key) = with_contract(74).await;
    let action = world.anchor(1_234_567, [0x5a; 32]);
    let context = world.context(&key, &action).await;
    let token = world.deploy_test_token().await;
    let signed = world.sign(&key, &action, &context);

    // In a block with others, so that the trie has branches.
    world.hold_mining().await;
    let (_, other) = world.key(75);
    for value in 1..=20 {
        let mint = TestToken::mintCall { to: other, value: alloy_primitives::U256::from(value) };
        world.call(token, 0, &mint).await;
    }
    world.send(&signed).await;
    let too_early = world.node.evidence(&signed.id, 0).await;
    assert!(matches!(too_early, Err(NodeError::NotAvailable(_))));
    world.mine_together().await;
    let TxStatus::Included { block, .. } = world.node.status(&signed.id).await.unwrap() else {
        panic!("not mined")
    };

    let evidence = world.node.evidence(&signed.id, 0).await.unwrap();
    let event = check(&world, &evidence, &block.hash);
    let Action::Anchor { commitment, .. } = action else { panic!() };
    assert_eq!(event.commitment, commitment);
    assert_eq!(event.sender, key.keyed(&world.chain).address);
    let AnchorEvidence::Evm { proof, tx, .. } = &evidence else { panic!() };
    assert!(proof.len() > 1, "a block of many receipts");
    assert_eq!(*tx, signed.id);
    verify_offline(&evidence, &commitment, &block.hash);
}

/// The offline verifier reads tries and RLP by itself, and knows nothing of this crate.
fn verify_offline(evidence: &AnchorEvidence, commitment: &AnchorCommitment, block_hash: &str) {
    use api_verify::anchor::{Commitment, Status, TrustedBlocks, check};
    let AnchorCommitment { origin, size, checkpoint } = *commitment;
    let commitment = Commitment { origin, size, checkpoint };
    let as_json = serde_json::to_value(evidence).unwrap();
    let verify = |evidence: serde_json::Value| {
        let evidence = serde_json::from_value(evidence).unwrap();
        check(&evidence, &commitment, &TrustedBlocks::default())
    };
    let report = verify(as_json.clone()).unwrap();
    assert_eq!(report.status, Status::ProvedGivenHeader);
    assert_eq!(report.block.as_deref(), Some(block_hash));

    let with = |field: &str, value: serde_json::Value| {
        let mut changed = as_json.clone();
        changed[field] = value;
        changed
    };
    let (index, log) = (as_json["index"].as_u64().unwrap(), as_json["log"].as_u64().unwrap());
    assert!(verify(with("index", json!(index + 1))).is_err(), "another receipt");
    assert!(verify(with("log", json!(log + 1))).is_err(), "another event");
    assert!(verify(with("contract", json!(OUTSIDER))).is_err(), "another contract");
    let other = Commitment { size: size + 1, ..commitment };
    let evidence = serde_json::from_value(as_json.clone()).unwrap();
    assert!(check(&evidence, &other, &TrustedBlocks::default()).is_err(), "another checkpoint");
}
