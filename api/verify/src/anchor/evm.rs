//! EVM chains: the anchor contract's event in a transaction receipt, the receipt in the block's
//! receipts trie, the trie's root in the block's header.

use super::rlp::{self, Item};
use super::trie::{keccak, value};
use super::{AnchorError, AnchorReport, Commitment, Status, report};
use crate::merkle::Hash;
use crate::text;

const EVENT: &[u8] = b"Anchored(address,bytes32,uint64,bytes32)";
const NODES_MAX: usize = 64;
/// Positions in a header, unchanged since the first block.
const RECEIPTS_ROOT: usize = 5;
const NUMBER: usize = 8;
const TIMESTAMP: usize = 11;

/// Where the event is.
pub(super) struct Place<'a> {
    pub(super) index: u64,
    pub(super) contract: &'a str,
    pub(super) log: u64,
}

pub(super) fn check(
    commitment: &Commitment,
    place: &Place<'_>,
    proof: &[String],
    header: &str,
) -> Result<AnchorReport, AnchorError> {
    let malformed = AnchorError::Malformed;
    let header = text::hex_bytes(header).ok_or(malformed("the header is not hex"))?;
    let fields = rlp::decode_list(&header)?;
    if fields.len() <= TIMESTAMP {
        return Err(malformed("the header has too few fields"));
    }
    let receipts_root: Hash = fields[RECEIPTS_ROOT]
        .bytes()?
        .try_into()
        .map_err(|_| malformed("the header has no receipts root"))?;
    let nodes: Option<Vec<Vec<u8>>> = proof.iter().map(|node| text::hex_bytes(node)).collect();
    let nodes = nodes.filter(|nodes| nodes.len() <= NODES_MAX);
    let nodes = nodes.ok_or(malformed("the receipt's proof is not hex, or too long"))?;
    let receipt = value(&receipts_root, &rlp::encode_integer(place.index), &nodes)?;
    let sender = event_sender(receipt, place, commitment)?;
    let block = format!("0x{}", hex::encode(keccak(&header)));
    let mut found = report(Status::ProvedGivenHeader, commitment.size);
    found.blocks = vec![block.clone()];
    found.block = Some(block);
    found.height = Some(fields[NUMBER].integer()?);
    found.time = Some(fields[TIMESTAMP].integer()?);
    found.contract = Some(place.contract.to_owned());
    found.sender = Some(sender);
    Ok(found)
}

/// Finds the event in the receipt and answers who sent it.
fn event_sender(
    receipt: &[u8],
    place: &Place<'_>,
    commitment: &Commitment,
) -> Result<String, AnchorError> {
    // A typed receipt (EIP-2718) begins with its type, which is below 0x80; a list is not.
    let list = match receipt.split_first() {
        Some((0..0x80, rest)) => rest,
        _ => receipt,
    };
    let [status, _gas, _bloom, logs] = rlp::decode_list(list)?[..] else {
        return Err(AnchorError::Malformed("the receipt is not one"));
    };
    if status.bytes()? != [1] {
        return Err(AnchorError::NotIncluded("the anchoring transaction failed"));
    }
    let logs = logs.items()?;
    let log = usize::try_from(place.log).ok().and_then(|log| logs.get(log));
    let log = log.ok_or(AnchorError::NotIncluded("the receipt has no such event"))?;
    let [address, topics, data] = log.items()?[..] else {
        return Err(AnchorError::Malformed("the event is not one"));
    };
    let contract = text::hex_bytes(place.contract)
        .ok_or(AnchorError::Malformed("the contract is not an address"))?;
    if contract.len() != 20 || address.bytes()? != contract {
        return Err(AnchorError::NotIncluded("the event is of another contract"));
    }
    topics_sender(&topics.items()?, data, commitment)
}

fn topics_sender(
    topics: &[Item<'_>],
    data: Item<'_>,
    commitment: &Commitment,
) -> Result<String, AnchorError> {
    let other = AnchorError::OtherCommitment("the event of the anchor contract");
    let [event, sender, origin, size] = topics else { return Err(other) };
    let mut wanted_size = [0; 32];
    wanted_size[24..].copy_from_slice(&commitment.size.to_be_bytes());
    let same = event.bytes()? == keccak(EVENT)
        && origin.bytes()? == commitment.origin
        && size.bytes()? == wanted_size
        && data.bytes()? == commitment.checkpoint;
    match sender.bytes()?.strip_prefix(&[0; 12]) {
        Some(sender) if same && sender.len() == 20 => Ok(format!("0x{}", hex::encode(sender))),
        _ => Err(other),
    }
}
