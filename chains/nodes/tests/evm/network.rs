//! Connection, head, and reorganisations.

use std::time::{Duration, Instant};

use chain_core::{Node, NodeError, WatchSet};
use chain_nodes::evm::{EvmNode, EvmOptions};

use crate::world::{World, brief, exact};

async fn error_of(url: &str, chain: &str, timeout: Duration) -> NodeError {
    let chain = chain.parse().unwrap();
    match EvmNode::connect(url, chain, EvmOptions { timeout }).await {
        Ok(_) => panic!("connected to {url}"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_network_is_refused() {
    let world = World::new().await;
    let options = EvmOptions::default().timeout;
    let error = error_of(world.evm().rpc_url(), "eip155:1", options).await;
    let NodeError::WrongNetwork { wanted, found } = error else { panic!("{error}") };
    assert_eq!((wanted.as_str(), found.as_str()), ("eip155:1", "eip155:31337"));
    for url in ["not a url", "ftp://127.0.0.1", "file:///etc/passwd"] {
        assert!(matches!(error_of(url, "eip155:1", options).await, NodeError::Unreachable(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_nothing_is_given_up_in_time_and_its_url_stays_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let start = Instant::now();
    let url = format!("http://127.0.0.1:{port}/v3/secret-key");
    let error = error_of(&url, "eip155:1", Duration::from_millis(300)).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(matches!(error, NodeError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret-key"));
    drop(listener);
    let error = error_of(&url, "eip155:1", Duration::from_millis(300)).await;
    assert!(matches!(error, NodeError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tip_and_blocks_are_those_of_the_chain() {
    let world = World::new().await;
    world.evm().mine(10).await.unwrap();
    let tip = world.node.tip().await.unwrap();
    assert_eq!(tip.head.height, 10);
    assert_eq!(tip.finalized, Some(10 - world.evm().finality_depth()));
    assert_eq!(world.node.block_at(10).await.unwrap(), Some(tip.head));
    assert_eq!(world.node.block_at(11).await.unwrap(), None);

    let blocks = world.node.scan(3, 99, &WatchSet::default()).await.unwrap();
    let heights: Vec<u64> = blocks.iter().map(|block| block.block.height).collect();
    assert_eq!(heights, (3..=10).collect::<Vec<u64>>(), "as far as the chain goes");
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].parent_hash, pair[0].block.hash);
        assert!(pair[1].time >= pair[0].time);
    }
    assert!(world.node.scan(11, 12, &WatchSet::default()).await.unwrap().is_empty());
}

/// A reorganisation shows in the parent's hash; a deposit in it is gone, and comes back with the
/// same identity when its transaction is mined again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_shows_and_a_deposit_keeps_its_identity() {
    let world = World::new().await;
    let (sender, from) = world.key(41);
    let (_, alice) = world.key(42);
    world.fund(from, 10_u128.pow(18)).await;
    let payment = world.perform(&sender, &world.pay_native(alice, 5)).await;
    let before = world.deposits(&[alice], &[]).await;
    assert_eq!(brief(&before), [(payment.id.0.as_str(), "native", exact(5))]);
    let old_head = world.node.tip().await.unwrap().head;

    world.evm().reorg(1).await.unwrap();
    let new_head = world.node.tip().await.unwrap().head;
    assert_eq!(new_head.height, old_head.height);
    assert_ne!(new_head.hash, old_head.hash);
    assert_ne!(world.node.block_at(old_head.height).await.unwrap(), Some(old_head.clone()));
    assert!(world.deposits(&[alice], &[]).await.is_empty());
    world.evm().mine(1).await.unwrap();
    let next = old_head.height + 1;
    let next = world.node.scan(next, next, &WatchSet::default()).await.unwrap();
    assert_ne!(next[0].parent_hash, old_head.hash, "the reader sees that its block is gone");

    world.send(&payment).await;
    world.evm().mine(1).await.unwrap();
    assert_eq!(world.deposits(&[alice], &[]).await, before);
}
