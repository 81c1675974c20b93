//! Records and their canonical encoding as leaves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::RngCore as _;
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::AuditError;

const MAGIC: &[u8] = b"roadstead.leaf\x01";
const COMMITMENT_TAG: &[u8] = b"roadstead.field/v1";
const SALT_TAG: &[u8] = b"roadstead.salt/v1";
const FIELDS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 16 << 10;
const NONCE_BYTES: usize = 24;
/// Names that every record has by itself.
const RESERVED: [&str; 6] = ["external_id", "id", "kind", "stream", "tenant", "time"];

/// A record's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub Uuid);

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for RecordId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// What is to be recorded: named values. None of them is in the log itself, which holds a salted
/// commitment to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub(crate) kind: String,
    pub(crate) at_ms: i64,
    pub(crate) external: Option<(String, String)>,
    pub(crate) stream: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) open: BTreeMap<String, String>,
    pub(crate) personal: BTreeMap<String, String>,
}

impl Record {
    /// A record of something that happened at `at_ms`, milliseconds since 1970. `kind` is like
    /// `loan.repayment`.
    #[must_use]
    pub fn new(kind: impl Into<String>, at_ms: i64) -> Self {
        Self {
            kind: kind.into(),
            at_ms,
            external: None,
            stream: None,
            subject: None,
            open: BTreeMap::new(),
            personal: BTreeMap::new(),
        }
    }

    /// Adds a value that is no personal data and is never erased. Names are lower-case letters,
    /// digits, `_`, `.` and `-`; the last of two with one name wins.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.open.insert(name.into(), value.into());
        self
    }

    /// Adds a value that is personal data of the [`Record::subject`]: kept under the subject's key,
    /// and erased with it.
    #[must_use]
    pub fn personal(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.personal.insert(name.into(), value.into());
        self
    }

    /// Whose personal data it holds: a random id, such as the customer's.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Which stream of events it belongs to, such as `loan:<id>`: receipts can then prove that a
    /// stream's events are complete. The name is public; the id in it must be random.
    #[must_use]
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// The caller's own id, unique for a tenant: the same record again is recorded once.
    #[must_use]
    pub fn external_id(mut self, tenant: impl Into<String>, id: impl Into<String>) -> Self {
        self.external = Some((tenant.into(), id.into()));
        self
    }

    /// The tenant and its id.
    pub(crate) fn external(&self) -> Option<(&str, &str)> {
        self.external.as_ref().map(|(tenant, id)| (tenant.as_str(), id.as_str()))
    }

    /// Whether both say the same, perhaps at different times.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        *self == Self { at_ms: self.at_ms, ..other.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), AuditError> {
        let wrong = |what: String| Err(AuditError::Record(what));
        for (name, value) in self.open.iter().chain(&self.personal) {
            if !is_field_name(name) || RESERVED.contains(&name.as_str()) {
                return wrong(format!("{name:?} cannot be the name of a field"));
            }
            if value.len() > VALUE_BYTES_MAX {
                return wrong(format!("the field {name:?} is too long"));
            }
        }
        if let Some(name) = self.open.keys().find(|name| self.personal.contains_key(*name)) {
            return wrong(format!("the field {name:?} is given twice"));
        }
        if self.open.len() + self.personal.len() + RESERVED.len() > FIELDS_MAX {
            return wrong("it has too many fields".to_owned());
        }
        if !self.personal.is_empty() && self.subject.is_none() {
            return wrong("personal data needs a subject, or it could not be erased".to_owned());
        }
        Ok(())
    }

    /// The open fields with those that every record has, ascending by name.
    pub(crate) fn open_values(&self, id: RecordId) -> Result<Values<'_>, AuditError> {
        let mut values = borrowed(&self.open);
        values.push(("id", Cow::Owned(id.to_string())));
        values.push(("kind", Cow::Borrowed(&self.kind)));
        values.push(("time", Cow::Owned(time_text(self.at_ms)?)));
        if let Some(stream) = &self.stream {
            values.push(("stream", Cow::Borrowed(stream)));
        }
        if let Some((tenant, external_id)) = &self.external {
            values.push(("tenant", Cow::Borrowed(tenant)));
            values.push(("external_id", Cow::Borrowed(external_id)));
        }
        values.sort_unstable();
        Ok(values)
    }

    /// The personal fields, ascending by name.
    pub(crate) fn personal_values(&self) -> Values<'_> {
        borrowed(&self.personal)
    }
}

/// Names and values, ascending by name.
pub(crate) type Values<'a> = Vec<(&'a str, Cow<'a, str>)>;

fn borrowed(fields: &BTreeMap<String, String>) -> Values<'_> {
    let mut values = Vec::with_capacity(fields.len() + RESERVED.len());
    values.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str().into())));
    values
}

/// RFC 3339, with as many digits as it needs.
pub(crate) fn time_text(at_ms: i64) -> Result<String, AuditError> {
    let time = jiff::Timestamp::from_millisecond(at_ms);
    time.map(|time| time.to_string())
        .map_err(|_| AuditError::Record(format!("{at_ms} ms is no time")))
}

fn is_field_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// Fields that are about to be logged, with a new seed of their salts.
pub(crate) struct NewFields<'a> {
    seed: [u8; 32],
    values: Values<'a>,
}

