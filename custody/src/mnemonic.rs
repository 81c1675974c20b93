use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use crate::entropy::{EntropyError, seed_entropy};
use crate::seed::Seed;

/// A BIP-39 mnemonic. It has no `Debug` and is erased when dropped.
pub struct Phrase(Mnemonic);

/// Why a mnemonic was refused. The words are never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum PhraseError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("a mnemonic has 12, 15, 18, 21 or 24 words, and this has {0}")]
    WordCount(usize),
    /// A word is on no list.
    #[error("word {0} is on none of the BIP-39 word lists")]
    UnknownWord(usize),
    /// The last word does not fit the others.
    #[error("the checksum is wrong: a word is mistyped or two are swapped")]
    Checksum,
    /// An extended private key was given.
    #[error("only mnemonics are imported: Solana's keys do not follow from an extended key")]
    ExtendedKey,
    /// The words fit several languages.
    #[error("the words are on the lists of several languages")]
    Ambiguous,
    /// No randomness for a new one.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl Phrase {
    /// A new mnemonic of 24 English words from 256 bits (see [`crate::entropy::seed_entropy`]).
    ///
    /// # Errors
    /// [`PhraseError::Entropy`].
    pub fn generate() -> Result<Self, PhraseError> {
        let entropy = seed_entropy()?;
        Mnemonic::from_entropy(&*entropy).map(Self).map_err(refusal)
    }

    /// Reads the words of any BIP-39 language, normalised as BIP-39 says.
    ///
    /// # Errors
    /// [`PhraseError`]; the words are not repeated in it.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        if crate::extended::is_private(text.trim()) {
            return Err(PhraseError::ExtendedKey);
        }
        match Mnemonic::parse_in(Language::English, text) {
            Err(bip39::Error::UnknownWord(_)) => Mnemonic::parse(text),
            english => english,
        }
        .map(Self)
        .map_err(refusal)
    }

    /// The words, to be shown once.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut words = Zeroizing::new(String::with_capacity(512));
        for word in self.0.words() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        words
    }

    /// The BIP-39 seed; `passphrase` is empty unless the owner chose one.
    #[must_use]
    pub fn seed(&self, passphrase: &str) -> Seed {
        Seed::new(Zeroizing::new(self.0.to_seed(passphrase)))
    }
}

fn refusal(error: bip39::Error) -> PhraseError {
    match error {
        bip39::Error::BadWordCount(count) | bip39::Error::BadEntropyBitCount(count) => {
            PhraseError::WordCount(count)
        }
        bip39::Error::UnknownWord(index) => PhraseError::UnknownWord(index.saturating_add(1)),
        bip39::Error::InvalidChecksum => PhraseError::Checksum,
        bip39::Error::AmbiguousLanguages(_) => PhraseError::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn promise_03_bad_mnemonics_are_refused_without_repeating_them() {
        let swapped = "legal winner thank year wave sausage worth useful legal winner yellow thank";
        assert!(matches!(Phrase::parse(swapped), Err(PhraseError::Checksum)));
        let unknown = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon canaryword";
        let error = Phrase::parse(unknown).err().unwrap();
        assert!(matches!(error, PhraseError::UnknownWord(12)));
        assert!(!format!("{error} {error:?}").contains("canaryword"));
        assert!(matches!(Phrase::parse("abandon about"), Err(PhraseError::WordCount(2))));
        assert!(matches!(Phrase::parse(""), Err(PhraseError::WordCount(0))));
    }

    #[test]
    fn a_new_phrase_has_24_words_and_reads_back() {
        let phrase = Phrase::generate().unwrap();
        let words = phrase.words();
        assert_eq!(words.split(' ').count(), 24);
        let again = Phrase::parse(&words).unwrap();
        assert_eq!(*again.seed("").reveal(), *phrase.seed("").reveal());
        assert_ne!(*again.seed("x").reveal(), *phrase.seed("").reveal());
    }
}
