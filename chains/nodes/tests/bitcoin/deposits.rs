//! Promise 22: what blocks hold for us, whatever happens to transactions and blocks.

use anyhow::Result;
use chain_core::KeyScheme::{Bip84, Bip86};
use chain_core::{
    Action, Amount, AnchorCommitment, Branch, KeyedAddress, Node, NodeError, Purpose,
    ScannedAmount, TxStatus,
};

use crate::network::{Network, deposits, made, request, spent};
use crate::support::{own, pay};

/// Somebody else, who has coins and pays us.
fn payer() -> KeyedAddress {
    own(Bip86, Branch::External, 500)
}

fn ours(index: u32) -> KeyedAddress {
    own(Bip84, Branch::External, index)
}

#[tokio::test]
async fn promise_22_a_deposit_goes_and_comes_with_its_block() -> Result<()> {
    let net = Network::start().await?;
    let owner = ours(0);
    let tx = net.bitcoin().fund(owner.address.as_str(), Amount::new(70_000)).await?;
    net.mine(2).await?;
    let tip = net.node.tip().await?.head.height;
    let before = net.scan(tip - 1, &[&owner.address]).await?;
    assert_eq!(deposits(&before).len(), 1);
    assert_eq!(before[1].parent_hash, before[0].block.hash);

    net.bitcoin().reorg_empty(2).await?;
    let after = net.scan(tip - 1, &[&owner.address]).await?;
    assert_eq!(after.len(), 3);
    assert_eq!(after[0].parent_hash, before[0].parent_hash, "they fork after the same block");
    assert_ne!(after[0].block.hash, before[0].block.hash);
    assert!(deposits(&after).is_empty());
    assert_eq!(net.node.status(&chain_core::TxId(tx.clone())).await?, TxStatus::Pending);
    assert_eq!(net.node.block_at(tip).await?.as_ref(), Some(&after[1].block));

    net.mine(1).await?;
    let again = net.deposits(&[&owner.address]).await?;
    assert_eq!(again, deposits(&before), "the same transaction and position");
    assert_eq!(again[0].tx.0, tx);
    Ok(())
}

#[tokio::test]
async fn promise_22_of_a_replaced_deposit_only_the_mined_one_counts() -> Result<()> {
    let net = Network::start().await?;
    let (payer, owner, other) = (payer(), ours(0), ours(1));
    let coins = net.fund(&[(&payer, 900_000)]).await?;
    let action = pay(&[(&owner.address, 50_000)]);
    let first = net.make(Purpose::Withdrawal, action, &coins).await?;
    net.send(&first).await?;
    let tip = net.node.tip().await?.head.height;
    let unmined = net.scan(tip, &[&owner.address]).await?;
    assert!(deposits(&unmined).is_empty(), "nothing counts before a block");

    let action = pay(&[(&other.address, 60_000)]);
    let mut again = request(&action, &coins);
    again.must_spend = vec![coins[0].outpoint.clone()];
    let context = net.context(&again).await?;
    let second = made(crate::support::intent(Purpose::Withdrawal, action), &context)?;
    net.send(&second).await?;
    net.mine(1).await?;
    let found = net.deposits(&[&owner.address, &other.address]).await?;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].tx, &found[0].to), (&second.signed.id, &other.address));
    assert_eq!(net.node.status(&first.signed.id).await?, TxStatus::NotFound);
    Ok(())
}

#[tokio::test]
async fn promise_22_a_deposit_spent_in_its_own_block_is_both() -> Result<()> {
    let net = Network::start().await?;
    let (payer, owner) = (payer(), ours(0));
    let coins = net.fund(&[(&payer, 900_000)]).await?;
    let deposit = net.make(Purpose::Withdrawal, pay(&[(&owner.address, 50_000)]), &coins).await?;
    net.send(&deposit).await?;
    let vout = u32::from(
        deposit.summary.change.len() == 1 && {
            let tx: bitcoin::Transaction = bitcoin::consensus::deserialize(&deposit.signed.bytes)?;
            tx.output[0].value.to_sat() != 50_000
        },
    );
    let coin = chain_core::Coin {
        outpoint: chain_core::OutPoint { txid: deposit.signed.id.clone(), vout },
        amount: Amount::new(50_000),
        owner: owner.clone(),
    };
    let action = pay(&[(&ours(9).address, 20_000)]);
    let child = net.make(Purpose::Withdrawal, action, std::slice::from_ref(&coin)).await?;
    net.send(&child).await?;
    net.mine(1).await?;
    let tip = net.node.tip().await?.head.height;
    let blocks = net.scan(tip, &[&owner.address]).await?;
    assert_eq!(deposits(&blocks).len(), 1);
    assert!(spent(&blocks).contains(&coin.outpoint));
    Ok(())
}

