use chain_core::{
    Action, Address, AssetId, BuildError, ChainId, Intent, KeyedAddress, Signature, TxSummary,
    UnsignedTx,
};
use custody::policy::{Charged, Denied, Request};
use sha2::{Digest, Sha256};
use signer_protocol::{Refusal, RefusalCode, SignRequest, Signed};

use crate::engine::{Engine, Past, refuse, unavailable};
use crate::record::{ChargeRecord, Record, SignedRecord};
use crate::state::Precedent;

impl Engine {
    /// Signs a transaction, if everything about it is as it must be. The signature leaves only when
    /// the journal's record of it is on the disk.
    pub(crate) fn sign(&mut self, request: &SignRequest) -> Result<Signed, Refusal> {
        self.check_journal()?;
        let SignRequest { intent, unsigned } = request;
        if self.state.is_cancelled(intent.id) {
            let detail = "it was cancelled before it was signed".to_owned();
            return refuse(RefusalCode::Cancelled, detail);
        }
        let summary = self.read(intent, unsigned)?;
        self.check_frozen(intent, unsigned)?;
        let digest = digest(unsigned)?;
        match self.state.precedent(intent, &summary.slots, &digest) {
            Precedent::Same(tx, signatures) => {
                let (tx, signatures) = (tx.clone(), signatures.to_vec());
                return Ok(Signed { signatures, tx, journal: self.head() });
            }
            Precedent::Conflict(reason) => return refuse(RefusalCode::Conflict, reason),
            Precedent::New | Precedent::Replacement => {}
        }
        let charges = self.permit(intent, unsigned, &summary)?;
        let (signatures, tx) = self.make(unsigned)?;
        if self.state.has_tx(intent.id, &tx) {
            // Signatures over differently told inputs of one transaction could be combined.
            return refuse(
                RefusalCode::Conflict,
                format!("{tx} was signed with other inputs told of it"),
            );
        }
        let record = SignedRecord {
            intent: intent.clone(),
            unsigned: digest,
            slots: summary.slots,
            signers: unsigned.signers.clone(),
            change: unsigned.change.clone(),
            charges: charges.into_iter().map(charge_record).collect(),
            signatures: signatures.clone(),
            tx: tx.clone(),
            imported: false,
        };
        let journal = self.record(Record::Signed(Box::new(record)))?;
        tracing::info!(intent = %intent.id, purpose = %intent.purpose, %tx, "signed");
        Ok(Signed { signatures, tx, journal })
    }

    /// Reads the bytes and refuses unless they do what the intent says, with our keys alone.
    pub(crate) fn read(
        &self,
        intent: &Intent,
        unsigned: &UnsignedTx,
    ) -> Result<TxSummary, Refusal> {
        if intent.chain != unsigned.chain {
            return mismatch("intent and transaction name different chains");
        }
        check_addresses(&intent.chain, &intent.action)?;
        self.check_keys(unsigned)?;
        let summary = chain_families::describe(unsigned).map_err(unreadable)?;
        if summary.chain != intent.chain {
            return mismatch(&format!("the bytes are for {}", summary.chain));
        }
        if summary.action != intent.action {
            return mismatch("the bytes do something else than the intent says");
        }
        if summary.fee_max > intent.fee_max {
            return mismatch(&format!(
                "the bytes may cost {}, over the intent's cap of {}",
                summary.fee_max, intent.fee_max
            ));
        }
        if summary.slots.is_empty() {
            return mismatch("the bytes take no slot, so they could confirm twice");
        }
        let ours =
            |address: &Address| unsigned.change.iter().any(|change| change.address == *address);
        if !summary.change.iter().all(|(address, _)| ours(address)) {
            return mismatch("change goes to an address that is not named");
        }
        Ok(summary)
    }

    fn check_keys(&self, unsigned: &UnsignedTx) -> Result<(), Refusal> {
        if unsigned.signers.is_empty() {
            return refuse(RefusalCode::BadRequest, "nobody is to sign".to_owned());
        }
        unsigned.signers.iter().chain(&unsigned.change).try_for_each(|named| {
            if self.derive(&unsigned.chain, named.key)? == named.address {
                Ok(())
            } else {
                refuse(
                    RefusalCode::KeyMismatch,
                    format!("{} is not the address of {}", named.address, named.key),
                )
            }
        })
    }

