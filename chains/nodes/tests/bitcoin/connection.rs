use anyhow::Result;
use chain_core::{Branch, KeyScheme};
use chain_core::{Node, NodeError, TxId, TxStatus, WatchSet};
use chain_nodes::bitcoin::{BitcoinAuth, BitcoinNode};
use testnets::TestEnv;

use crate::network::{Network, config, request};
use crate::support::{MAINNET, outsider, own, pay};

#[tokio::test]
async fn promise_14_a_node_of_another_network_is_refused() -> Result<()> {
    let env = TestEnv::builder().bitcoin().start().await?;
    let mut elsewhere = config(env.bitcoin()?);
    elsewhere.chain = MAINNET.parse()?;
    elsewhere.fallback_fee_sat_per_kwu = None;
    let error = BitcoinNode::connect(elsewhere).await.unwrap_err();
    assert!(matches!(error, NodeError::WrongNetwork { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_showing_the_password() -> Result<()> {
    let env = TestEnv::builder().bitcoin().start().await?;
    let good = config(env.bitcoin()?);
    assert!(!format!("{good:?}").contains("password: \"roadstead\""), "{good:?}");

    let mut wrong = good.clone();
    wrong.auth = BitcoinAuth::UserPassword { user: "roadstead".into(), password: "hunter2".into() };
    let error = BitcoinNode::connect(wrong).await.unwrap_err();
    assert!(matches!(error, NodeError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("hunter2"));

    let mut inline = good.clone();
    inline.url = env.bitcoin()?.rpc_url().to_owned();
    assert!(matches!(BitcoinNode::connect(inline).await, Err(NodeError::Refused(_))));

    let mut fallback = good.clone();
    fallback.chain = MAINNET.parse()?;
    assert!(matches!(BitcoinNode::connect(fallback).await, Err(NodeError::Refused(_))));

    let mut nowhere = good;
    nowhere.url = "http://127.0.0.1:9".into();
    let error = BitcoinNode::connect(nowhere).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_cookie_is_read_again_for_each_call() -> Result<()> {
    let env = TestEnv::builder().bitcoin().start().await?;
    let folder = tempfile::tempdir()?;
    let cookie = folder.path().join(".cookie");
    std::fs::write(&cookie, "roadstead:roadstead\n")?;
    let mut config = config(env.bitcoin()?);
    config.auth = BitcoinAuth::CookieFile(cookie.clone());
    let node = BitcoinNode::connect(config).await?;
    assert!(node.tip().await.is_ok());
    std::fs::write(&cookie, "__cookie__:of another run")?;
    assert!(matches!(node.tip().await, Err(NodeError::Refused(_))));
    Ok(())
}

#[tokio::test]
async fn without_an_estimate_or_a_fallback_nothing_is_guessed() -> Result<()> {
    let net = Network::start().await?;
    let owner = own(KeyScheme::Bip86, Branch::External, 0);
    let coins = net.fund(&[(&owner, 50_000)]).await?;
    let mut config = config(net.bitcoin());
    config.fallback_fee_sat_per_kwu = None;
    let node = BitcoinNode::connect(config).await?;
    let asked = node.context(&request(&pay(&[(&outsider(0), 10_000)]), &coins)).await;
    assert!(matches!(asked, Err(NodeError::NotAvailable(_))), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn heights_past_the_tip_and_unknown_transactions_are_not_errors() -> Result<()> {
    let net = Network::start().await?;
    let tip = net.node.tip().await?;
    assert_eq!(tip.finalized, None);
    assert_eq!(net.node.block_at(tip.head.height).await?, Some(tip.head.clone()));
    assert_eq!(net.node.block_at(tip.head.height + 1).await?, None);
    let blocks = net.node.scan(tip.head.height, tip.head.height + 9, &WatchSet::default()).await?;
    assert_eq!(blocks.len(), 1);
    assert_eq!(net.node.status(&TxId("ab".repeat(32))).await?, TxStatus::NotFound);
    assert!(net.node.status(&TxId("0xab".to_owned())).await.is_err());
    assert!(net.node.scan(0, 200, &WatchSet::default()).await.is_err(), "too many at once");
    Ok(())
}
