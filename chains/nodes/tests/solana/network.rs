//! Connection, tip and blocks.

use std::time::Duration;

use chain_core::{ChainId, Node, NodeError, WatchSet};
use chain_nodes::solana::{SolanaNode, SolanaOptions};
use tokio::net::TcpListener;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn promise_14_another_network_is_refused() {
    let world = World::start().await;
    for wanted in ["solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "eip155:1"] {
        let wanted: ChainId = wanted.parse().unwrap();
        let options = SolanaOptions::default();
        let refused = SolanaNode::connect(world.url(), wanted, options).await;
        assert!(matches!(refused, Err(NodeError::WrongNetwork { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_does_not_hold_the_caller() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:hunter2@{}/key", silent.local_addr().unwrap());
    let chain: ChainId = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
    let options = SolanaOptions { limit: Duration::from_millis(300), ..SolanaOptions::default() };
    let answer = SolanaNode::connect(&url, chain.clone(), options.clone()).await;
    let Err(NodeError::Unreachable(reason)) = answer else { panic!("{answer:?}") };
    assert!(!reason.contains("hunter2") && !reason.contains("127.0.0.1"), "{reason}");
    drop(silent);
    let answer = SolanaNode::connect(&url, chain, options).await;
    assert!(matches!(answer, Err(NodeError::Unreachable(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_chained_and_the_head_runs_ahead_of_the_final() {
    let world = World::start().await;
    world.solana().mine(60).await.unwrap();
    let tip = world.node.tip().await.unwrap();
    let finalized = tip.finalized.unwrap();
    assert!(finalized < tip.head.height, "{tip:?}");
    assert_eq!(world.node.block_at(tip.head.height).await.unwrap().as_ref(), Some(&tip.head));
    assert_eq!(world.node.block_at(tip.head.height + 100_000).await.unwrap(), None);

    let nothing = WatchSet::default();
    let blocks = world.blocks(&nothing).await;
    assert!(blocks.len() > 50);
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].parent_hash, pair[0].block.hash);
        assert!(pair[1].block.height > pair[0].block.height && pair[1].time >= pair[0].time);
    }
    let twice = world.node.scan(finalized, finalized, &nothing).await.unwrap();
    assert_eq!(twice, world.node.scan(finalized, finalized, &nothing).await.unwrap());
    assert_eq!(twice.len(), 1);

    let future = world.node.scan(finalized, finalized + 400, &nothing).await;
    assert!(matches!(future, Err(NodeError::NotAvailable(_))), "{future:?}");
    let wide = world.node.scan(0, 500, &nothing).await;
    assert!(matches!(wide, Err(NodeError::Refused(_))), "{wide:?}");
    assert_eq!(world.node.scan(9, 8, &nothing).await.unwrap(), []);
}
