//! Checkpoints of the audit log as C2SP signed notes (`signed-note`, `tlog-checkpoint`), with
//! Ed25519 (signature type 0x01).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::keys::{KeyError, Keys};

/// The signature type of Ed25519.
const ED25519: u8 = 0x01;

/// Why a note could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The origin cannot name a key.
    #[error("an origin has 1 to 128 visible ASCII characters, without '+': {0:?}")]
    Origin(String),
    /// The key could not be derived.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The text of a checkpoint, which is what the log's key signs: origin, size and root, a line each.
///
/// # Errors
/// [`NoteError::Origin`].
pub fn checkpoint_text(origin: &str, size: u64, root: &[u8; 32]) -> Result<String, NoteError> {
    let visible = origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+');
    if origin.is_empty() || origin.len() > 128 || !visible {
        return Err(NoteError::Origin(origin.to_owned()));
    }
    Ok(format!("{origin}\n{size}\n{}\n", STANDARD.encode(root)))
}

/// Signs a checkpoint: text, an empty line, and the signature line.
///
/// # Errors
/// [`NoteError`].
pub fn sign_checkpoint(
    keys: &Keys,
    origin: &str,
    size: u64,
    root: &[u8; 32],
) -> Result<String, NoteError> {
    let text = checkpoint_text(origin, size, root)?;
    let signature = keys.sign_log(text.as_bytes())?;
    let mut line = key_hash(origin, &keys.log_public_key()?).to_vec();
    line.extend_from_slice(&signature);
    Ok(format!("{text}\n\u{2014} {origin} {}\n", STANDARD.encode(line)))
}

/// The C2SP verifier key `<origin>+<hash>+<base64>` of a log's public key.
///
/// # Errors
/// [`NoteError::Origin`].
pub fn verifier_key(origin: &str, public_key: &[u8; 32]) -> Result<String, NoteError> {
    checkpoint_text(origin, 0, &[0; 32])?;
    let hash = hex::encode(key_hash(origin, public_key));
    Ok(format!("{origin}+{hash}+{}", STANDARD.encode(typed(public_key))))
}

/// SHA-256 of name, newline, type and key, cut to four bytes.
fn key_hash(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let digest =
        Sha256::new().chain_update(name).chain_update(b"\n").chain_update(typed(public_key));
    let digest: [u8; 32] = digest.finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn typed(public_key: &[u8; 32]) -> [u8; 33] {
    let mut bytes = [ED25519; 33];
    bytes[1..].copy_from_slice(public_key);
    bytes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::*;
    use crate::mnemonic::Phrase;

    #[test]
    fn key_hash_agrees_with_the_published_example() {
        // The example key of the Go module golang.org/x/mod/sumdb/note.
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let encoded = vkey.rsplit('+').next().unwrap();
        let key: [u8; 32] = STANDARD.decode(encoded).unwrap()[1..].try_into().unwrap();
        assert_eq!(
            vkey.strip_prefix("PeterNeumann+"),
            Some(&*format!("{}+{encoded}", hex::encode(key_hash("PeterNeumann", &key))))
        );
        assert_eq!(verifier_key("PeterNeumann", &key).unwrap(), vkey);
    }

    #[test]
    fn a_note_verifies_under_its_verifier_key() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let keys = Keys::new(&Phrase::parse(words).unwrap().seed("")).unwrap();
        let note = sign_checkpoint(&keys, "roadstead.test/log", 7, &[5; 32]).unwrap();
        let (text, signatures) = note.split_once("\n\n").unwrap();
        let text = format!("{text}\n");
        assert_eq!(text, checkpoint_text("roadstead.test/log", 7, &[5; 32]).unwrap());
        let line = signatures.strip_prefix("\u{2014} roadstead.test/log ").unwrap();
        let bytes = STANDARD.decode(line.trim_end()).unwrap();
        let public = keys.log_public_key().unwrap();
        assert_eq!(bytes[..4], key_hash("roadstead.test/log", &public));
        let signature = Signature::from_slice(&bytes[4..]).unwrap();
        let verifier = VerifyingKey::from_bytes(&public).unwrap();
        verifier.verify_strict(text.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn origins_that_could_forge_lines_are_refused() {
        for bad in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &"x".repeat(129)] {
            assert!(
                matches!(checkpoint_text(bad, 1, &[0; 32]), Err(NoteError::Origin(_))),
                "{bad:?}"
            );
        }
    }
}