    fn check_frozen(&self, intent: &Intent, unsigned: &UnsignedTx) -> Result<(), Refusal> {
        let assets: Vec<AssetId> = match &intent.action {
            Action::Pay { payments } => {
                payments.iter().map(|payment| payment.asset.clone()).collect()
            }
            Action::Anchor { .. }
            | Action::DeployAnchorContract
            | Action::CreateNonceAccount { .. } => vec![intent.chain.native()],
        };
        let accounts: Vec<u32> =
            unsigned.signers.iter().map(|signer| signer.key.account()).collect();
        match self.state.frozen(&assets, &accounts) {
            None => Ok(()),
            Some(freeze) => refuse(RefusalCode::Frozen, format!("it is frozen: {}", freeze.reason)),
        }
    }

    fn permit(
        &self,
        intent: &Intent,
        unsigned: &UnsignedTx,
        summary: &TxSummary,
    ) -> Result<Vec<Charged>, Refusal> {
        let policy = self.policy()?;
        let past = Past { state: &self.state, now: self.now()?, intent: intent.id };
        let (signers, change) = (&*unsigned.signers, &*unsigned.change);
        policy
            .permit(Request { intent, summary, signers, change }, &past)
            .or_else(|denied| refuse(code(&denied), denied.to_string()))
    }

    fn make(&self, unsigned: &UnsignedTx) -> Result<(Vec<Signature>, chain_core::TxId), Refusal> {
        let payloads = chain_families::payloads(unsigned).map_err(unreadable)?;
        let keys = payloads.iter().map(|payload| payload.key);
        if !keys.eq(unsigned.signers.iter().map(|signer: &KeyedAddress| signer.key)) {
            return mismatch("the signatures that are needed are not those of the signers");
        }
        let sign = |payload| self.keys.sign(&unsigned.chain, payload);
        let signatures: Vec<Signature> =
            payloads.iter().map(sign).collect::<Result<_, _>>().map_err(unavailable)?;
        let signed = chain_families::assemble(unsigned, &signatures).map_err(unreadable)?;
        Ok((signatures, signed.id))
    }
}

/// SHA-256 of the whole request's transaction: bytes, signers and change.
pub(crate) fn digest(unsigned: &UnsignedTx) -> Result<[u8; 32], Refusal> {
    let json = serde_json::to_vec(unsigned).map_err(unavailable)?;
    Ok(Sha256::digest(json).into())
}

pub(crate) fn charge_record(charged: Charged) -> ChargeRecord {
    ChargeRecord {
        subject: charged.subject,
        amount: charged.charge.amount,
        fee: charged.charge.fee,
    }
}

/// Every address and asset that is named must be of this network, and the address canonical.
fn check_addresses(chain: &ChainId, action: &Action) -> Result<(), Refusal> {
    let addresses: Vec<_> = match action {
        Action::Pay { payments } => {
            if payments.iter().any(|payment| payment.asset.chain() != chain) {
                return mismatch("an asset is of another chain");
            }
            payments.iter().map(|payment| &payment.to).collect()
        }
        Action::Anchor { contract, .. } => contract.iter().collect(),
        // Read back from the bytes and derived from the payer there.
        Action::DeployAnchorContract | Action::CreateNonceAccount { .. } => Vec::new(),
    };
    addresses.into_iter().try_for_each(|address| {
        match chain_families::check_address(chain, &address.to_unchecked()) {
            Ok(checked) if checked == *address => Ok(()),
            Ok(checked) => mismatch(&format!("write {address} as {checked}")),
            Err(error) => mismatch(&error.to_string()),
        }
    })
}

const fn code(denied: &Denied) -> RefusalCode {
    match denied {
        Denied::Rule(_) | Denied::Amount(_) => RefusalCode::Policy,
        Denied::Limit(_) => RefusalCode::Limit,
    }
}

fn mismatch<T>(detail: &str) -> Result<T, Refusal> {
    refuse(RefusalCode::IntentMismatch, detail.to_owned())
}

fn unreadable(error: BuildError) -> Refusal {
    Refusal { code: RefusalCode::BadRequest, detail: error.to_string() }
}