#[tokio::test]
async fn promise_22_each_output_counts_and_op_return_never() -> Result<()> {
    let net = Network::start().await?;
    let (payer, owner, other) = (payer(), ours(0), ours(1));
    let coins = net.fund(&[(&payer, 900_000)]).await?;
    let action = pay(&[
        (&owner.address, 50_000),
        (&owner.address, 50_000),
        (&other.address, 294),
        (&owner.address, 7_000),
    ]);
    let payment = net.make(Purpose::Withdrawal, action, &coins).await?;
    net.send(&payment).await?;
    net.mine(1).await?;
    let found = net.deposits(&[&owner.address, &other.address]).await?;
    assert_eq!(found.len(), 4, "{found:?}");
    let positions: std::collections::BTreeSet<_> =
        found.iter().map(|deposit| (&deposit.tx, &deposit.position)).collect();
    assert_eq!(positions.len(), 4, "each output is a deposit of its own");
    let amounts: Vec<_> = found.iter().map(|deposit| deposit.amount.clone()).collect();
    let exact = |sat: u64| ScannedAmount::Exact(Amount::from(sat));
    assert_eq!(amounts, [exact(50_000), exact(50_000), exact(294), exact(7_000)]);
    assert!(found.iter().all(|deposit| !deposit.coinbase));

    let change = net.coins(&[&crate::network::change()]).await?;
    let commitment = AnchorCommitment { origin: [1; 32], size: 1, checkpoint: [2; 32] };
    let anchor = Action::Anchor { commitment, contract: None };
    let anchor = net.make(Purpose::Anchor, anchor, &change).await?;
    net.send(&anchor).await?;
    net.mine(1).await?;
    assert!(net.deposits(&[&owner.address, &other.address]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn promise_22_a_coinbase_is_marked_and_not_spent_before_its_time() -> Result<()> {
    let net = Network::start().await?;
    let owner = ours(0);
    net.bitcoin().mine_to(owner.address.as_str(), 1).await?;
    let found = net.deposits(&[&owner.address]).await?;
    assert_eq!(found.len(), 1);
    assert!(found[0].coinbase);
    let coins = net.coins(&[&owner]).await?;
    let action = pay(&[(&ours(1).address, 10_000)]);
    let early = net.node.context(&request(&action, &coins)).await;
    assert!(matches!(early, Err(NodeError::NotAvailable(_))), "{early:?}");
    net.mine(98).await?;
    assert!(net.node.context(&request(&action, &coins)).await.is_err(), "99 confirmations");
    net.mine(1).await?;
    let payment = net.make(Purpose::Withdrawal, action, &coins).await?;
    net.send(&payment).await?;
    let status = net.node.status(&found[0].tx).await?;
    let TxStatus::Included { confirmations: 100, fee, .. } = status else { panic!("{status:?}") };
    assert!(fee.is_zero());
    Ok(())
}

#[tokio::test]
async fn a_coin_that_is_not_what_the_books_say_is_an_error() -> Result<()> {
    let net = Network::start().await?;
    let owner = ours(0);
    let mut coins = net.fund(&[(&owner, 70_000)]).await?;
    let action = pay(&[(&ours(1).address, 10_000)]);
    coins[0].amount = Amount::new(70_001);
    let refused = net.node.context(&request(&action, &coins)).await;
    assert!(matches!(refused, Err(NodeError::NotAvailable(_))), "{refused:?}");
    Ok(())
}
