use anyhow::Result;
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{Transaction, TxMerkleNode};
use chain_bitcoin::{read_anchor_payload, sweepable};
use chain_core::KeyScheme::{Bip84, Bip86};
use chain_core::{
    Action, Address, Amount, AnchorCommitment, AnchorEvidence, Branch, BroadcastOutcome, FeeTier,
    KeyedAddress, Node, OutPoint, Purpose, Slot, TxId, TxStatus,
};

use serde_json::{Value, json};

use crate::network::{FALLBACK, Made, Network, change, deposits, made, request, spent};
use crate::support::{intent, outsider, own, pay};

fn external(scheme: chain_core::KeyScheme, index: u32) -> KeyedAddress {
    own(scheme, Branch::External, index)
}

/// 5 sat/vB in blocks that hold nothing else.
fn included_fee(status: &TxStatus) -> Amount {
    let TxStatus::Included { success: true, finalized: false, fee, .. } = status else {
        panic!("{status:?}")
    };
    *fee
}

async fn balance(net: &Network, address: &Address) -> Result<u64> {
    let native = net.node.chain().native();
    let balances = net.node.balances(&native, std::slice::from_ref(address)).await?;
    Ok(balances[address.as_str()].to_u64()?)
}

/// Bitcoin Core reads the PSBT as we do, and its pool would take the transaction at the size that the
/// fee was reckoned for.
async fn agrees(net: &Network, made: &Made) -> Result<()> {
    let encoded = bitcoin::Psbt::deserialize(&made.unsigned.bytes)?.to_string();
    let rpc = net.bitcoin().rpc();
    let decoded: Value = rpc.call("decodepsbt", json!([encoded])).await?;
    let fee: bitcoin::Amount = bitcoin::amount::serde::as_btc::deserialize(&decoded["fee"])?;
    assert_eq!(Amount::from(fee.to_sat()), made.summary.fee_max);
    assert_eq!(decoded["tx"]["txid"], json!(made.signed.id));
    assert_eq!(decoded["unknown"], json!({}));
    let raw = bitcoin::hex::DisplayHex::to_lower_hex_string(&made.signed.bytes);
    let verdict: Value = rpc.call("testmempoolaccept", json!([[raw]])).await?;
    assert_eq!(verdict[0]["allowed"], json!(true), "{verdict}");
    let vsize = verdict[0]["vsize"].as_u64().unwrap();
    let (fee, least) = (fee.to_sat(), vsize * FALLBACK * 4 / 1_000);
    let signatures = u64::try_from(made.summary.slots.len())?;
    assert!((least..=least + 5 * signatures + 5).contains(&fee), "{fee} for {vsize} vB");
    Ok(())
}

#[tokio::test]
async fn a_batch_is_paid_from_both_kinds_of_coin_to_every_kind_of_address() -> Result<()> {
    let net = Network::start().await?;
    let (wpkh, tr) = (external(Bip84, 0), external(Bip86, 0));
    let coins = net.fund(&[(&wpkh, 600_000), (&tr, 700_000)]).await?;
    assert_eq!(coins.len(), 2);
    let payees = [
        outsider(1),
        external(Bip86, 77).address,
        crate::support::address(net.node.chain(), "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"),
        crate::support::address(net.node.chain(), "2N83imGV3gPwBzKJQvWJ7cRUY2SpUyU6A5e"),
    ];
    let action = pay(&[
        (&payees[0], 300_000),
        (&payees[1], 200_000),
        (&payees[2], 150_000),
        (&payees[3], 400_000),
    ]);
    let batch = net.make(Purpose::Withdrawal, action, &coins).await?;
    assert_eq!(batch.summary.slots.len(), 2, "both coins are needed");
    agrees(&net, &batch).await?;

    net.send(&batch).await?;
    assert_eq!(net.node.broadcast(&batch.signed).await?, BroadcastOutcome::AlreadyKnown);
    assert_eq!(net.node.status(&batch.signed.id).await?, TxStatus::Pending);
    net.mine(1).await?;
    let status = net.node.status(&batch.signed.id).await?;
    assert_eq!(included_fee(&status), batch.summary.fee_max);
    assert_eq!(net.node.broadcast(&batch.signed).await?, BroadcastOutcome::AlreadyKnown);

    let tip = net.node.tip().await?.head.height;
    let blocks = net.scan(tip, &[&change().address, &payees[0]]).await?;
    assert_eq!(deposits(&blocks).len(), 2, "the payment and the change");
    let gone = spent(&blocks);
    assert!(coins.iter().all(|coin| gone.contains(&coin.outpoint)));
    assert_eq!(balance(&net, &payees[3]).await?, 400_000);
    let left = 1_300_000 - 1_050_000 - batch.summary.fee_max.to_u64()?;
    assert_eq!(balance(&net, &change().address).await?, left);
    Ok(())
}

