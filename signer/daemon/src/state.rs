use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use chain_core::{
    Action, Address, Amount, AmountError, AnchorCommitment, ChainId, Intent, IntentId, KeyPath,
    KeyedAddress, Purpose, Signature, Slot, TxId,
};
use custody::policy::Charge;
use sha2::{Digest, Sha256};
use signer_protocol::{FreezeRequest, JournalHead};

use crate::record::{Entry, Record, SignedRecord};

/// The seconds of a rolling day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What the journal's records come to; a pure fold over them, the same when they are written and when
/// they are read again.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// When the last record was written.
    pub(crate) last_time: u64,
    /// Addresses that were given out or seen as signers or change, by network and text.
    issued: BTreeMap<(ChainId, String), KeyPath>,
    intents: HashMap<IntentId, Signed>,
    /// What was cancelled before it was signed.
    cancelled: HashSet<IntentId>,
    slots: HashMap<Slot, IntentId>,
    charges: VecDeque<DayCharge>,
    checkpoints: BTreeMap<String, BTreeMap<u64, [u8; 32]>>,
    freezes: Vec<FreezeRequest>,
    forgiven: Vec<JournalHead>,
}

/// All that was signed for one intent.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// The network.
    pub(crate) chain: ChainId,
    /// Why.
    pub(crate) purpose: Purpose,
    /// What.
    pub(crate) action: Action,
    /// The slots that every attempt shares: as long as there is one, at most one can confirm.
    pub(crate) common: BTreeSet<Slot>,
    /// The highest fee of an attempt.
    fee: Amount,
    /// Each transaction that was signed.
    pub(crate) attempts: Vec<Attempt>,
}

/// One transaction of an intent.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// [`SignedRecord::unsigned`].
    pub(crate) unsigned: [u8; 32],
    /// The transaction's id.
    pub(crate) tx: TxId,
    /// What left the signer.
    pub(crate) signatures: Vec<Signature>,
}

#[derive(Debug)]
struct DayCharge {
    time: u64,
    intent: IntentId,
    purpose: Purpose,
    subject: String,
    charge: Charge,
}

/// How a signing request stands to what was signed before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Precedent<'a> {
    /// Nothing was signed for this intent, and its slots are free.
    New,
    /// The same bytes were signed.
    Same(&'a TxId, &'a [Signature]),
    /// Another attempt at the same intent, over a shared slot.
    Replacement,
    /// It must not be signed.
    Conflict(String),
}

