//! From bytes back to a [`Plan`].

use chain_core::BuildError;
use solana_hash::Hash;
use solana_message::legacy::Message;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction::SystemInstruction;
use spl_token_interface::instruction::TokenInstruction;

use crate::anchor::read_memo;
use crate::fee::Budget;
use crate::plan::{Body, Nonce, Operation, Plan};

/// A packet holds 1,232 bytes, signatures included.
const MESSAGE_BYTES_MAX: usize = 1_232 - 65;

impl Plan {
    /// Reads the plan whose rendering is exactly `bytes`.
    ///
    /// The reading takes each parameter from its one place and checks nothing else: the comparison
    /// with the rendering then refuses every other program, account, flag, order and addition.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BuildError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(malformed("too long"));
        }
        let message: Message = wincode::deserialize_exact(bytes)
            .map_err(|_| malformed("not a serialised legacy message"))?;
        let plan = Self::extract(&message)?;
        if plan.bytes()? == bytes {
            Ok(plan)
        } else {
            Err(malformed("an instruction, account or flag is not as it is built here"))
        }
    }

    fn extract(message: &Message) -> Result<Self, BuildError> {
        let fee_payer = *message.account_keys.first().ok_or_else(|| malformed("no fee payer"))?;
        let steps = message
            .instructions
            .iter()
            .map(|instruction| {
                let accounts = instruction.accounts.iter().map(|index| key(message, *index));
                Ok(Step {
                    program: key(message, instruction.program_id_index)?,
                    accounts: accounts.collect::<Result<_, BuildError>>()?,
                    data: &instruction.data,
                })
            })
            .collect::<Result<Vec<_>, BuildError>>()?;
        let hash = message.recent_blockhash;
        let (budget, body) = match steps.as_slice() {
            [advance, limit, price, rest @ ..] if advance.is_nonce_advance() => {
                let nonce = Nonce { account: advance.account(0)?, value: hash };
                (budget(limit, price)?, Body::Durable { nonce, operation: operation(rest)? })
            }
            [limit, price, create, _initialize] => {
                (budget(limit, price)?, create_nonce(create, hash)?)
            }
            _ => return Err(malformed("not the instructions of anything built here")),
        };
        Ok(Self { fee_payer, budget, body })
    }
}

/// An instruction with its accounts looked up.
struct Step<'a> {
    program: Pubkey,
    accounts: Vec<Pubkey>,
    data: &'a [u8],
}

impl Step<'_> {
    fn account(&self, index: usize) -> Result<Pubkey, BuildError> {
        self.accounts.get(index).copied().ok_or_else(|| malformed("an account is missing"))
    }

    fn system(&self) -> Option<SystemInstruction> {
        let ours = self.program == solana_sdk_ids::system_program::ID;
        ours.then(|| wincode::deserialize_exact(self.data).ok())?
    }

    fn is_nonce_advance(&self) -> bool {
        self.system() == Some(SystemInstruction::AdvanceNonceAccount)
    }
}

fn operation(steps: &[Step<'_>]) -> Result<Operation, BuildError> {
    match steps {
        [memo] if memo.program == spl_memo_interface::v3::ID => read_memo(memo.data)
            .map(Operation::Anchor)
            .ok_or_else(|| malformed("the memo is not a checkpoint")),
        [transfer] => match transfer.system() {
            Some(SystemInstruction::Transfer { lamports }) => Ok(Operation::Transfer {
                owner: transfer.account(0)?,
                to: transfer.account(1)?,
                lamports,
            }),
            _ => Err(malformed("neither a transfer nor an anchor")),
        },
        [create, transfer] => token_transfer(create, transfer),
        _ => Err(malformed("not the instructions of anything built here")),
    }
}

fn token_transfer(create: &Step<'_>, transfer: &Step<'_>) -> Result<Operation, BuildError> {
    let Ok(TokenInstruction::TransferChecked { amount, decimals }) =
        TokenInstruction::unpack(transfer.data)
    else {
        return Err(malformed("not a checked token transfer"));
    };
    Ok(Operation::TokenTransfer {
        owner: transfer.account(3)?,
        to: create.account(2)?,
        mint: create.account(3)?,
        amount,
        decimals,
    })
}

fn create_nonce(create: &Step<'_>, blockhash: Hash) -> Result<Body, BuildError> {
    let Some(SystemInstruction::CreateAccountWithSeed { seed, lamports, .. }) = create.system()
    else {
        return Err(malformed("not the creation of a nonce account"));
    };
    let number = seed.strip_prefix("roadstead-nonce-").and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| malformed("the seed is not that of a nonce account"))?;
    Ok(Body::CreateNonce { blockhash, number, lamports })
}

fn budget(limit: &Step<'_>, price: &Step<'_>) -> Result<Budget, BuildError> {
    let error = || malformed("the compute budget is missing");
    let [2, limit @ ..] = limit.data else { return Err(error()) };
    let [3, price @ ..] = price.data else { return Err(error()) };
    Ok(Budget {
        unit_limit: u32::from_le_bytes(limit.try_into().map_err(|_| error())?),
        unit_price: u64::from_le_bytes(price.try_into().map_err(|_| error())?),
    })
}

fn key(message: &Message, index: u8) -> Result<Pubkey, BuildError> {
    let key = message.account_keys.get(usize::from(index)).copied();
    key.ok_or_else(|| malformed("an account index points past the accounts"))
}

pub(crate) fn malformed(reason: &str) -> BuildError {
    BuildError::Malformed(reason.to_owned())
}
