//! Anchors as memos.

use chain_core::{Action, AnchorCommitment, AnchorEvidence, Node, NodeError};

use crate::world::{TREASURY, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_is_a_memo_with_evidence() {
    let world = World::with_treasury().await;
    let commitment = AnchorCommitment { origin: [0xaa; 32], size: 12_345, checkpoint: [0xbb; 32] };
    let action = Action::Anchor { commitment: commitment.clone(), contract: None };
    let tx = world.run(action.clone(), &[TREASURY], false).await;
    assert_eq!(world.cost(&tx.id).await, 5_000);
    let early = world.node.evidence(&tx.id, 0).await;
    assert!(matches!(early, Err(NodeError::NotAvailable(_))), "not final: {early:?}");
    world.finalized(&tx.id).await;

    let evidence = world.node.evidence(&tx.id, 0).await.unwrap();
    let AnchorEvidence::Solana { chain, signature, slot, transaction } = evidence else {
        panic!("{evidence:?}");
    };
    assert_eq!((&chain, signature), (world.node.chain(), tx.id.0.clone()));
    assert!(world.node.block_at(slot).await.unwrap().is_some());
    assert_eq!(transaction, hex::encode(&tx.bytes));
    let memo = hex::encode(chain_solana::anchor_memo(&commitment));
    assert!(transaction.contains(&memo));
    let sent = chain_solana::read_sent(&chain, &hex::decode(&transaction).unwrap()).unwrap();
    assert_eq!(sent.summary.action, action);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_or_unknown_anchor_has_no_evidence() {
    let world = World::with_treasury().await;
    let commitment = AnchorCommitment { origin: [1; 32], size: 1, checkpoint: [2; 32] };
    let action = Action::Anchor { commitment, contract: None };
    let tx = world.signed(action, &[TREASURY]).await;
    let none = world.node.evidence(&tx.id, 0).await;
    assert!(matches!(none, Err(NodeError::NotAvailable(_))), "{none:?}");
}
