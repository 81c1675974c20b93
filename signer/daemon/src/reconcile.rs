use anyhow::{Context as _, Result, bail, ensure};
use chain_core::Signature;
use custody::note;
use custody::policy::LOG_KEYS_MAX;
use serde::{Deserialize, Serialize};
use signer_protocol::{CheckpointRequest, JournalHead, SignRequest};

use crate::engine::Engine;
use crate::record::{ChargeRecord, Record, SignedRecord};
use crate::signing::digest;
use crate::state::Precedent;

/// One line of the server's export: something that this signer signed and may have forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Exported {
    /// A transaction, as it was asked for, and the signatures that came back.
    Signed {
        /// What was asked.
        request: Box<SignRequest>,
        /// What came back.
        signatures: Vec<Signature>,
    },
    /// A checkpoint, and the note that came back.
    Checkpoint {
        /// What was asked.
        request: CheckpointRequest,
        /// What came back.
        note: String,
    },
}

/// What was found in an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Signatures and checkpoints that the journal did not have.
    pub new: u64,
    /// Those that it had.
    pub known: u64,
}

impl Engine {
    /// Accepts that the journal's end was lost: takes in from the server's `export` what was signed
    /// since, each line verified with our own keys, and forgives the heads of the lost journal. From
    /// then on the signer signs again. Whatever the export leaves out stays unknown to sign-once and
    /// to the daily limits, which is why an operator decides this and no program.
    ///
    /// # Errors
    /// When a line does not verify, or contradicts the journal; lines before it stay imported.
    pub fn reconcile(
        &mut self,
        export: &[Exported],
        mut heads: Vec<JournalHead>,
        reason: String,
    ) -> Result<Imported> {
        let mut imported = Imported::default();
        for (index, line) in export.iter().enumerate() {
            let new = self.import(line).with_context(|| format!("line {}", index + 1))?;
            if new {
                imported.new += 1;
            } else {
                imported.known += 1;
            }
        }
        heads.extend(self.lost_mark()?);
        self.record(Record::Reconciled { heads, imported: imported.new, reason })?;
        self.trust_journal()?;
        Ok(imported)
    }

    fn import(&mut self, line: &Exported) -> Result<bool> {
        match line {
            Exported::Signed { request, signatures } => self.import_signed(request, signatures),
            Exported::Checkpoint { request, note } => self.import_checkpoint(request, note),
        }
    }

    fn import_signed(&mut self, request: &SignRequest, signatures: &[Signature]) -> Result<bool> {
        let SignRequest { intent, unsigned } = request;
        let summary = self.read(intent, unsigned)?;
        let signed = chain_families::assemble(unsigned, signatures)?;
        let unsigned_hash = digest(unsigned)?;
        match self.state.precedent(intent, &summary.slots, &unsigned_hash) {
            Precedent::Same(..) => return Ok(false),
            Precedent::Conflict(reason) => bail!("{reason}"),
            Precedent::New | Precedent::Replacement => {}
        }
        let charges = charges(intent, &summary)?;
        self.record(Record::Signed(Box::new(SignedRecord {
            intent: intent.clone(),
            unsigned: unsigned_hash,
            slots: summary.slots,
            signers: unsigned.signers.clone(),
            change: unsigned.change.clone(),
            charges,
            signatures: signatures.to_vec(),
            tx: signed.id,
            imported: true,
        })))?;
        Ok(true)
    }

    fn import_checkpoint(&mut self, request: &CheckpointRequest, given: &str) -> Result<bool> {
        let CheckpointRequest { origin, size, root } = request;
        let checkpoint = (origin.as_str(), *size, root);
        let ours = note::is_signed_here(&self.keys, LOG_KEYS_MAX, checkpoint, given)?;
        ensure!(ours, "this note was not signed here");
        let known = self.state.checkpoints(origin).and_then(|signed| signed.get(size));
        if let Some(known) = known {
            ensure!(known == root, "another root was signed at size {size}");
            return Ok(false);
        }
        self.record(Record::Checkpoint { origin: origin.clone(), size: *size, root: *root })?;
        Ok(true)
    }
}

/// What an imported signature counts for, whatever the policy says today.
fn charges(
    intent: &chain_core::Intent,
    summary: &chain_core::TxSummary,
) -> Result<Vec<ChargeRecord>> {
    let fee = summary.fee_max;
    let chain_core::Action::Pay { payments } = &intent.action else {
        let amount = chain_core::Amount::ZERO;
        return Ok(vec![ChargeRecord { subject: intent.chain.to_string(), amount, fee }]);
    };
    let mut charges: Vec<ChargeRecord> = Vec::new();
    for payment in payments {
        let subject = payment.asset.to_string();
        match charges.iter_mut().find(|charge| charge.subject == subject) {
            Some(charge) => charge.amount = charge.amount.checked_add(payment.amount)?,
            None => charges.push(ChargeRecord { subject, amount: payment.amount, fee }),
        }
    }
    Ok(charges)
}
