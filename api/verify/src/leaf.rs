//! The canonical encoding of a record in the log, and the disclosure of its fields.

use sha2::{Digest as _, Sha256};

use crate::merkle::Hash;
use crate::receipt::DisclosedField;
use crate::text;

const MAGIC: &[u8] = b"roadstead.leaf";
const VERSION: u8 = 1;
const COMMITMENT_TAG: &[u8] = b"roadstead.field/v1";
const NAME_BYTES_MAX: usize = 64;

/// Why a leaf or a disclosed field is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// It is not a leaf in the canonical encoding.
    #[error("the leaf is not a record of version 1: {0}")]
    Malformed(&'static str),
    /// A disclosed field does not fit what the log holds.
    #[error("the field {0:?} is not what the log holds")]
    Field(String),
    /// A field is disclosed twice, or the record has no such field.
    #[error("the record has no field {0:?}, or it is disclosed twice")]
    NoSuchField(String),
    /// The salt is not 32 bytes in hex.
    #[error("the salt of the field {0:?} is not 32 bytes in hex")]
    Salt(String),
}

/// A leaf: names of fields, and a salted commitment to each value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Ascending by name.
    pub fields: Vec<(String, Hash)>,
}

impl Leaf {
    /// Reads the canonical encoding: `"roadstead.leaf" || 0x01 || count`, then for each field, in
    /// strictly ascending order of names, `length || name || commitment`.
    ///
    /// # Errors
    /// [`LeafError::Malformed`]; there is one encoding of each record, and no other is accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let malformed = LeafError::Malformed;
        let rest = bytes.strip_prefix(MAGIC).ok_or(malformed("it does not begin as one"))?;
        let Some(([VERSION, count], mut rest)) = rest.split_first_chunk::<2>() else {
            return Err(malformed("its version is unknown"));
        };
        let mut fields: Vec<(String, Hash)> = Vec::with_capacity((*count).into());
        for _ in 0..*count {
            let (field, after) = parse_field(rest)?;
            if fields.last().is_some_and(|(previous, _)| *previous >= field.0) {
                return Err(malformed("its fields are not in order"));
            }
            fields.push(field);
            rest = after;
        }
        if fields.is_empty() || !rest.is_empty() {
            return Err(malformed("it has no fields, or bytes after them"));
        }
        Ok(Self { fields })
    }

    /// Checks that every disclosed field is what the log holds.
    ///
    /// # Errors
    /// [`LeafError`] naming the field that is not.
    pub fn check(&self, disclosed: &[DisclosedField]) -> Result<(), LeafError> {
        let mut open: Vec<&str> = Vec::with_capacity(disclosed.len());
        for field in disclosed {
            let held = self.fields.iter().find(|(name, _)| *name == field.name);
            let Some((_, commitment)) = held.filter(|_| !open.contains(&field.name.as_str()))
            else {
                return Err(LeafError::NoSuchField(field.name.clone()));
            };
            let salt =
                text::hex_hash(&field.salt).ok_or_else(|| LeafError::Salt(field.name.clone()))?;
            if commit(&field.name, &field.value, &salt) != *commitment {
                return Err(LeafError::Field(field.name.clone()));
            }
            open.push(&field.name);
        }
        Ok(())
    }
}

fn parse_field(bytes: &[u8]) -> Result<((String, Hash), &[u8]), LeafError> {
    let cut_short = LeafError::Malformed("it is cut short");
    let (&length, rest) = bytes.split_first().ok_or(cut_short.clone())?;
    let (name, rest) = rest.split_at_checked(length.into()).ok_or(cut_short.clone())?;
    let (commitment, rest) = rest.split_first_chunk::<32>().ok_or(cut_short)?;
    let name = std::str::from_utf8(name).ok().filter(|name| is_field_name(name));
    let name = name.ok_or(LeafError::Malformed("a field's name is not allowed"))?;
    Ok(((name.to_owned(), *commitment), rest))
}

fn is_field_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// `SHA-256("roadstead.field/v1" || salt || length of name (1 byte) || name || value)`.
fn commit(name: &str, value: &str, salt: &Hash) -> Hash {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let hash = Sha256::new().chain_update(COMMITMENT_TAG).chain_update(salt);
    hash.chain_update([length]).chain_update(name).chain_update(value).finalize().into()
}
