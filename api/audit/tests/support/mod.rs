//! A log's key, and evidence of anchors as the chains would give it.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, unused_imports, clippy::allow_attributes, reason = "each test uses a part")]

mod evidence;

use api_audit::{AuditLog, TreeHead};
use api_store::Db;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

pub(crate) use evidence::{bitcoin, evm, evm_with_status, keccak_hex, solana, txid};

pub(crate) const ORIGIN: &str = "roadstead.example/log";
/// 2026-03-01T12:00:00Z.
pub(crate) const NOW_MS: i64 = 1_772_366_400_000;

/// An Ed25519 key of a log or a witness.
pub(crate) struct NoteKey {
    name: String,
    kind: u8,
    key: SigningKey,
}

impl NoteKey {
    pub(crate) fn log(seed: u8) -> Self {
        Self { name: ORIGIN.to_owned(), kind: 1, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    pub(crate) fn witness(name: &str, seed: u8) -> Self {
        Self { name: name.to_owned(), kind: 4, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    fn typed_key(&self) -> Vec<u8> {
        [vec![self.kind], self.key.verifying_key().to_bytes().to_vec()].concat()
    }

    fn id(&self) -> [u8; 4] {
        let input = [self.name.as_bytes(), b"\n", &self.typed_key()].concat();
        Sha256::digest(input)[..4].try_into().unwrap()
    }

    pub(crate) fn vkey(&self) -> String {
        let (id, key) = (hex::encode(self.id()), STANDARD.encode(self.typed_key()));
        format!("{}+{id}+{key}", self.name)
    }

    fn line(&self, signature: &[u8]) -> String {
        format!("— {} {}\n", self.name, STANDARD.encode([&self.id(), signature].concat()))
    }

    /// A signed note over a text.
    pub(crate) fn note(&self, text: &str) -> String {
        format!("{text}\n{}", self.line(&self.key.sign(text.as_bytes()).to_bytes()))
    }

    /// A cosignature line over a text, at a time in seconds.
    pub(crate) fn cosign(&self, text: &str, time: u64) -> String {
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        self.line(&[&time.to_be_bytes()[..], &signature].concat())
    }
}

/// Seals the log, signs its head and stores the checkpoint.
pub(crate) async fn checkpoint(db: &Db, log: &AuditLog, key: &NoteKey) -> TreeHead {
    let head = log.seal(db, NOW_MS).await.unwrap().unwrap();
    let mut tx = db.begin().await.unwrap();
    log.store_checkpoint_in(&mut tx, &key.note(&head.text()), NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    head
}