impl State {
    /// Takes in one more record.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        self.last_time = self.last_time.max(entry.time);
        match &entry.record {
            Record::Issued { address } => self.issue(address),
            Record::Signed(record) => self.sign(entry.time, record),
            Record::Checkpoint { origin, size, root } => {
                self.checkpoints.entry(origin.clone()).or_default().insert(*size, *root);
            }
            Record::Cancelled { intent, .. } => {
                self.cancelled.insert(*intent);
            }
            Record::Frozen { freeze } => self.freezes.push(freeze.clone()),
            Record::Thawed { thaw } => self.freezes.retain(|freeze| !same_target(freeze, thaw)),
            Record::Reconciled { heads, .. } => self.forgiven.extend_from_slice(heads),
        }
    }

    fn issue(&mut self, address: &KeyedAddress) {
        let place = (address.address.chain().clone(), address.address.as_str().to_owned());
        self.issued.insert(place, address.key);
    }

    fn sign(&mut self, time: u64, record: &SignedRecord) {
        record.signers.iter().chain(&record.change).for_each(|address| self.issue(address));
        for slot in &record.slots {
            self.slots.insert(slot.clone(), record.intent.id);
        }
        let slots: BTreeSet<Slot> = record.slots.iter().cloned().collect();
        let intent = &record.intent;
        let fee = record.charges.first().map_or(Amount::ZERO, |charge| charge.fee);
        let known = self.intents.contains_key(&intent.id);
        let signed = self.intents.entry(intent.id).or_insert_with(|| Signed {
            chain: intent.chain.clone(),
            purpose: intent.purpose,
            action: intent.action.clone(),
            common: slots.clone(),
            fee: Amount::ZERO,
            attempts: Vec::new(),
        });
        signed.common.retain(|slot| slots.contains(slot));
        let more_fee = fee.checked_sub(signed.fee).unwrap_or(Amount::ZERO);
        signed.fee = signed.fee.max(fee);
        signed.attempts.push(Attempt {
            unsigned: record.unsigned,
            tx: record.tx.clone(),
            signatures: record.signatures.clone(),
        });
        let yesterday = time.saturating_sub(DAY_SECONDS);
        while self.charges.front().is_some_and(|charge| charge.time <= yesterday) {
            self.charges.pop_front();
        }
        // Only one attempt can confirm: a replacement adds what it pays more in fees, and no amount.
        for charge in &record.charges {
            let amount = if known { Amount::ZERO } else { charge.amount };
            self.charges.push_back(DayCharge {
                time,
                intent: intent.id,
                purpose: intent.purpose,
                subject: charge.subject.clone(),
                charge: Charge { amount, fee: more_fee },
            });
        }
    }

    /// How `intent` over `slots`, with bytes of the hash `unsigned`, stands to the past.
    #[must_use]
    pub(crate) fn precedent(
        &self,
        intent: &Intent,
        slots: &[Slot],
        unsigned: &[u8; 32],
    ) -> Precedent<'_> {
        let signed = self.intents.get(&intent.id);
        if let Some(signed) = signed {
            let same = signed.chain == intent.chain
                && signed.purpose == intent.purpose
                && signed.action == intent.action;
            if !same {
                return Precedent::Conflict("this intent was signed for something else".to_owned());
            }
            if let Some(attempt) = signed.attempts.iter().find(|old| old.unsigned == *unsigned) {
                return Precedent::Same(&attempt.tx, &attempt.signatures);
            }
            if !slots.iter().any(|slot| signed.common.contains(slot)) {
                return Precedent::Conflict(
                    "this intent was signed over other slots: both transactions could confirm"
                        .to_owned(),
                );
            }
        }
        let taken = slots.iter().find_map(|slot| {
            let owner = self.slots.get(slot)?;
            (*owner != intent.id).then(|| format!("the {slot} was signed for intent {owner}"))
        });
        match (taken, signed) {
            (Some(reason), _) => Precedent::Conflict(reason),
            (None, Some(_)) => Precedent::Replacement,
            (None, None) => Precedent::New,
        }
    }

    /// True when the intent was cancelled.
    #[must_use]
    pub(crate) fn is_cancelled(&self, intent: IntentId) -> bool {
        self.cancelled.contains(&intent)
    }

    /// True when anything was signed for the intent.
    #[must_use]
    pub(crate) fn is_signed(&self, intent: IntentId) -> bool {
        self.intents.contains_key(&intent)
    }

    /// True when an attempt at `intent` has this id.
    #[must_use]
    pub(crate) fn has_tx(&self, intent: IntentId, tx: &TxId) -> bool {
        let signed = self.intents.get(&intent);
        signed.is_some_and(|signed| signed.attempts.iter().any(|attempt| attempt.tx == *tx))
    }

    /// What other intents than `intent` were signed for in the 24 hours before `now`.
    ///
    /// # Errors
    /// [`AmountError`] when the sum leaves 128 bits.
    pub(crate) fn charged(
        &self,
        now: u64,
        intent: IntentId,
        purpose: Purpose,
        subject: &str,
    ) -> Result<Charge, AmountError> {
        let since = now.saturating_sub(DAY_SECONDS);
        let of_today = self.charges.iter().rev().take_while(|charge| charge.time > since);
        of_today
            .filter(|charge| charge.intent != intent)
            .filter(|charge| charge.purpose == purpose && charge.subject == subject)
            .try_fold(Charge::default(), |sum, more| {
                Ok(Charge {
                    amount: sum.amount.checked_add(more.charge.amount)?,
                    fee: sum.fee.checked_add(more.charge.fee)?,
                })
            })
    }

    /// The key of an address that was given out.
    #[must_use]
    pub(crate) fn own_key(&self, address: &Address) -> Option<KeyPath> {
        self.issued.get(&(address.chain().clone(), address.as_str().to_owned())).copied()
    }

    /// Every address that was given out.
    pub(crate) fn issued(&self) -> impl Iterator<Item = (&ChainId, &str, KeyPath)> {
        self.issued.iter().map(|((chain, text), key)| (chain, text.as_str(), *key))
    }

    /// The freeze that covers one of `assets` (all of them when it names none) and one of `accounts`.
    #[must_use]
    pub(crate) fn frozen<'a>(
        &'a self,
        assets: &[chain_core::AssetId],
        accounts: &[u32],
    ) -> Option<&'a FreezeRequest> {
        self.freezes.iter().find(|freeze| {
            freeze.asset.as_ref().is_none_or(|asset| assets.contains(asset))
                && freeze.account.is_none_or(|account| accounts.contains(&account))
        })
    }

    /// Everything that is frozen.
    #[must_use]
    pub(crate) fn freezes(&self) -> &[FreezeRequest] {
        &self.freezes
    }

    /// The checkpoints of a log that were signed, by size.
    #[must_use]
    pub(crate) fn checkpoints(&self, origin: &str) -> Option<&BTreeMap<u64, [u8; 32]>> {
        self.checkpoints.get(origin)
    }

    /// True when the checkpoint that `commitment` names was signed here.
    #[must_use]
    pub(crate) fn signed_checkpoint(&self, commitment: &AnchorCommitment) -> bool {
        let sha256 = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        self.checkpoints.iter().any(|(origin, roots)| {
            sha256(origin) == commitment.origin
                && roots.get(&commitment.size).is_some_and(|root| {
                    custody::note::checkpoint_text(origin, commitment.size, root)
                        .is_ok_and(|text| sha256(&text) == commitment.checkpoint)
                })
        })
    }

    /// True when the operator reconciled the loss of the journal that `head` is a place of.
    #[must_use]
    pub(crate) fn forgives(&self, head: &JournalHead) -> bool {
        self.forgiven.contains(head)
    }
}

/// True when two freezes are of the same asset and account.
fn same_target(one: &FreezeRequest, other: &FreezeRequest) -> bool {
    one.asset == other.asset && one.account == other.account
}
