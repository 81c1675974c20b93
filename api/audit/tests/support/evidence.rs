//! Evidence as a chain would give it: real transactions, headers with work, receipt tries.

use api_audit::Commitment;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const BITCOIN: &str = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328";
pub(crate) const EVM: &str = "eip155:31337";
pub(crate) const SOLANA: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
pub(crate) const CONTRACT: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const BLOCK_TIME: u32 = 1_772_366_500;

fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A block of three transactions on regtest, the second of which anchors, and a header on top.
pub(crate) fn bitcoin(commitment: &Commitment) -> Value {
    let payload = [
        b"RSTD\x01".to_vec(),
        commitment.size.to_be_bytes().to_vec(),
        commitment.checkpoint.to_vec(),
        commitment.origin.to_vec(),
    ]
    .concat();
    let mut transaction = vec![2, 0, 0, 0, 1];
    transaction.extend([7; 32]);
    transaction.extend([1, 0, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff, 2]);
    transaction.extend([0; 8]);
    transaction.extend([80, 0x6a, 0x4c, 77]);
    transaction.extend(payload);
    transaction.extend(50_000_u64.to_le_bytes());
    transaction.extend([22, 0, 20]);
    transaction.extend([9; 20]);
    transaction.extend([0; 4]);
    let (first, third) = ([1; 32], [3; 32]);
    let second = double_sha256(&transaction);
    let left = double_sha256(&[first, second].concat());
    let right = double_sha256(&[third, third].concat());
    let root = double_sha256(&[left, right].concat());
    let header = mine([5; 32], root, BLOCK_TIME);
    let next = mine(double_sha256(&header), [6; 32], BLOCK_TIME + 600);
    json!({
        "type": "bitcoin",
        "chain": BITCOIN,
        "transaction": hex::encode(transaction),
        "branch": [hex::encode(first), hex::encode(right)],
        "position": 1,
        "headers": [hex::encode(header), hex::encode(next)],
        "height": 144,
    })
}

/// Finds a nonce for regtest's target.
fn mine(previous: [u8; 32], root: [u8; 32], time: u32) -> Vec<u8> {
    let found = (0_u32..).map(|nonce| {
        let mut header = vec![0, 0, 0, 0x20];
        header.extend(previous);
        header.extend(root);
        header.extend(time.to_le_bytes());
        header.extend([0xff, 0xff, 0x7f, 0x20]);
        header.extend(nonce.to_le_bytes());
        header
    });
    found.into_iter().find(|header| double_sha256(header)[31] < 0x7f).unwrap_or_default()
}

fn keccak(bytes: &[u8]) -> Vec<u8> {
    use sha3::Digest as _;
    sha3::Keccak256::digest(bytes).to_vec()
}

/// Keccak-256 in hex.
pub(crate) fn keccak_hex(bytes: &[u8]) -> String {
    hex::encode(keccak(bytes))
}

/// The txid of a transaction in hex, in internal byte order.
pub(crate) fn txid(transaction: &str) -> String {
    hex::encode(double_sha256(&hex::decode(transaction).unwrap_or_default()))
}

fn rlp_head(base: u8, length: usize) -> Vec<u8> {
    if length < 56 {
        return vec![base + length as u8];
    }
    let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    [vec![base + 55 + bytes.len() as u8], bytes].concat()
}

fn rlp(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [small @ 0..0x80] => vec![*small],
        _ => [rlp_head(0x80, bytes.len()), bytes.to_vec()].concat(),
    }
}

fn rlp_integer(value: u64) -> Vec<u8> {
    let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    rlp(&bytes)
}

fn rlp_list(items: &[Vec<u8>]) -> Vec<u8> {
    let content = items.concat();
    [rlp_head(0xc0, content.len()), content].concat()
}

