//! The witness's key: C2SP `tlog-cosignature`, the Ed25519 type (`0x04`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const COSIGNATURE: u8 = 0x04;
const PREFIX: &str = "PRIVATE+KEY+";

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a witness's key: {0}")]
pub struct KeyError(&'static str);

/// A signing key with its name.
pub struct WitnessKey {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WitnessKey({})", self.name)
    }
}

impl WitnessKey {
    /// A new key from the system's randomness. The name is a schema-less URL such as
    /// `witness.example/w1`.
    ///
    /// # Errors
    /// [`KeyError`] when the name cannot stand in a note, or there is no randomness.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let filled = rand::rngs::OsRng.try_fill_bytes(seed.as_mut_slice());
        filled.map_err(|_| KeyError("the system has no randomness"))?;
        Self::new(name, &seed)
    }

    fn new(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let visible = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || name.len() > 255 || !name.chars().all(visible) {
            return Err(KeyError("a name has 1 to 255 bytes, without spaces or plus signs"));
        }
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// `SHA-256(name || "\n" || 0x04 || key)[..4]`.
    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new().chain_update(&self.name).chain_update([b'\n', COSIGNATURE]);
        let hash = hash.chain_update(self.key.verifying_key().as_bytes()).finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The verifier key that readers trust, `<name>+<id>+<base64>`.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        let typed = [&[COSIGNATURE][..], self.key.verifying_key().as_bytes()].concat();
        format!("{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(typed))
    }

    /// The key as text, in the form of Go's `sumdb/note`. Secret.
    pub(crate) fn secret(&self) -> Zeroizing<String> {
        let typed = Zeroizing::new([&[COSIGNATURE][..], self.key.as_bytes()].concat());
        let encoded = Zeroizing::new(STANDARD.encode(&*typed));
        let id = hex::encode(self.id());
        Zeroizing::new(format!("{PREFIX}{}+{id}+{}", self.name, encoded.as_str()))
    }

    /// The signature line over a checkpoint's text at `time`, in seconds since 1970.
    pub(crate) fn cosign(&self, text: &str, time: u64) -> String {
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        let bytes = [&self.id()[..], &time.to_be_bytes(), &signature].concat();
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let malformed = KeyError("its form is PRIVATE+KEY+<name>+<id>+<base64>");
        let rest = text.trim_end().strip_prefix(PREFIX).ok_or(malformed)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed);
        };
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| malformed)?);
        let Some((&COSIGNATURE, seed)) = bytes.split_first() else { return Err(malformed) };
        let key = Self::new(name, seed.try_into().map_err(|_| malformed)?)?;
        if hex::encode(key.id()) == id { Ok(key) } else { Err(KeyError("its id does not fit")) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api_verify::checkpoint::Checkpoint;
    use api_verify::note::VerifierKey;

    use super::*;

    #[test]
    fn a_cosignature_verifies_and_the_key_is_read_as_it_is_written() {
        let key = WitnessKey::generate("witness.example/w1").unwrap();
        let again: WitnessKey = key.secret().parse().unwrap();
        assert_eq!(again.verifier_key(), key.verifier_key());
        let text = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let note = format!("{text}\n{}", again.cosign(text, 1_772_366_400));
        let vkey: VerifierKey = key.verifier_key().parse().unwrap();
        let checkpoint = Checkpoint::parse(&note).unwrap();
        assert_eq!(checkpoint.note.cosigned_by(&vkey), Ok(Some(1_772_366_400)));
        assert!(!format!("{key:?}").contains(&hex::encode(key.key.as_bytes())));
    }

    #[test]
    fn names_that_could_forge_lines_are_refused() {
        for name in ["", "a b", "a+b", "a\nb"] {
            assert!(WitnessKey::generate(name).is_err(), "{name:?}");
        }
    }
}