#[tokio::test]
async fn several_p2wpkh_coins_come_with_the_transactions_that_made_them() -> Result<()> {
    let net = Network::start().await?;
    let owners = [external(Bip84, 0), external(Bip84, 1), external(Bip84, 2)];
    let coins =
        net.fund(&[(&owners[0], 50_000), (&owners[1], 50_000), (&owners[2], 50_000)]).await?;
    let payout = net.make(Purpose::Withdrawal, pay(&[(&outsider(0), 120_000)]), &coins).await?;
    assert_eq!(payout.summary.slots.len(), 3);
    agrees(&net, &payout).await?;
    net.send(&payout).await?;
    net.mine(1).await?;
    assert_eq!(balance(&net, &outsider(0)).await?, 120_000);
    Ok(())
}

#[tokio::test]
async fn a_sweep_empties_the_deposit_addresses() -> Result<()> {
    let net = Network::start().await?;
    let owners = [external(Bip84, 0), external(Bip86, 1), external(Bip84, 2)];
    let coins =
        net.fund(&[(&owners[0], 40_000), (&owners[1], 50_000), (&owners[2], 60_000)]).await?;
    let treasury = external(Bip86, 99).address;
    let context = net.context(&request(&pay(&[(&treasury, 1)]), &coins)).await?;
    let amount = sweepable(&context, &treasury)?;
    let action = pay(&[(&treasury, amount.to_u64()?)]);
    let sweep = made(intent(Purpose::Sweep, action), &context)?;
    net.send(&sweep).await?;
    net.mine(1).await?;
    assert_eq!(balance(&net, &treasury).await?, amount.to_u64()?);
    for owner in &owners {
        assert_eq!(balance(&net, &owner.address).await?, 0);
    }
    assert_eq!(amount.checked_add(sweep.summary.fee_max)?, Amount::new(150_000));
    Ok(())
}

#[tokio::test]
async fn coins_whose_proof_does_not_fit_are_left_for_the_next_sweep() -> Result<()> {
    let net = Network::start().await?;
    let (payer, owner) = (external(Bip86, 0), external(Bip84, 1));
    let funds = net.fund(&[(&payer, 10_000_000)]).await?;
    let crowd = pay(&vec![(&owner.address, 1_000); 2_500]);
    let crowd = net.make(Purpose::Withdrawal, crowd, &funds).await?;
    net.send(&crowd).await?;
    net.mine(1).await?;
    let coins: Vec<_> = net.coins(&[&owner]).await?.into_iter().take(9).collect();
    assert_eq!(coins.len(), 9);

    let treasury = external(Bip86, 99).address;
    let context = net.context(&request(&pay(&[(&treasury, 1)]), &coins)).await?;
    assert_eq!(context.coins.len(), 3, "each comes with 78 kB");
    let action = pay(&[(&treasury, sweepable(&context, &treasury)?.to_u64()?)]);
    let sweep = made(intent(Purpose::Sweep, action), &context)?;
    assert_eq!(sweep.summary.slots.len(), 3);
    net.send(&sweep).await?;

    let rest = net.context(&request(&pay(&[(&treasury, 1)]), &coins)).await?;
    assert_eq!(rest.coins.len(), 3);
    assert!(rest.coins.iter().all(|coin| !context.coins.contains(coin)));
    Ok(())
}

