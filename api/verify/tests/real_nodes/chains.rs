//! Anchors on real nodes, each with its evidence from the server's own node connections.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::{Action, AnchorCommitment, AnchorEvidence, Node, TxId};
use chain_nodes::bitcoin::{BitcoinAuth, BitcoinNode, BitcoinNodeConfig};
use chain_nodes::evm::EvmNode;
use chain_nodes::solana::SolanaNode;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use testnets::{Bitcoin, Evm, Solana};

/// Deploys the contract and calls it, by an account of the node.
pub(crate) async fn evm(evm: &Evm, commitment: &AnchorCommitment) -> Result<AnchorEvidence> {
    let node = EvmNode::connect(evm.rpc_url(), evm.chain().clone(), Default::default()).await?;
    let contract = Some(chain_evm::anchor_contract_address(evm.chain()));
    let anchor = Action::Anchor { commitment: commitment.clone(), contract };
    let accounts: Vec<String> = evm.rpc().call("eth_accounts", json!([])).await?;
    let mut last = String::new();
    for action in [Action::DeployAnchorContract, anchor] {
        let call = chain_evm::call_of(evm.chain(), &action)?;
        let input = call.input.to_string();
        let call = json!([{ "from": accounts[0], "to": call.to.to_string(), "data": input }]);
        last = evm.rpc().call("eth_sendTransaction", call).await?;
    }
    evm.mine(2).await?;
    Ok(node.evidence(&TxId(last), 0).await?)
}

/// Spends a coin that anybody can spend (a witness script of `OP_TRUE`) into an OP_RETURN.
pub(crate) async fn bitcoin(
    bitcoin: &Bitcoin,
    commitment: &AnchorCommitment,
) -> Result<AnchorEvidence> {
    let rpc = bitcoin.rpc();
    let script: Value = rpc.call("decodescript", json!(["51"])).await?;
    let address = script["segwit"]["address"].as_str().context("no address")?.to_owned();
    let funding = bitcoin.fund(&address, chain_core::Amount::new(100_000)).await?;
    bitcoin.mine(1).await?;
    let raw: Value = rpc.call("getrawtransaction", json!([funding, true])).await?;
    let outputs = raw["vout"].as_array().context("no outputs")?;
    let vout = outputs.iter().position(|out| out["scriptPubKey"]["address"] == json!(address));
    let payload = [
        b"RSTD\x01".to_vec(),
        commitment.size.to_be_bytes().to_vec(),
        commitment.checkpoint.to_vec(),
        commitment.origin.to_vec(),
    ]
    .concat();
    let inputs = json!([{ "txid": funding, "vout": vout.context("no coin")? }]);
    let outputs = json!([{ "data": hex::encode(payload) }, { address: 0.0009 }]);
    let bare: String = rpc.call("createrawtransaction", json!([inputs, outputs])).await?;
    // The encoding with witness: marker and flag after the version, one item before the lock time.
    let (head, tail) = (&bare[..8], &bare[8..bare.len() - 8]);
    let with_witness = format!("{head}0001{tail}010151{}", &bare[bare.len() - 8..]);
    let txid: String = rpc.call("sendrawtransaction", json!([with_witness])).await?;
    bitcoin.mine(4).await?;

    let url = bitcoin.rpc_url().strip_prefix("http://").context("no http")?;
    let (login, host) = url.split_once('@').context("no login")?;
    let (user, password) = login.split_once(':').context("no password")?;
    let node = BitcoinNode::connect(BitcoinNodeConfig {
        url: format!("http://{host}"),
        auth: BitcoinAuth::UserPassword { user: user.to_owned(), password: password.to_owned() },
        chain: bitcoin.chain().clone(),
        fallback_fee_sat_per_kwu: Some(1_250),
    })
    .await?;
    Ok(node.evidence(&TxId(txid), 3).await?)
}

/// Sends a memo, signed by a new payer.
pub(crate) async fn solana(
    solana: &Solana,
    commitment: &AnchorCommitment,
) -> Result<AnchorEvidence> {
    let payer = SigningKey::from_bytes(&[42; 32]);
    let address = bs58::encode(payer.verifying_key().to_bytes()).into_string();
    solana.fund(&address, chain_core::Amount::new(1_000_000_000)).await?;
    let latest: Value = solana.rpc().call("getLatestBlockhash", json!([])).await?;
    let blockhash = latest["value"]["blockhash"].as_str().context("no blockhash")?;
    let memo = chain_solana::anchor_memo(commitment);
    let mut message = vec![1, 0, 1, 2];
    message.extend(payer.verifying_key().to_bytes());
    for account in ["MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", blockhash] {
        message.extend(bs58::decode(account).into_vec().ok().context("no base58")?);
    }
    let length = u16::try_from(memo.len())?;
    message.extend([1, 1, 0, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
    message.extend(memo.as_bytes());
    let signature = payer.sign(&message).to_bytes();
    let transaction = [vec![1], signature.to_vec(), message].concat();
    let parameters = json!([STANDARD.encode(transaction), { "encoding": "base64" }]);
    let sent: String = solana.rpc().call("sendTransaction", parameters).await?;
    solana.confirm(&sent).await?;
    let node =
        SolanaNode::connect(solana.rpc_url(), solana.chain().clone(), Default::default()).await?;
    for _ in 0..600 {
        if let Ok(evidence) = node.evidence(&TxId(sent.clone()), 0).await {
            return Ok(evidence);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{sent} is not final after 30 s")
}
