use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whose books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

/// An account: a number that the ledger gives when the account is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(i64);

/// A transfer: 128 bits that the client makes, unique in its tenant. The client sends the same id
/// when it tries again. Ids that grow with time (UUID version 7) are stored fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(Uuid);

/// How many bytes at the beginning of an id say that it is reserved, and what they are.
const RESERVED_BYTES: usize = 4;
const RESERVED: u8 = 0xff;

impl TenantId {
    /// The tenant with this id.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The id.
    #[must_use]
    pub const fn get(self) -> Uuid {
        self.0
    }
}

impl AccountId {
    /// The account with this number, for example read back from a row that refers to it.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number, to be stored by those who refer to the account.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TransferId {
    /// The transfer with this id.
    #[must_use]
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The transfer with this number.
    #[must_use]
    pub const fn from_u128(id: u128) -> Self {
        Self(Uuid::from_u128(id))
    }

    /// A new id that grows with time.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that a program gives to a posting of its own, from the hash of what it is for. Clients
    /// cannot use such an id, so they cannot take it before the program does.
    #[must_use]
    pub fn reserved(hash: [u8; 12]) -> Self {
        let mut bytes = [RESERVED; 16];
        for (byte, hashed) in bytes.iter_mut().skip(RESERVED_BYTES).zip(hash) {
            *byte = hashed;
        }
        Self(Uuid::from_bytes(bytes))
    }

    /// True for the ids that [`TransferId::reserved`] makes: one of 2^32.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        self.0.as_bytes().iter().take(RESERVED_BYTES).all(|byte| *byte == RESERVED)
    }

    /// The id.
    #[must_use]
    pub const fn get(self) -> Uuid {
        self.0
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<Uuid> for TenantId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<Uuid> for TransferId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for TenantId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl FromStr for TransferId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