#[tokio::test]
async fn promise_30_a_replacement_confirms_instead_of_the_original() -> Result<()> {
    let net = Network::start().await?;
    let owners = [external(Bip86, 0), external(Bip84, 1)];
    let coins = net.fund(&[(&owners[0], 100_000), (&owners[1], 90_000)]).await?;
    let action = pay(&[(&outsider(0), 30_000)]);
    let original = net.make(Purpose::Withdrawal, action.clone(), &coins).await?;
    net.send(&original).await?;

    let again = request(&action, &coins);
    let unaware = net.context(&again).await?;
    assert_eq!(unaware.coins.len(), 1, "the pool spends the other coin");

    let Slot::BitcoinOutpoint { txid, vout } = original.summary.slots[0].clone() else { panic!() };
    let mut again = again;
    again.must_spend = vec![OutPoint { txid, vout }];
    again.tier = FeeTier::Fast;
    let context = net.context(&again).await?;
    assert_eq!(context.replaced_fee, original.summary.fee_max);
    assert_eq!(context.coins.len(), 2);
    let replacement = made(original.intent.clone(), &context)?;
    assert!(replacement.summary.fee_max > original.summary.fee_max);
    assert!(replacement.summary.slots.contains(&original.summary.slots[0]));

    net.send(&replacement).await?;
    assert_eq!(net.node.status(&original.signed.id).await?, TxStatus::NotFound);
    assert_eq!(net.node.status(&replacement.signed.id).await?, TxStatus::Pending);
    let outcome = net.node.broadcast(&original.signed).await?;
    assert!(matches!(outcome, BroadcastOutcome::Rejected { .. }), "{outcome:?}");
    net.mine(1).await?;
    assert_eq!(
        included_fee(&net.node.status(&replacement.signed.id).await?),
        replacement.summary.fee_max
    );
    let outcome = net.node.broadcast(&original.signed).await?;
    assert!(matches!(outcome, BroadcastOutcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(balance(&net, &outsider(0)).await?, 30_000, "paid exactly once");
    Ok(())
}

#[tokio::test]
async fn a_replacement_does_not_spend_what_it_replaces() -> Result<()> {
    let net = Network::start().await?;
    let owner = external(Bip86, 0);
    let coins = net.fund(&[(&owner, 500_000)]).await?;
    let action = pay(&[(&outsider(0), 30_000)]);
    let original = net.make(Purpose::Withdrawal, action.clone(), &coins).await?;
    net.send(&original).await?;
    let (_, amount) = original.summary.change[0].clone();
    let vout = (0..2)
        .find(|vout| {
            let tx: Transaction = bitcoin::consensus::deserialize(&original.signed.bytes).unwrap();
            tx.output[*vout as usize].value.to_sat() == amount.to_u64().unwrap()
        })
        .unwrap();
    let own_change = chain_core::Coin {
        outpoint: OutPoint { txid: original.signed.id.clone(), vout },
        amount,
        owner: change(),
    };
    let mut again = request(&action, &[coins[0].clone(), own_change.clone()]);
    assert_eq!(net.context(&again).await?.coins, vec![own_change], "unconfirmed change is money");
    again.must_spend = vec![coins[0].outpoint.clone()];
    assert_eq!(net.context(&again).await?.coins, coins);
    Ok(())
}

#[tokio::test]
async fn promise_30_a_sweep_is_replaced_with_the_same_payment_and_a_further_coin() -> Result<()> {
    let net = Network::start().await?;
    let (owner, treasury) = (external(Bip84, 0), external(Bip86, 99));
    let coins = net.fund(&[(&owner, 80_000), (&treasury, 30_000)]).await?;
    let (deposit, fuel) = (coins[0].clone(), coins[1].clone());
    assert_eq!(deposit.owner, owner);
    let swept = std::slice::from_ref(&deposit);
    let context = net.context(&request(&pay(&[(&treasury.address, 1)]), swept)).await?;
    let action = pay(&[(&treasury.address, sweepable(&context, &treasury.address)?.to_u64()?)]);
    let sweep = made(intent(Purpose::Sweep, action.clone()), &context)?;
    net.send(&sweep).await?;

    let mut again = request(&action, &[deposit.clone(), fuel]);
    again.must_spend = vec![deposit.outpoint];
    let replacement = made(sweep.intent.clone(), &net.context(&again).await?)?;
    assert!(replacement.summary.fee_max > sweep.summary.fee_max);
    net.send(&replacement).await?;
    net.mine(1).await?;
    assert_eq!(
        included_fee(&net.node.status(&replacement.signed.id).await?),
        replacement.summary.fee_max
    );
    assert_eq!(net.node.status(&sweep.signed.id).await?, TxStatus::NotFound);
    Ok(())
}

fn commitment() -> AnchorCommitment {
    AnchorCommitment { origin: [0x11; 32], size: 4_242, checkpoint: [0x22; 32] }
}

/// The offline verifier, which shares no code with us, follows the evidence, and refuses it for
/// another checkpoint or with a changed transaction.
fn verifies(evidence: &AnchorEvidence, tx: &TxId) -> Result<()> {
    use api_verify::anchor::{Commitment, Status, TrustedBlocks, check};
    let AnchorCommitment { origin, size, checkpoint } = commitment();
    let committed = Commitment { origin, size, checkpoint };
    let evidence: api_verify::receipt::Evidence =
        serde_json::from_value(serde_json::to_value(evidence)?)?;
    let nothing = TrustedBlocks::default();
    let report = check(&evidence, &committed, &nothing)?;
    assert_eq!(report.status, Status::ProvedGivenHeader);
    assert_eq!(report.transaction.as_ref(), Some(&tx.0));
    let header = report.block.unwrap();
    let trusted = TrustedBlocks::parse(&format!("{} {header}", report.chain)).unwrap();
    assert_eq!(check(&evidence, &committed, &trusted)?.status, Status::Proved);

    let other = Commitment { size: size + 1, ..committed };
    assert!(check(&evidence, &other, &nothing).is_err());
    let mut moved = evidence.clone();
    if let api_verify::receipt::Evidence::Bitcoin { position, .. } = &mut moved {
        *position ^= 1;
    }
    assert!(check(&moved, &committed, &nothing).is_err());
    Ok(())
}

#[tokio::test]
async fn promise_39_an_anchor_and_its_evidence() -> Result<()> {
    let net = Network::start().await?;
    let owner = external(Bip84, 0);
    let coins = net.fund(&[(&owner, 100_000)]).await?;
    let action = Action::Anchor { commitment: commitment(), contract: None };
    let anchor = net.make(Purpose::Anchor, action, &coins).await?;
    net.send(&anchor).await?;
    assert!(net.node.evidence(&anchor.signed.id, 1).await.is_err(), "it is in no block yet");
    for index in 0..6 {
        net.bitcoin().fund(outsider(index).as_str(), Amount::new(10_000)).await?;
    }
    net.mine(3).await?;

    let evidence = net.node.evidence(&anchor.signed.id, 2).await?;
    verifies(&evidence, &anchor.signed.id)?;
    let AnchorEvidence::Bitcoin { chain, transaction, branch, position, headers, height } =
        evidence
    else {
        panic!("another family's evidence")
    };
    assert_eq!(&chain, net.node.chain());
    assert_eq!(height + 2, net.node.tip().await?.head.height);
    let tx: Transaction = deserialize_hex(&transaction)?;
    assert_eq!(tx.compute_txid().to_string(), anchor.signed.id.0);
    assert_eq!(transaction.len() / 2, tx.base_size(), "no witness");
    let pushed = tx.output.iter().filter(|out| out.script_pubkey.is_op_return());
    let found: Vec<_> =
        pushed.filter_map(|out| read_anchor_payload(&out.script_pubkey.as_bytes()[3..])).collect();
    assert_eq!(found, vec![commitment()]);

    let mut hash = tx.compute_txid().to_byte_array();
    for (level, sibling) in branch.iter().enumerate() {
        let sibling: TxMerkleNode = deserialize_hex(sibling)?;
        let sibling = sibling.to_byte_array();
        let pair = if position >> level & 1 == 1 { [sibling, hash] } else { [hash, sibling] };
        hash = TxMerkleNode::hash(&pair.concat()).to_byte_array();
    }
    let headers: Vec<Header> =
        headers.iter().map(|header| deserialize_hex(header)).collect::<Result<_, _>>()?;
    assert_eq!(branch.len(), 3, "eight transactions");
    assert_eq!(hash, headers[0].merkle_root.to_byte_array());
    assert_eq!(headers.len(), 3);
    for pair in headers.windows(2) {
        assert_eq!(pair[1].prev_blockhash, pair[0].block_hash());
    }
    let past_the_tip = net.node.evidence(&anchor.signed.id, 50).await?;
    let AnchorEvidence::Bitcoin { headers, .. } = past_the_tip else { panic!() };
    assert_eq!(headers.len(), 3, "as many as there are");
    Ok(())
}
