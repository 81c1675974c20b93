//! OpenTimestamps: reads a detached proof (`.ots`) and follows it to its attestations.
//!
//! The format is that of the public client, python-opentimestamps: a magic number, the hash of the
//! stamped file, and a tree of operations on it whose leaves say where the result is to be found. A
//! proof of this log leads to the Merkle root of a Bitcoin block.

use sha2::{Digest as _, Sha256};

use crate::merkle::Hash;

const MAGIC: &[u8] = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94";
const VERSION: u8 = 1;
const SHA256: u8 = 0x08;
const APPEND: u8 = 0xf0;
const PREPEND: u8 = 0xf1;
const REVERSE: u8 = 0xf2;
const FORK: u8 = 0xff;
const ATTESTATION: u8 = 0x00;
const BITCOIN_BLOCK: [u8; 8] = [0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01];
const PENDING: [u8; 8] = [0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e];
/// Limits of the public client, and one on the whole.
const MESSAGE_BYTES_MAX: usize = 4_096;
const PAYLOAD_BYTES_MAX: usize = 8_192;
const DEPTH_MAX: usize = 256;
const OPERATIONS_MAX: usize = 10_000;

/// Why a file is no timestamp that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OpenTimestamps proof: {0}")]
pub struct OtsError(&'static str);

/// A detached timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The SHA-256 of the stamped file.
    pub digest: Hash,
    /// Where it leads.
    pub attestations: Vec<Attestation>,
}

/// Where a timestamp leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attestation {
    /// To a Bitcoin block, if that block has this Merkle root.
    Bitcoin {
        /// The block's height.
        height: u64,
        /// In the order in which it stands in the header.
        merkle_root: Hash,
    },
    /// To a calendar server, which is asked for the rest.
    Pending,
    /// To something that this reader does not know.
    Unknown,
}

impl Timestamp {
    /// Reads a file.
    ///
    /// # Errors
    /// [`OtsError`].
    pub fn parse(file: &[u8]) -> Result<Self, OtsError> {
        let rest = file.strip_prefix(MAGIC).ok_or(OtsError("it does not begin as one"))?;
        let mut reader = Reader { rest, operations: 0, attestations: Vec::new() };
        if reader.variable()? != u64::from(VERSION) {
            return Err(OtsError("its version is not 1"));
        }
        if reader.byte()? != SHA256 {
            return Err(OtsError("the file was not hashed with SHA-256"));
        }
        let digest: Hash = reader.take(32)?.try_into().map_err(|_| CUT_SHORT)?;
        reader.follow(&digest, 0)?;
        if !reader.rest.is_empty() {
            return Err(OtsError("there are bytes after it"));
        }
        Ok(Self { digest, attestations: reader.attestations })
    }
}

const CUT_SHORT: OtsError = OtsError("it is cut short");

struct Reader<'a> {
    rest: &'a [u8],
    operations: usize,
    attestations: Vec<Attestation>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], OtsError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, OtsError> {
        Ok(self.take(1)?[0])
    }

    /// A number in LEB128.
    fn variable(&mut self) -> Result<u64, OtsError> {
        let mut value = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(OtsError("a number is too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CUT_SHORT)
    }

    fn bytes(&mut self, most: usize) -> Result<&'a [u8], OtsError> {
        let length = usize::try_from(self.variable()?).ok().filter(|length| *length <= most);
        self.take(length.ok_or(OtsError("an argument is too long"))?)
    }

    /// Follows the tree from `message`: branches but for the last are announced by a fork.
    fn follow(&mut self, message: &[u8], depth: usize) -> Result<(), OtsError> {
        if depth > DEPTH_MAX {
            return Err(OtsError("it is too deep"));
        }
        loop {
            let tag = self.byte()?;
            let (tag, is_last) = if tag == FORK { (self.byte()?, false) } else { (tag, true) };
            self.operations += 1;
            if self.operations > OPERATIONS_MAX {
                return Err(OtsError("it has too many operations"));
            }
            if tag == ATTESTATION {
                let found = self.attestation(message)?;
                self.attestations.push(found);
            } else {
                let result = self.operation(tag, message)?;
                self.follow(&result, depth + 1)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn operation(&mut self, tag: u8, message: &[u8]) -> Result<Vec<u8>, OtsError> {
        let result = match tag {
            SHA256 => Sha256::digest(message).to_vec(),
            REVERSE => message.iter().rev().copied().collect(),
            APPEND => [message, self.argument()?].concat(),
            PREPEND => [self.argument()?, message].concat(),
            _ => return Err(OtsError("it has an operation that is not known here")),
        };
        if result.len() > MESSAGE_BYTES_MAX {
            return Err(OtsError("a message is too long"));
        }
        Ok(result)
    }

    fn argument(&mut self) -> Result<&'a [u8], OtsError> {
        let argument = self.bytes(MESSAGE_BYTES_MAX)?;
        if argument.is_empty() { Err(OtsError("an argument is empty")) } else { Ok(argument) }
    }

    fn attestation(&mut self, message: &[u8]) -> Result<Attestation, OtsError> {
        let tag = self.take(8)?;
        let payload = self.bytes(PAYLOAD_BYTES_MAX)?;
        if tag == PENDING {
            return Ok(Attestation::Pending);
        }
        if tag != BITCOIN_BLOCK {
            return Ok(Attestation::Unknown);
        }
        let mut reader = Reader { rest: payload, operations: 0, attestations: Vec::new() };
        let height = reader.variable()?;
        let merkle_root = message.try_into().map_err(|_| OtsError("a Merkle root has 32 bytes"))?;
        if !reader.rest.is_empty() {
            return Err(OtsError("there are bytes after a height"));
        }
        Ok(Attestation::Bitcoin { height, merkle_root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(body: &[u8]) -> Vec<u8> {
        [MAGIC, &[VERSION, SHA256], &[7; 32], body].concat()
    }

    #[test]
    fn a_proof_is_followed_through_forks_to_its_blocks() {
        let block = [&[ATTESTATION][..], &BITCOIN_BLOCK, &[2, 0x80, 0x01]].concat();
        let pending = [&[ATTESTATION][..], &PENDING, &[1, b'x']].concat();
        let body = [&[FORK][..], &pending, &[APPEND, 1, 9, SHA256], &block].concat();
        let found = Timestamp::parse(&file(&body));
        let merkle_root = Sha256::digest([&[7; 32][..], &[9]].concat()).into();
        let block = Attestation::Bitcoin { height: 128, merkle_root };
        let attestations = vec![Attestation::Pending, block];
        assert_eq!(found, Ok(Timestamp { digest: [7; 32], attestations }));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let endless = vec![REVERSE; 300];
        let huge = [&[APPEND][..], &[0xff; 9], &[1]].concat();
        let too_large = [&[APPEND][..], &[0xff; 10]].concat();
        for body in [&[][..], &[FORK], &[0x02], &[APPEND, 0], &endless, &huge, &too_large] {
            assert!(Timestamp::parse(&file(body)).is_err(), "{body:?}");
        }
        assert!(Timestamp::parse(b"").is_err());
    }
}
