//! Solana: a memo in a signed transaction. That the transaction is on the chain cannot be proved
//! offline: there is no compact proof of inclusion.

use ed25519_dalek::{Signature, VerifyingKey};

use super::{AnchorError, AnchorReport, Commitment, Status, report};
use crate::text;

/// The memo program, version 2 and version 1.
const MEMO_PROGRAMS: [&str; 2] =
    ["MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"];

pub(super) fn check(
    commitment: &Commitment,
    signature: &str,
    transaction: &str,
) -> Result<AnchorReport, AnchorError> {
    let malformed = AnchorError::Malformed("the transaction is not a signed Solana transaction");
    let bytes = text::hex_bytes(transaction).ok_or(malformed.clone())?;
    let transaction = Transaction::parse(&bytes).ok_or(malformed.clone())?;
    let named = bs58::decode(signature).into_vec().map_err(|_| malformed.clone())?;
    if transaction.signatures.first() != Some(&named.as_slice()) {
        return Err(AnchorError::NotIncluded("the signature is of another transaction"));
    }
    transaction.verify()?;
    if !transaction.memos().any(|data| data == memo(commitment).as_bytes()) {
        return Err(AnchorError::OtherCommitment("the memo"));
    }
    let payer = transaction.accounts.first().ok_or(malformed)?;
    let mut found = report(Status::NeedsNode, commitment.size);
    found.transaction = Some(signature.to_owned());
    found.sender = Some(bs58::encode(payer).into_string());
    Ok(found)
}

/// The memo that anchors.
fn memo(commitment: &Commitment) -> String {
    let (origin, checkpoint) = (hex::encode(commitment.origin), hex::encode(commitment.checkpoint));
    format!("roadstead:1:{origin}:{}:{checkpoint}", commitment.size)
}

struct Transaction<'a> {
    signatures: Vec<&'a [u8]>,
    message: &'a [u8],
    accounts: Vec<&'a [u8]>,
    /// Each instruction's program, by its number among the accounts, and its data.
    instructions: Vec<(usize, &'a [u8])>,
}

impl<'a> Transaction<'a> {
    /// Reads a transaction with a legacy or a version-0 message.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let signatures = reader.list(|reader| reader.take(64))?;
        let message = reader.0;
        let is_versioned = match message.first()? {
            0x80 => reader.take(1).is_some(),
            0x81.. => return None,
            _ => false,
        };
        let [required, ..] = *reader.take(3)? else { return None };
        let accounts = reader.list(|reader| reader.take(32))?;
        reader.take(32)?;
        let instructions = reader.list(|reader| {
            let program = usize::from(reader.take(1)?[0]);
            reader.list(|reader| reader.take(1))?;
            let length = reader.length()?;
            Some((program, reader.take(length)?))
        })?;
        if is_versioned {
            reader.list(|reader| {
                reader.take(32)?;
                reader.list(|reader| reader.take(1))?;
                reader.list(|reader| reader.take(1))
            })?;
        }
        let complete = reader.0.is_empty()
            && !signatures.is_empty()
            && signatures.len() == usize::from(required)
            && accounts.len() >= signatures.len();
        complete.then_some(Self { signatures, message, accounts, instructions })
    }

    /// Checks every signature against its account.
    fn verify(&self) -> Result<(), AnchorError> {
        for (signature, account) in self.signatures.iter().zip(&self.accounts) {
            let account: &[u8; 32] = (*account).try_into().map_err(|_| AnchorError::Signature)?;
            let key = VerifyingKey::from_bytes(account).map_err(|_| AnchorError::Signature)?;
            let signature = Signature::from_slice(signature).map_err(|_| AnchorError::Signature)?;
            key.verify_strict(self.message, &signature).map_err(|_| AnchorError::Signature)?;
        }
        Ok(())
    }

    fn memos(&self) -> impl Iterator<Item = &[u8]> {
        let is_memo = |program: &usize| {
            let account = self.accounts.get(*program).map(|key| bs58::encode(key).into_string());
            account.is_some_and(|account| MEMO_PROGRAMS.contains(&account.as_str()))
        };
        self.instructions.iter().filter(move |(program, _)| is_memo(program)).map(|(_, data)| *data)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A "compact-u16": seven bits a byte, least first, at most three bytes, no second spelling.
    fn length(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in [0, 7, 14] {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let canonical = byte != 0 || shift == 0;
                return (canonical && value <= usize::from(u16::MAX)).then_some(value);
            }
        }
        None
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.length()?).map(|_| item(self)).collect()
    }
}
