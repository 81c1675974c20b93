//! The one shape that a transaction has here. `build` makes a [`Plan`] of an intent, `describe`
//! reads one back from bytes; what its rendering does not give byte for byte is refused.

use chain_core::{Address, AmountError, AnchorCommitment, BuildError, ChainId};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::legacy::Message;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::{
    address::get_associated_token_address, instruction::create_associated_token_account_idempotent,
};
use spl_memo_interface::{instruction::build_memo, v3 as memo_program};
use spl_token_interface::instruction::transfer_checked;

use crate::address::{address, nonce_key, nonce_seed};
use crate::anchor::anchor_memo;
use crate::fee::{Budget, TOKEN_ACCOUNT_RENT};
use chain_core::Amount;

/// A transaction in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Who pays fees and rent, and rules the nonce account.
    pub(crate) fee_payer: Pubkey,
    /// The compute budget.
    pub(crate) budget: Budget,
    /// The rest.
    pub(crate) body: Body,
}

/// What a transaction does, and what keeps it from being done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Bound to a durable nonce.
    Durable {
        /// The nonce.
        nonce: Nonce,
        /// What is done.
        operation: Operation,
    },
    /// The creation of a nonce account, which can happen only once.
    CreateNonce {
        /// A recent blockhash.
        blockhash: Hash,
        /// Which of the payer's accounts.
        number: u32,
        /// What it is given to live on.
        lamports: u64,
    },
}

/// A durable nonce at one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// The account.
    pub(crate) account: Pubkey,
    /// Its value.
    pub(crate) value: Hash,
}

/// What is done under a durable nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Moves lamports.
    Transfer {
        /// From whom; signs.
        owner: Pubkey,
        /// To whom.
        to: Pubkey,
        /// How much.
        lamports: u64,
    },
    /// Moves tokens between associated token accounts and creates the recipient's if it is absent.
    TokenTransfer {
        /// From whom; signs.
        owner: Pubkey,
        /// To which wallet.
        to: Pubkey,
        /// Of which mint.
        mint: Pubkey,
        /// How many units.
        amount: u64,
        /// The mint's decimals, which the token program checks.
        decimals: u8,
    },
    /// Writes a checkpoint as a memo signed by the fee payer.
    Anchor(AnchorCommitment),
}

impl Plan {
    /// The message to be signed.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, BuildError> {
        let (blockhash, instructions) = match &self.body {
            Body::Durable { nonce, operation } => {
                let mut all = vec![system::advance_nonce_account(&nonce.account, &self.fee_payer)];
                all.extend(self.budget_instructions());
                all.extend(operation.instructions(&self.fee_payer)?);
                (nonce.value, all)
            }
            Body::CreateNonce { blockhash, number, lamports } => {
                let mut all = self.budget_instructions().to_vec();
                all.extend(self.create_nonce(*number, *lamports)?);
                (*blockhash, all)
            }
        };
        let payer = Some(&self.fee_payer);
        Ok(Message::new_with_blockhash(&instructions, payer, &blockhash).serialize())
    }

    /// Who signs, in order.
    pub(crate) fn signers(&self, chain: &ChainId) -> Vec<Address> {
        let owner = match &self.body {
            Body::Durable { operation, .. } => operation.owner(),
            Body::CreateNonce { .. } => None,
        };
        let owner = owner.filter(|owner| *owner != self.fee_payer);
        std::iter::once(self.fee_payer).chain(owner).map(|key| address(chain, &key)).collect()
    }

    /// The fee in lamports that the network takes, without rent.
    pub(crate) fn network_fee(&self) -> Result<Amount, AmountError> {
        let owner = match &self.body {
            Body::Durable { operation, .. } => operation.owner(),
            Body::CreateNonce { .. } => None,
        };
        self.budget.fee(if owner.is_some_and(|owner| owner != self.fee_payer) { 2 } else { 1 })
    }

    /// The most lamports that it can cost, rent included.
    pub(crate) fn fee_max(&self) -> Result<Amount, AmountError> {
        let rent = match &self.body {
            Body::Durable { operation: Operation::TokenTransfer { .. }, .. } => TOKEN_ACCOUNT_RENT,
            Body::Durable { .. } => 0,
            Body::CreateNonce { lamports, .. } => *lamports,
        };
        self.network_fee()?.checked_add(Amount::from(rent))
    }

    fn budget_instructions(&self) -> [Instruction; 2] {
        [
            ComputeBudgetInstruction::set_compute_unit_limit(self.budget.unit_limit),
            ComputeBudgetInstruction::set_compute_unit_price(self.budget.unit_price),
        ]
    }

    fn create_nonce(&self, number: u32, lamports: u64) -> Result<Vec<Instruction>, BuildError> {
        let payer = &self.fee_payer;
        let account = nonce_key(payer, number)
            .ok_or_else(|| BuildError::Malformed("the fee payer is a program".to_owned()))?;
        let seed = nonce_seed(number);
        Ok(system::create_nonce_account_with_seed(payer, &account, payer, &seed, payer, lamports))
    }
}

impl Operation {
    /// Whose money moves.
    pub(crate) const fn owner(&self) -> Option<Pubkey> {
        match self {
            Self::Transfer { owner, .. } | Self::TokenTransfer { owner, .. } => Some(*owner),
            Self::Anchor(_) => None,
        }
    }

    fn instructions(&self, payer: &Pubkey) -> Result<Vec<Instruction>, BuildError> {
        match self {
            Self::Transfer { owner, to, lamports } => {
                Ok(vec![system::transfer(owner, to, *lamports)])
            }
            Self::TokenTransfer { owner, to, mint, amount, decimals } => {
                let program = spl_token_interface::ID;
                let transfer = transfer_checked(
                    &program,
                    &get_associated_token_address(owner, mint),
                    mint,
                    &get_associated_token_address(to, mint),
                    owner,
                    &[],
                    *amount,
                    *decimals,
                )
                .map_err(|error| BuildError::Malformed(error.to_string()))?;
                let create = create_associated_token_account_idempotent(payer, to, mint, &program);
                Ok(vec![create, transfer])
            }
            Self::Anchor(commitment) => {
                let memo = anchor_memo(commitment);
                Ok(vec![build_memo(&memo_program::ID, memo.as_bytes(), &[payer])])
            }
        }
    }
}
