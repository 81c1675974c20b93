use api_loans::reminders::Reason;
use api_store::Tx;
use jiff::Timestamp;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::outbox::SendState;
use crate::repo::{contacts, gateways, outbox};
use crate::{Care, CareError};

/// How far the clock of a gateway may be off, by the Standard Webhooks specification's advice.
const TOLERANCE_SECS: i64 = 300;
const RECEIPT_CHARS_MAX: usize = 200;

/// The headers of a signed receipt (Standard Webhooks).
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`: the same for every attempt of one receipt.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: one or more, parted by spaces.
    pub signature: &'a str,
}

/// What a gateway says about a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    /// The message's id.
    message: Uuid,
    /// What became of it.
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It has arrived.
    Delivered,
    /// It has not arrived.
    Failed,
    /// Nobody can be reached there.
    Unreachable,
}

impl Status {
    const fn text(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Whether a receipt was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It counted.
    New,
    /// It had counted before.
    Before,
}

impl Care {
    /// Takes a gateway's receipt, signed with the gateway's secret as messages to it are.
    ///
    /// # Errors
    /// [`CareError::Signature`] for an unknown gateway, a signature that does not fit or a time that
    /// is off by more than five minutes; [`CareError::Refused`] for a body that cannot be read;
    /// [`CareError::Missing`] for a message that did not leave through this gateway.
    pub async fn take_receipt(
        &self,
        tx: &mut Tx,
        gateway: Uuid,
        signed: Signed<'_>,
        body: &[u8],
    ) -> Result<Counted, CareError> {
        let gateway = gateways::by_id(tx, gateway).await?.ok_or(CareError::Signature)?;
        verify(&self.secret(&gateway)?, signed, body)?;
        let receipt: Receipt = serde_json::from_slice(body).map_err(|_| {
            CareError::Refused("a receipt has message and status: delivered, failed or unreachable")
        })?;
        let found = outbox::lock(tx, receipt.message).await?;
        let own =
            found.filter(|row| row.tenant == gateway.tenant && row.channel == gateway.channel);
        let row = own.ok_or(CareError::Missing("message"))?;
        let (status, now) = (receipt.status.text(), self.now_ms());
        if !gateways::insert_receipt(tx, gateway.id, signed.id, row.id, status, now).await? {
            return Ok(Counted::Before);
        }
        // The last word stays: a receipt does not call back a message that has arrived.
        let open = [SendState::Sending, SendState::Sent, SendState::Unknown, SendState::Queued];
        if open.contains(&row.state) {
            self.apply(tx, &row, receipt.status).await?;
        }
        Ok(Counted::New)
    }

    async fn apply(
        &self,
        tx: &mut Tx,
        row: &crate::outbox::Queued,
        status: Status,
    ) -> Result<(), CareError> {
        match status {
            Status::Delivered => {
                let states = (row.state, SendState::Delivered);
                outbox::step(tx, row.id, states, row.attempts, self.now_ms(), None).await?;
            }
            Status::Failed => {
                let states = (row.state, SendState::Undelivered);
                let error = Some("the gateway could not deliver it");
                outbox::step(tx, row.id, states, row.attempts, self.now_ms(), error).await?;
            }
            Status::Unreachable => {
                contacts::mark_unusable(tx, row.tenant, row.customer, row.channel).await?;
                self.refresh(tx, row.tenant, row.customer).await?;
                self.withdraw(tx, row, Reason::Undeliverable, SendState::Undelivered).await?;
            }
        }
        self.loans.note_delivery(tx, row.tenant, row.id, status.text()).await?;
        let fields = [("status", status.text().to_owned())];
        self.record(tx, row, "reminder.receipt", &fields).await
    }
}

fn verify(secret: &api_webhooks::Secret, signed: Signed<'_>, body: &[u8]) -> Result<(), CareError> {
    let timestamp: i64 = signed.timestamp.parse().map_err(|_| CareError::Signature)?;
    let off = Timestamp::now().as_second().saturating_sub(timestamp);
    let fits = (1..=RECEIPT_CHARS_MAX).contains(&signed.id.len());
    if !fits || off.unsigned_abs() > TOLERANCE_SECS.unsigned_abs() {
        return Err(CareError::Signature);
    }
    let own = secret.sign(signed.id, timestamp, body);
    let same = |given: &str| bool::from(given.as_bytes().ct_eq(own.as_bytes()));
    signed.signature.split(' ').any(same).then_some(()).ok_or(CareError::Signature)
}