/// An EIP-1559 receipt with another log before the anchor's event.
fn receipt(commitment: &Commitment, status: u64) -> Vec<u8> {
    let mut size = [0; 32];
    size[24..].copy_from_slice(&commitment.size.to_be_bytes());
    let event = keccak(b"Anchored(address,bytes32,uint64,bytes32)");
    let sender = [vec![0; 12], vec![0xf3; 20]].concat();
    let topics = [event, sender, commitment.origin.to_vec(), size.to_vec()];
    let contract = hex::decode(&CONTRACT[2..]).unwrap_or_default();
    let anchored = rlp_list(&[
        rlp(&contract),
        rlp_list(&topics.map(|topic| rlp(&topic))),
        rlp(&commitment.checkpoint),
    ]);
    let other = rlp_list(&[rlp(&[8; 20]), rlp_list(&[rlp(&[4; 32])]), rlp(&[])]);
    let body =
        [rlp_integer(status), rlp_integer(91_234), rlp(&[0; 256]), rlp_list(&[other, anchored])];
    [vec![2], rlp_list(&body)].concat()
}

/// The receipts trie of a block with two transactions, the second of which anchors: a branch with
/// a leaf for key 0x80 (index 0) and one for key 0x01.
pub(crate) fn evm(commitment: &Commitment) -> Value {
    evm_with_status(commitment, 1)
}

/// The same with this status of the anchoring transaction.
pub(crate) fn evm_with_status(commitment: &Commitment, status: u64) -> Value {
    let failed =
        [vec![2], rlp_list(&[rlp(&[]), rlp_integer(21_000), rlp(&[0; 256]), rlp_list(&[])])];
    let first = rlp_list(&[rlp(&[0x30]), rlp(&failed.concat())]);
    let second = rlp_list(&[rlp(&[0x31]), rlp(&receipt(commitment, status))]);
    let mut children = vec![rlp(&[]); 17];
    children[8] = rlp(&keccak(&first));
    children[0] = rlp(&keccak(&second));
    let branch = rlp_list(&children);
    let root = keccak(&branch);
    let header = rlp_list(&[
        rlp(&[1; 32]),
        rlp(&[2; 32]),
        rlp(&[3; 20]),
        rlp(&[4; 32]),
        rlp(&[5; 32]),
        rlp(&root),
        rlp(&[0; 256]),
        rlp(&[]),
        rlp_integer(4_711),
        rlp_integer(30_000_000),
        rlp_integer(91_234),
        rlp_integer(u64::from(BLOCK_TIME) + 12),
        rlp(&[]),
        rlp(&[6; 32]),
        rlp(&[0; 8]),
        rlp_integer(7),
    ]);
    json!({
        "type": "evm",
        "chain": EVM,
        "tx": format!("0x{}", hex::encode([0xab; 32])),
        "index": 1,
        "proof": [hex::encode(branch), hex::encode(second)],
        "header": hex::encode(header),
        "contract": CONTRACT,
        "log": 1,
    })
}

/// A legacy transaction with one memo, signed by its payer.
pub(crate) fn solana(commitment: &Commitment) -> Value {
    let payer = SigningKey::from_bytes(&[77; 32]);
    let program = bs58::decode("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr").into_vec();
    let memo = format!(
        "roadstead:1:{}:{}:{}",
        hex::encode(commitment.origin),
        commitment.size,
        hex::encode(commitment.checkpoint),
    );
    let mut message = vec![1, 0, 1, 2];
    message.extend(payer.verifying_key().to_bytes());
    message.extend(program.unwrap_or_default());
    message.extend([42; 32]);
    message.extend([1, 1, 1, 0]);
    message.extend([memo.len() as u8 & 0x7f | 0x80, (memo.len() >> 7) as u8]);
    message.extend(memo.as_bytes());
    let signature = payer.sign(&message).to_bytes();
    json!({
        "type": "solana",
        "chain": SOLANA,
        "signature": bs58::encode(signature).into_string(),
        "slot": 1_234,
        "transaction": hex::encode([vec![1], signature.to_vec(), message].concat()),
    })
}
