use uuid::Uuid;

/// Why the engine or the service refused. [`LoanError::code`] is the stable name for callers.
#[derive(Debug, thiserror::Error)]
pub enum LoanError {
    /// A result does not fit in 128 bits.
    #[error("the amounts, rates or dates are too large to compute with exactly")]
    Overflow,
    /// Not a decimal integer.
    #[error("an amount is a decimal integer in minor units without spaces or leading zeros")]
    AmountSyntax,
    /// Zero, negative or above [`crate::Money::MAX_INPUT`].
    #[error("the amount must be above zero and at most 10^17 minor units")]
    AmountOutOfRange,
    /// Not a decimal in range.
    #[error("a rate is a decimal between 0 and 10 with at most eight places")]
    RateOutOfRange,
    /// The terms contradict themselves; the text names the field.
    #[error("the terms are not usable: {0}")]
    Terms(&'static str),
    /// Fewer than one or more than 1,200 instalments.
    #[error("a loan has 1 to 1200 instalments")]
    TermOutOfRange,
    /// A business date before one that was reached.
    #[error("the business date never goes back")]
    DateGoesBack,
    /// A date outside the calendar, or no business day within reach.
    #[error("no usable date: {0}")]
    Date(&'static str),
    /// No annual rate solves the equation of the named rule.
    #[error("the annual rate of this schedule cannot be determined")]
    NoAnnualRate,
    /// A payment whose currency is not the loan's.
    #[error("the payment is in {found}, the loan in {expected}")]
    CurrencyMismatch {
        /// The loan's currency.
        expected: String,
        /// The payment's.
        found: String,
    },
    /// An event dated before the disbursement.
    #[error("the event is dated before the disbursement")]
    BeforeDisbursement,
    /// An event for a loan that is not disbursed.
    #[error("the loan is not disbursed")]
    NotDisbursed,
    /// A second disbursement.
    #[error("the loan is disbursed already")]
    AlreadyDisbursed,
    /// A reversal that names no event of the loan.
    #[error("the loan has no such event")]
    UnknownEvent,
    /// A second reversal of one event.
    #[error("the event is reversed already")]
    AlreadyReversed,
    /// Only a repayment, a fee or the last restructuring can be reversed.
    #[error("the event cannot be reversed")]
    NotReversible,
    /// Nothing is left to restructure, waive or write off.
    #[error("the loan is settled or written off")]
    Closed,
    /// More was to be forgiven than is owed.
    #[error("more would be forgiven than is owed")]
    ForgivesTooMuch,
    /// More was to be paid back than is held, or an event would leave less than was paid back.
    #[error("more would be paid back than is held for the borrower")]
    RefundsTooMuch,
    /// No such dispute of this tenant.
    #[error("no such dispute")]
    UnknownDispute,
    /// The dispute is further than this.
    #[error("the dispute is answered or resolved already")]
    DisputeClosed,
    /// The accepted preview is not what the engine computes now.
    #[error("the loan has changed since the preview; ask for a new one")]
    PreviewChanged,
    /// The borrower's signature does not fit the preview.
    #[error("the signature does not fit the preview and the borrower's key")]
    BadAcceptance,
    /// The borrower's key is no Ed25519 public key.
    #[error("the borrower's key is no Ed25519 public key")]
    BadKey,
    /// The same client id with different content.
    #[error("this id was used for another request")]
    IdReused,
    /// No such product of this tenant.
    #[error("no such loan product: {0}")]
    UnknownProduct(Uuid),
    /// No such loan of this tenant.
    #[error("no such loan: {0}")]
    UnknownLoan(Uuid),
    /// An equation of the books does not hold; nothing was changed.
    #[error("the books would not balance: {0}")]
    Conservation(&'static str),
    /// A stored value cannot be read back.
    #[error("a stored value cannot be read: {0}")]
    Stored(#[from] serde_json::Error),
}

impl LoanError {
    /// The stable code for API answers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overflow => "loan_overflow",
            Self::AmountSyntax => "loan_amount_syntax",
            Self::AmountOutOfRange => "loan_amount_out_of_range",
            Self::RateOutOfRange => "loan_rate_out_of_range",
            Self::Terms(_) => "loan_terms_invalid",
            Self::TermOutOfRange => "loan_term_out_of_range",
            Self::DateGoesBack => "loan_date_goes_back",
            Self::Date(_) => "loan_date_invalid",
            Self::NoAnnualRate => "loan_annual_rate_undefined",
            Self::CurrencyMismatch { .. } => "loan_currency_mismatch",
            Self::BeforeDisbursement => "loan_event_before_disbursement",
            Self::NotDisbursed => "loan_not_disbursed",
            Self::AlreadyDisbursed => "loan_already_disbursed",
            Self::UnknownEvent => "loan_event_unknown",
            Self::AlreadyReversed => "loan_event_already_reversed",
            Self::NotReversible => "loan_event_not_reversible",
            Self::Closed => "loan_closed",
            Self::ForgivesTooMuch => "loan_forgives_too_much",
            Self::RefundsTooMuch => "loan_refunds_too_much",
            Self::UnknownDispute => "not_found",
            Self::DisputeClosed => "loan_dispute_closed",
            Self::PreviewChanged => "loan_preview_changed",
            Self::BadAcceptance => "loan_acceptance_invalid",
            Self::BadKey => "borrower_key_invalid",
            Self::IdReused => "loan_id_reused",
            Self::UnknownProduct(_) => "loan_product_unknown",
            Self::UnknownLoan(_) => "loan_unknown",
            Self::Conservation(_) => "loan_books_unbalanced",
            Self::Stored(_) => "loan_stored_value_unreadable",
        }
    }
}
