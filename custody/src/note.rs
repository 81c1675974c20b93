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

/// Signs a checkpoint with each of these generations of the log's key: text, an empty line, and a
/// signature line for each.
///
/// # Errors
/// [`NoteError`].
pub fn sign_checkpoint(
    keys: &Keys,
    generations: &[u8],
    origin: &str,
    size: u64,
    root: &[u8; 32],
) -> Result<String, NoteError> {
    let text = checkpoint_text(origin, size, root)?;
    let mut note = format!("{text}\n");
    for generation in generations {
        note.push_str(&signature_line(keys, *generation, origin, &text)?);
    }
    Ok(note)
}

fn signature_line(
    keys: &Keys,
    generation: u8,
    origin: &str,
    text: &str,
) -> Result<String, NoteError> {
    let signature = keys.sign_log(generation, text.as_bytes())?;
    let mut line = key_hash(origin, &keys.log_public_key(generation)?).to_vec();
    line.extend_from_slice(&signature);
    Ok(format!("\u{2014} {origin} {}\n", STANDARD.encode(line)))
}

/// Whether a note over this checkpoint was signed by these keys, in any generation below
/// `generations`. Ed25519 is deterministic, so a genuine line is the one that we would make. Lines of
/// others (witnesses) do not count, for or against.
///
/// # Errors
/// [`NoteError`].
pub fn is_signed_here(
    keys: &Keys,
    generations: u8,
    (origin, size, root): (&str, u64, &[u8; 32]),
    note: &str,
) -> Result<bool, NoteError> {
    let text = checkpoint_text(origin, size, root)?;
    let Some(lines) = note.strip_prefix(&text).and_then(|rest| rest.strip_prefix('\n')) else {
        return Ok(false);
    };
    let mut genuine = Vec::new();
    for generation in 0..generations {
        genuine.push(signature_line(keys, generation, origin, &text)?);
    }
    let own = format!("\u{2014} {origin} ");
    let mut claimed = lines.split_inclusive('\n').filter(|line| line.starts_with(&own)).peekable();
    Ok(claimed.peek().is_some() && claimed.all(|line| genuine.iter().any(|ours| ours == line)))
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
        let note = sign_checkpoint(&keys, &[0], "roadstead.test/log", 7, &[5; 32]).unwrap();
        let (text, signatures) = note.split_once("\n\n").unwrap();
        let text = format!("{text}\n");
        assert_eq!(text, checkpoint_text("roadstead.test/log", 7, &[5; 32]).unwrap());
        let line = signatures.strip_prefix("\u{2014} roadstead.test/log ").unwrap();
        let bytes = STANDARD.decode(line.trim_end()).unwrap();
        let public = keys.log_public_key(0).unwrap();
        assert_eq!(bytes[..4], key_hash("roadstead.test/log", &public));
        let signature = Signature::from_slice(&bytes[4..]).unwrap();
        let verifier = VerifyingKey::from_bytes(&public).unwrap();
        verifier.verify_strict(text.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn each_generation_signs_with_a_key_of_its_own() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        let keys = Keys::new(&Phrase::parse(words).unwrap().seed("")).unwrap();
        let signed = |generations: &[u8]| {
            sign_checkpoint(&keys, generations, "roadstead.test/log", 7, &[5; 32]).unwrap()
        };
        let (old, both, new) = (signed(&[0]), signed(&[0, 1]), signed(&[1]));
        assert!(both.starts_with(&old));
        assert!(both.ends_with(&format!("{}\n", new.lines().last().unwrap())));
        assert_eq!(both.lines().count(), old.lines().count() + 1);
        assert_ne!(keys.log_public_key(0).unwrap(), keys.log_public_key(1).unwrap());
        let checkpoint = ("roadstead.test/log", 7, &[5; 32]);
        let ours = |note: &str, below| is_signed_here(&keys, below, checkpoint, note).unwrap();
        assert!(ours(&old, 2) && ours(&both, 2) && ours(&new, 2));
        assert!(ours(&format!("{old}\u{2014} witness.example/w AAAA\n"), 1));
        assert!(!ours(&new, 1), "a generation that never was");
        assert!(!ours(&old.replace("\n7\n", "\n8\n"), 2));
        assert!(!ours(&format!("{old}\u{2014} roadstead.test/log AAAA\n"), 2));
        assert!(!ours(old.split_inclusive("\n\n").next().unwrap(), 2), "no line at all");
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
