//! Bitcoin: an OP_RETURN output, the transaction's Merkle branch, and headers with their work.

use sha2::{Digest as _, Sha256};

use super::{AnchorError, AnchorReport, Commitment, Status, report};
use crate::merkle::Hash;
use crate::text;

const TAG: &[u8] = b"RSTD\x01";
/// `OP_RETURN OP_PUSHDATA1 77`.
const SCRIPT_HEAD: [u8; 3] = [0x6a, 0x4c, 77];
const HEADER_BYTES: usize = 80;
const HEADERS_MAX: usize = 2_016;
const BRANCH_MAX: usize = 32;

pub(super) fn check(
    commitment: &Commitment,
    transaction: &str,
    branch: &[String],
    position: u64,
    headers: &[String],
) -> Result<AnchorReport, AnchorError> {
    let malformed = AnchorError::Malformed;
    let transaction =
        text::hex_bytes(transaction).ok_or(malformed("the transaction is not hex"))?;
    // An inner node of the Merkle tree is 64 bytes too, and could pose as a transaction.
    if transaction.len() == 64 {
        return Err(malformed("a transaction of 64 bytes proves nothing"));
    }
    let outputs = output_scripts(&transaction)
        .ok_or(malformed("the transaction is not one without witness"))?;
    let wanted = script(commitment);
    if !outputs.contains(&wanted.as_slice()) {
        return Err(AnchorError::OtherCommitment("the Bitcoin transaction"));
    }
    let txid = double_sha256(&transaction);
    let headers = parse_headers(headers)?;
    let first = headers.first().ok_or(malformed("there is no header"))?;
    if merkle_root(txid, branch, position)? != first.merkle_root() {
        return Err(AnchorError::NotIncluded("the transaction is not in the block"));
    }
    let (work, hashes) = check_headers(&headers)?;
    let mut found = report(Status::ProvedGivenHeader, commitment.size);
    found.transaction = Some(display_hash(&txid));
    found.block = hashes.first().cloned();
    found.time = Some(first.time().into());
    found.work = Some((hashes.len() as u64, work));
    found.blocks = hashes;
    Ok(found)
}

/// The script of the output that anchors: tag, size, checkpoint, origin.
fn script(commitment: &Commitment) -> Vec<u8> {
    let mut script = SCRIPT_HEAD.to_vec();
    script.extend(TAG);
    script.extend(commitment.size.to_be_bytes());
    script.extend(commitment.checkpoint);
    script.extend(commitment.origin);
    script
}

pub(super) fn double_sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A hash as Bitcoin shows it: reversed.
pub(super) fn display_hash(hash: &Hash) -> String {
    let mut reversed = *hash;
    reversed.reverse();
    hex::encode(reversed)
}

/// Folds the branch into a root. A node that equals its left sibling is refused: only the last
/// node of a level is paired with itself, and then it is the left one (CVE-2012-2459).
fn merkle_root(txid: Hash, branch: &[String], position: u64) -> Result<Hash, AnchorError> {
    let malformed = AnchorError::Malformed;
    if branch.len() > BRANCH_MAX || position >> branch.len() != 0 {
        return Err(malformed("the position does not fit the Merkle branch"));
    }
    let mut hash = txid;
    for (level, sibling) in branch.iter().enumerate() {
        let sibling = text::hex_hash(sibling).ok_or(malformed("the Merkle branch is not hex"))?;
        let is_right = position >> level & 1 == 1;
        if is_right && sibling == hash {
            return Err(AnchorError::NotIncluded("the Merkle branch repeats a node"));
        }
        let (left, right) = if is_right { (sibling, hash) } else { (hash, sibling) };
        hash = double_sha256(&[left, right].concat());
    }
    Ok(hash)
}

struct Header([u8; HEADER_BYTES]);

impl Header {
    fn hash(&self) -> Hash {
        double_sha256(&self.0)
    }

    fn previous(&self) -> &[u8] {
        &self.0[4..36]
    }

    fn merkle_root(&self) -> Hash {
        let mut root = [0; 32];
        root.copy_from_slice(&self.0[36..68]);
        root
    }

    fn time(&self) -> u32 {
        u32::from_le_bytes([self.0[68], self.0[69], self.0[70], self.0[71]])
    }

    /// The target as a big-endian number, from its compact form; `None` where it is negative, zero
    /// or too large.
    fn target(&self) -> Option<Hash> {
        let (mantissa, exponent) = ([self.0[74], self.0[73], self.0[72]], usize::from(self.0[75]));
        if mantissa[0] & 0x80 != 0 || !(3..=32).contains(&exponent) {
            return None;
        }
        let mut target = [0; 32];
        target[32 - exponent..35 - exponent].copy_from_slice(&mantissa);
        (target != [0; 32]).then_some(target)
    }
}

fn parse_headers(headers: &[String]) -> Result<Vec<Header>, AnchorError> {
    if headers.len() > HEADERS_MAX {
        return Err(AnchorError::Malformed("there are too many headers"));
    }
    let parse = |header: &String| Some(Header(text::hex_bytes(header)?.try_into().ok()?));
    let headers: Option<Vec<Header>> = headers.iter().map(parse).collect();
    headers.ok_or(AnchorError::Malformed("a header is not 80 bytes in hex"))
}

/// Checks each header's work and that each builds on the one before; answers the least work, as a
/// power of two, and the hashes.
fn check_headers(headers: &[Header]) -> Result<(u32, Vec<String>), AnchorError> {
    let mut least_work = u32::MAX;
    let mut hashes = Vec::with_capacity(headers.len());
    let mut previous: Option<Hash> = None;
    for header in headers {
        if previous.is_some_and(|previous| header.previous() != previous) {
            return Err(AnchorError::NotIncluded("the headers do not build on one another"));
        }
        let hash = header.hash();
        let mut number = hash;
        number.reverse();
        let target = header.target().ok_or(AnchorError::Malformed("a header's target is wrong"))?;
        if number > target {
            return Err(AnchorError::NotIncluded("a header lacks its proof of work"));
        }
        least_work = least_work.min(leading_zeros(&target));
        hashes.push(display_hash(&hash));
        previous = Some(hash);
    }
    Ok((least_work, hashes))
}

fn leading_zeros(number: &Hash) -> u32 {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let next = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(zeros * 8).unwrap_or(u32::MAX).saturating_add(next)
}

/// The scripts of all outputs; `None` unless the bytes are exactly one transaction in the encoding
/// without witness.
fn output_scripts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader(bytes);
    reader.take(4)?;
    let inputs = reader.length()?;
    // Zero inputs would be the marker of the encoding with witness, whose hash is not the txid.
    if inputs == 0 {
        return None;
    }
    for _ in 0..inputs {
        reader.take(36)?;
        let script = reader.length()?;
        reader.take(script)?;
        reader.take(4)?;
    }
    let mut scripts = Vec::new();
    for _ in 0..reader.length()? {
        reader.take(8)?;
        let script = reader.length()?;
        scripts.push(reader.take(script)?);
    }
    reader.take(4)?;
    reader.0.is_empty().then_some(scripts)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A `CompactSize`, in its shortest form.
    fn length(&mut self) -> Option<usize> {
        let first = self.take(1)?[0];
        let (width, least) = match first {
            0xff => (8, 1 << 32),
            0xfe => (4, 1 << 16),
            0xfd => (2, 0xfd),
            small => return Some(small.into()),
        };
        let value =
            self.take(width)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        (value >= least).then(|| usize::try_from(value).ok())?
    }
}