impl<'a> NewFields<'a> {
    /// Draws the seed.
    pub(crate) fn new(values: Values<'a>) -> Self {
        let mut seed = [0; 32];
        if !values.is_empty() {
            rand::rng().fill_bytes(&mut seed);
        }
        Self { seed, values }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn commitments(&self) -> impl Iterator<Item = (&str, [u8; 32])> {
        let seed = &self.seed;
        self.values.iter().map(|(name, value)| (*name, commitment(&salt(seed, name), name, value)))
    }

    /// As [`Fields::from_bytes`] reads them.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, AuditError> {
        serde_json::to_vec(self).map_err(|error| AuditError::Record(error.to_string()))
    }

    /// Encrypts under the subject's key; the record's id is bound in.
    pub(crate) fn seal(&self, key: &[u8; 32], id: RecordId) -> Result<Vec<u8>, AuditError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload =
            chacha20poly1305::aead::Payload { msg: &self.to_bytes()?, aad: id.0.as_bytes() };
        let sealed = XChaCha20Poly1305::new(key.into())
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| AuditError::Record("it cannot be encrypted".to_owned()))?;
        Ok([nonce.to_vec(), sealed].concat())
    }
}

impl Serialize for NewFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct AsMap<'a>(&'a Values<'a>);
        impl Serialize for AsMap<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        let mut object = serializer.serialize_struct("Fields", 2)?;
        let mut seed = [0; 64];
        hex::encode_to_slice(self.seed, &mut seed).map_err(S::Error::custom)?;
        object.serialize_field("seed", str::from_utf8(&seed).map_err(S::Error::custom)?)?;
        object.serialize_field("values", &AsMap(&self.values))?;
        object.end()
    }
}

/// `SHA-256("roadstead.salt/v1" || seed || name)`: showing one salt shows no other.
fn salt(seed: &[u8; 32], name: &str) -> [u8; 32] {
    hash_of(&[SALT_TAG, seed, name.as_bytes()])
}

fn commitment(salt: &[u8; 32], name: &str, value: &str) -> [u8; 32] {
    let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
    hash_of(&[COMMITMENT_TAG, salt, &length, name.as_bytes(), value.as_bytes()])
}

/// The hash of some parts in a row. Most are short: one call of the hash for all is faster then.
fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut bytes = [0; 192];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let Some(bytes) = bytes.get_mut(..length) else {
        let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
        return hash.finalize().into();
    };
    let mut rest = &mut *bytes;
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    Sha256::digest(bytes).into()
}

/// Fields as they were logged, with the seed of their salts: enough to open them, and nothing else is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    #[serde(with = "hex::serde")]
    seed: [u8; 32],
    pub(crate) values: BTreeMap<String, String>,
}

impl Fields {
    /// The salt of a field.
    pub(crate) fn salt(&self, name: &str) -> [u8; 32] {
        salt(&self.seed, name)
    }

    fn commitments(&self) -> impl Iterator<Item = (&str, [u8; 32])> {
        let fields = self.values.iter();
        fields.map(|(name, value)| (name.as_str(), commitment(&self.salt(name), name, value)))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, AuditError> {
        serde_json::from_slice(bytes)
            .map_err(|error| AuditError::damaged(format!("fields of a record: {error}")))
    }

    /// Undoes [`NewFields::seal`].
    pub(crate) fn unseal(sealed: &[u8], key: &[u8; 32], id: RecordId) -> Result<Self, AuditError> {
        let damaged = || AuditError::damaged(format!("personal data of the record {id}"));
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
        let payload = chacha20poly1305::aead::Payload { msg: sealed, aad: id.0.as_bytes() };
        let opened = XChaCha20Poly1305::new(key.into())
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| damaged())?;
        Self::from_bytes(&opened)
    }
}

/// Whether a leaf holds exactly these fields, or these and others when `whole` is false.
pub(crate) fn leaf_holds(leaf: &[u8], parts: &[&Fields], whole: bool) -> bool {
    let mut opened = parts.iter().flat_map(|fields| fields.commitments());
    if whole {
        return leaf == leaf_of(opened.collect());
    }
    let Some(held) = decode_leaf(leaf) else { return false };
    opened.all(|(name, commitment)| held.get(name.as_bytes()) == Some(&commitment))
}

/// The names and commitments of a leaf.
fn decode_leaf(leaf: &[u8]) -> Option<BTreeMap<&[u8], [u8; 32]>> {
    let (_, mut rest) = leaf.strip_prefix(MAGIC)?.split_first()?;
    let mut held = BTreeMap::new();
    while let Some((length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked((*length).into())?;
        let (commitment, after) = after.split_first_chunk::<32>()?;
        held.insert(name, *commitment);
        rest = after;
    }
    Some(held)
}

/// The leaf of a record with these fields.
pub(crate) fn encode_leaf(open: &NewFields<'_>, personal: &NewFields<'_>) -> Vec<u8> {
    leaf_of(open.commitments().chain(personal.commitments()).collect())
}

/// The canonical encoding: `"roadstead.leaf" || 0x01 || count`, then for each field, ascending by
/// name, `length || name || commitment`.
fn leaf_of(mut fields: Vec<(&str, [u8; 32])>) -> Vec<u8> {
    fields.sort_unstable();
    let names: usize = fields.iter().map(|(name, _)| name.len()).sum();
    let mut leaf = Vec::with_capacity(MAGIC.len() + 1 + 33 * fields.len() + names);
    leaf.extend(MAGIC);
    leaf.push(u8::try_from(fields.len()).unwrap_or(u8::MAX));
    for (name, commitment) in fields {
        leaf.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        leaf.extend(name.as_bytes());
        leaf.extend(commitment);
    }
    leaf
}
