use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::loan::{Arrears, Event, FeeTreatment, Preview, Restructuring, preview};
use crate::terms::{Contract, InterestTreatment};
use crate::{LoanError, Money};

/// What the borrower can pay per instalment, and from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affordable {
    /// Minor units per instalment.
    pub per_instalment: Money,
    /// Instalments that cannot be paid at all first.
    pub pause: u32,
}

/// How far an offer may go, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferLimits {
    /// The most instalments to pause.
    pub pause_max: u32,
    /// The most instalments to add.
    pub extend_max: u32,
    /// What happens to interest within the pause.
    pub interest: InterestTreatment,
}

impl Default for OfferLimits {
    fn default() -> Self {
        Self { pause_max: 3, extend_max: 24, interest: InterestTreatment::Accrue }
    }
}

/// The smallest change that the borrower can afford: the pause that is needed, arrears moved to the
/// rest, and the fewest instalments added so that none of them is above what can be paid. `None`
/// when nothing within the limits is affordable; then a person has to look at it.
///
/// # Errors
/// The reasons for which any change would be refused.
pub fn affordable_offer(
    contract: &Contract,
    events: &[Event],
    loan: Uuid,
    on: Date,
    can: Affordable,
    limits: OfferLimits,
) -> Result<Option<Preview>, LoanError> {
    let pause = can.pause.min(limits.pause_max);
    let offer = |extend| {
        let change = Restructuring {
            pause,
            interest: limits.interest,
            fees: FeeTreatment::Waive,
            extend,
            arrears: Arrears::ReAge,
            ..Restructuring::default()
        };
        preview(contract, events, loan, &change, on)
    };
    for extend in 0..=limits.extend_max {
        let preview = match offer(extend) {
            Err(LoanError::TermOutOfRange) => return Ok(None),
            other => other?,
        };
        if largest(contract, events, &preview)? <= can.per_instalment {
            return Ok(Some(preview));
        }
    }
    Ok(None)
}

/// The largest instalment after the change.
fn largest(contract: &Contract, events: &[Event], preview: &Preview) -> Result<Money, LoanError> {
    let mut all = events.to_vec();
    all.push(Event {
        id: Uuid::nil(),
        seq: preview.head.saturating_add(1),
        effective: preview.effective,
        body: crate::loan::Body::Restructured { change: preview.change, preview: String::new() },
    });
    let loan = crate::loan::fold(contract, &all, preview.effective)?;
    loan.largest_payment()
}
