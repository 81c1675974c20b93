//! C2SP signed notes (`signed-note@v1`) with Ed25519 keys, and witness cosignatures
//! (`tlog-cosignature@v1`, the Ed25519 type).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::text;

/// The longest note that is read, in bytes.
const NOTE_BYTES_MAX: usize = 1 << 20;
/// The most signatures that a note may carry.
const SIGNATURES_MAX: usize = 64;
const ED25519: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;

/// Why a text is not a note or not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A verifier key does not have the form `<name>+<hash>+<key>`, or is of an unknown type.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// A line claims to be by a known key and is not.
    #[error("the signature of {0} is false")]
    BadSignature(String),
}

/// What a key's signatures mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs the note's text: a log (type `0x01`).
    Log,
    /// Cosigns with a time: a witness (type `0x04`).
    Witness,
}

/// A C2SP verifier key, `<name>+<hash>+<base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// Its name; a log's is its origin line.
    pub name: String,
    /// What it signs.
    pub kind: KeyKind,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key's 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    fn owns(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(NoteError::Key("it has no two plus signs"));
        };
        if !is_key_name(name) {
            return Err(NoteError::Key("its name is empty or has spaces"));
        }
        let bytes = text::base64(encoded).ok_or(NoteError::Key("it is not base64"))?;
        let (kind, public) = match bytes.split_first() {
            Some((&ED25519, public)) => (KeyKind::Log, public),
            Some((&COSIGNATURE, public)) => (KeyKind::Witness, public),
            _ => return Err(NoteError::Key("its type is not Ed25519 (0x01) or cosigner (0x04)")),
        };
        let public: &[u8; 32] =
            public.try_into().map_err(|_| NoteError::Key("it is not 32 bytes long"))?;
        let wanted = key_id(name, &bytes);
        if hex::encode(wanted) != id {
            return Err(NoteError::Key("its hash does not fit"));
        }
        let key = VerifyingKey::from_bytes(public)
            .map_err(|_| NoteError::Key("it is no point of the curve"))?;
        Ok(Self { name: name.to_owned(), kind, id: wanted, key })
    }
}

impl<'de> serde::Deserialize<'de> for VerifierKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::Engine as _;
        let kind = match self.kind {
            KeyKind::Log => ED25519,
            KeyKind::Witness => COSIGNATURE,
        };
        let mut bytes = vec![kind];
        bytes.extend(self.key.to_bytes());
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        write!(formatter, "{}+{}+{encoded}", self.name, hex::encode(self.id))
    }
}

/// `SHA-256(name || "\n" || type || key)[..4]`.
fn key_id(name: &str, typed_key: &[u8]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update("\n").chain_update(typed_key);
    let hash = hash.finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// A note whose signatures were not looked at yet: its text must not be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Malformed("it has control characters"));
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed("it has no signatures"))?;
        let (body, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("its last line is not ended by a newline"))?;
        let signatures =
            lines.split('\n').map(parse_signature).collect::<Result<Vec<_>, NoteError>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        Ok(Self { text: body.to_owned(), signatures })
    }

    /// The text that is signed, with its final newline. Not to be believed before
    /// [`SignedNote::signed_by`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text: what anchors write to their chains.
    #[must_use]
    pub fn text_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.text).into()
    }

    /// The names on the signature lines, believed or not.
    pub fn claimed_signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|line| line.name.as_str())
    }

    /// Whether the log key `key` signed the text; lines of other keys are passed over.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when a line claims this key and is false: such a note is to be
    /// refused whole.
    pub fn signed_by(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        let mut signed = false;
        for line in self.signatures.iter().filter(|line| key.owns(line)) {
            check(key, self.text.as_bytes(), &line.signature)?;
            signed = true;
        }
        Ok(signed && key.kind == KeyKind::Log)
    }

    /// The newest time, in seconds since 1970, at which the witness `key` cosigned; `None` if it
    /// did not.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] as for [`SignedNote::signed_by`].
    pub fn cosigned_by(&self, key: &VerifierKey) -> Result<Option<u64>, NoteError> {
        let mut newest = None;
        for line in self.signatures.iter().filter(|line| key.owns(line)) {
            let bad = || NoteError::BadSignature(key.name.clone());
            let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            if time > i64::MAX.unsigned_abs() {
                return Err(bad());
            }
            let message = format!("cosignature/v1\ntime {time}\n{}", self.text);
            check(key, message.as_bytes(), signature)?;
            newest = newest.max(Some(time));
        }
        Ok(newest.filter(|_| key.kind == KeyKind::Witness))
    }
}

fn parse_signature(line: &str) -> Result<SignatureLine, NoteError> {
    let malformed = NoteError::Malformed("a signature line is not `— <name> <base64>`");
    let Some((name, encoded)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' '))
    else {
        return Err(malformed);
    };
    let bytes = text::base64(encoded).ok_or_else(|| malformed.clone())?;
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if is_key_name(name) && !signature.is_empty() => {
            Ok(SignatureLine { name: name.to_owned(), id: *id, signature: signature.to_vec() })
        }
        _ => Err(malformed),
    }
}

fn check(key: &VerifierKey, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
    Signature::from_slice(signature)
        .and_then(|signature| key.key.verify_strict(message, &signature))
        .map_err(|_| NoteError::BadSignature(key.name.clone()))
}
