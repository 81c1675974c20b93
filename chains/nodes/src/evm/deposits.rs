use std::collections::BTreeSet;

use alloy_primitives::{Address as RawAddress, B256, U256};
use chain_core::{
    Amount, AssetId, ChainId, NodeError, ScannedAmount, ScannedDeposit, TxId, UncheckedAddress,
};

use super::answers::{FullBlock, Receipt, Transaction};

/// Where in a block a deposit is; its order is the block's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) transaction: usize,
    pub(super) position: Position,
}

/// Where in its transaction a deposit is. None of it changes when the transaction moves to another
/// block, because with the transaction's id it is the deposit's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Position {
    /// The transaction's own value.
    Native,
    /// The value of an inner call: which call of which call.
    Trace(Vec<usize>),
    /// A log entry, counted within the receipt.
    Log(usize),
}

impl Position {
    fn text(&self) -> String {
        match self {
            Self::Native => "native".to_owned(),
            Self::Trace(path) => {
                let path: Vec<String> = path.iter().map(usize::to_string).collect();
                format!("trace:{}", path.join("."))
            }
            Self::Log(index) => format!("log:{index}"),
        }
    }
}

/// Money that arrived, before it has the names of `chain-core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deposit {
    pub(super) place: Place,
    pub(super) tx: B256,
    pub(super) to: RawAddress,
    /// The token's contract; `None` for native coin.
    pub(super) token: Option<RawAddress>,
    pub(super) amount: U256,
}

impl Deposit {
    pub(super) fn named(self, chain: &ChainId) -> Result<ScannedDeposit, NodeError> {
        let malformed = |error: chain_core::IdError| NodeError::Malformed(error.to_string());
        let asset: AssetId = match self.token {
            None => chain.native(),
            Some(token) => format!("{chain}/erc20:{token:#x}").parse().map_err(malformed)?,
        };
        let to = UncheckedAddress(self.to.to_checksum(None));
        Ok(ScannedDeposit {
            tx: TxId(self.tx.to_string()),
            position: self.place.position.text(),
            to: chain_evm::check_address(chain, &to).map_err(malformed)?,
            asset,
            amount: scanned(self.amount),
            coinbase: false,
        })
    }
}

/// The books count in 128 bits, this chain in 256.
fn scanned(amount: U256) -> ScannedAmount {
    match u128::try_from(amount) {
        Ok(minor) => ScannedAmount::Exact(Amount::new(minor)),
        Err(_) => ScannedAmount::TooLarge(amount.to_string()),
    }
}

/// Native coin that successful transactions themselves sent to watched addresses.
pub(super) fn native_payments(
    block: &FullBlock,
    receipts: &[Receipt],
    watched: &BTreeSet<RawAddress>,
) -> Vec<Deposit> {
    let payment = |(index, (transaction, receipt)): (usize, (&Transaction, &Receipt))| {
        let Transaction { hash, to, value: amount } = *transaction;
        let to = to.filter(|to| watched.contains(to) && *to != receipt.from)?;
        let place = Place { transaction: index, position: Position::Native };
        let counts = receipt.succeeded() && !amount.is_zero();
        counts.then_some(Deposit { place, tx: hash, to, token: None, amount })
    };
    block.transactions.iter().zip(receipts).enumerate().filter_map(payment).collect()
}
