//! What can go wrong, in the caller's words: a stable code, its HTTP status and what to do.

use api_audit::AuditError;
use api_ledger::{LedgerError, PostError, Refusal};
use api_loans::{LoanError, ServiceError};
use api_store::StoreError;
use chain_core::{AmountError, BuildError, IdError, NodeError};
use signer_protocol::SignerError;

macro_rules! catalogue {
    ($($name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// The stable codes of the API, each with its HTTP status and a title that says what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, for the catalogue in the docs.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it stands in `code` and at the end of `type`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means and what to do.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

catalogue! {
    BadRequest = "bad_request", 400, "The request cannot be read; correct it as the detail says.";
    IdempotencyKeyMissing = "idempotency_key_missing", 400, "Requests that move money need an Idempotency-Key header of 1 to 128 visible ASCII characters.";
    IdempotencyKeyBesideId = "idempotency_key_beside_id", 400, "The ids in the body or path are the keys here; send them without an Idempotency-Key, or one transfer with the key and no id.";
    InvalidAmount = "invalid_amount", 400, "An amount is a string of decimal digits in minor units, at most 128 bits.";
    ZeroAmount = "zero_amount", 400, "The amount must be at least 1 minor unit.";
    InvalidAddress = "invalid_address", 400, "The address does not belong to this network or has a bad checksum; copy it again.";
    DustAmount = "dust_amount", 400, "The chain does not carry so small an amount; send more.";
    UnknownAsset = "unknown_asset", 400, "No such asset; GET /v1/assets lists them. Ledger accounts and quotes also take every currency of ISO 4217.";
    UnknownChain = "unknown_chain", 400, "No such chain; GET /v1/chains lists them.";
    LoanAmountSyntax = "loan_amount_syntax", 400, "An amount of the terms is no decimal integer in minor units; send it as a string such as \"1250\".";
    LoanAmountOutOfRange = "loan_amount_out_of_range", 400, "A loan's amounts are above zero and at most 10^17 minor units; send one in this range.";
    LoanRateOutOfRange = "loan_rate_out_of_range", 400, "A rate or share is a string with a decimal from 0 to 10 and at most eight places; \"0.0435\" is 4.35 %.";
    LoanTermOutOfRange = "loan_term_out_of_range", 400, "A loan has 1 to 1200 instalments; send a number in this range.";
    LoanTermsInvalid = "loan_terms_invalid", 400, "The terms contradict themselves; correct the field that the detail names.";
    LoanDateInvalid = "loan_date_invalid", 400, "The date cannot be used; the detail says why.";
    LoanAnnualRateUndefined = "loan_annual_rate_undefined", 400, "No annual rate solves the equation of the named rule; ask for another rule.";
    LoanCurrencyMismatch = "loan_currency_mismatch", 400, "The payment is in another currency than the loan; pay in the loan's.";
    LoanOverflow = "loan_overflow", 400, "The amounts, rates or dates are too large to compute with exactly; send smaller ones.";
    LoanEventBeforeDisbursement = "loan_event_before_disbursement", 400, "The day is before the loan was paid out; send a later one.";
    LoanAcceptanceInvalid = "loan_acceptance_invalid", 400, "The signature is missing or does not fit the preview and the borrower's key; sign the preview's `message`.";
    BorrowerKeyInvalid = "borrower_key_invalid", 400, "The borrower's key is no Ed25519 public key; send its 32 bytes as 64 hexadecimal digits.";
    Unauthorized = "unauthorized", 401, "Send a valid API key as `Authorization: Bearer …`.";
    Forbidden = "forbidden", 403, "This API key does not have the scope that the request needs.";
    NotFound = "not_found", 404, "There is nothing of yours with this id.";
    LoanProductUnknown = "loan_product_unknown", 404, "There is no such loan product of yours; GET /v1/loan-products lists them.";
    LoanEventUnknown = "loan_event_unknown", 404, "The loan has no such event; GET /v1/loans/{id}/events lists them.";
    MethodNotAllowed = "method_not_allowed", 405, "The path exists, but not with this method; see /openapi.json.";
    IdempotencyConflict = "idempotency_conflict", 409, "The Idempotency-Key was used with another body; use a new key for a new request.";
    AlreadyExists = "already_exists", 409, "Something with this name or id exists already.";
    SameAccount = "same_account", 409, "Sender and recipient are the same.";
    InsufficientFunds = "insufficient_funds", 409, "The available balance is too small.";
    AccountManaged = "account_managed", 403, "The account is kept by the system; use the endpoint for what you want to do, or accounts of your own.";
    UnknownAccount = "unknown_account", 404, "There is no such ledger account of yours; GET /v1/ledger/accounts lists them.";
    PendingNotFound = "pending_not_found", 404, "There is no such pending transfer of yours.";
    OriginalNotFound = "original_not_found", 404, "There is no such transfer of yours to reverse.";
    AssetMismatch = "asset_mismatch", 409, "The accounts of a leg count different assets; use one leg in each asset.";
    AccountClosed = "account_closed", 409, "The account is closed for good; use another.";
    AccountFrozen = "account_frozen", 409, "The account is frozen; thaw it first.";
    AccountNotEmpty = "account_not_empty", 409, "Only an account without balance and without pending transfers can be closed.";
    BalanceOverflow = "balance_overflow", 409, "A balance would not fit in 128 bits.";
    VelocityExceeded = "velocity_exceeded", 409, "The account's limit for a window of time is used up; try again later or raise it.";
    TransferIdConflict = "transfer_id_conflict", 409, "The id was used for another transfer; use a new id for a new transfer.";
    PendingExpired = "pending_expired", 409, "The pending transfer's time was over; its money is free again.";
    PendingNotExpired = "pending_not_expired", 409, "The pending transfer's time is not over.";
    PendingAlreadyPosted = "pending_already_posted", 409, "The pending transfer was posted before.";
    PendingAlreadyVoided = "pending_already_voided", 409, "The pending transfer was voided before.";
    NotReversible = "not_reversible", 409, "Only a transfer that moved money can be reversed.";
    AlreadyReversed = "already_reversed", 409, "The transfer was reversed before.";
    TooLate = "too_late", 409, "The request came after its time, for example with a quote that has run out; get a new quote.";
    GroupRefused = "group_refused", 409, "Another transfer of the same group was refused, so none of them was posted.";
    NoHistory = "no_history", 409, "The account keeps no history, so it has only the present balance and no limits.";
    ChartTooWide = "chart_too_wide", 409, "That part of the chart has too many places; ask for a smaller part of it.";
    EventCursorLost = "event_cursor_lost", 409, "What you read at this place of your events is not there: the server's database was set back to an older state. Compare your state with the lists, then read on from the last place that the detail names.";
    WebhooksDisabled = "webhooks_disabled", 409, "This server has no [webhooks] with keys for secrets in its configuration; ask its operator.";
    InvalidState = "invalid_state", 409, "This is not possible in the present state; the detail says why.";
    LegalHold = "legal_hold", 409, "The person's data is under legal hold and cannot be erased; lift the hold first.";
    Erased = "erased", 409, "The person's data was erased; nothing personal can be recorded under this subject again.";
    LoanNotDisbursed = "loan_not_disbursed", 409, "The loan is not paid out yet; send a day after it is.";
    LoanAlreadyDisbursed = "loan_already_disbursed", 409, "The loan is paid out already.";
    LoanDateGoesBack = "loan_date_goes_back", 409, "The business date never goes back; send a later one.";
    LoanEventAlreadyReversed = "loan_event_already_reversed", 409, "The event was taken back already.";
    LoanEventNotReversible = "loan_event_not_reversible", 409, "Only a repayment, a fee, a waiver, or the last change or write-off can be taken back.";
    LoanClosed = "loan_closed", 409, "The loan is settled or written off; nothing is left to change.";
    LoanRefundsTooMuch = "loan_refunds_too_much", 409, "More would be paid back than is held for the borrower; GET /v1/loans/{id} shows what is.";
    LoanDisputeClosed = "loan_dispute_closed", 409, "The dispute is answered or resolved already; open a new one.";
    LoanForgivesTooMuch = "loan_forgives_too_much", 409, "More would be forgiven than is owed; GET /v1/loans/{id} shows what is.";
    LoanPreviewChanged = "loan_preview_changed", 409, "The loan has changed since the preview; ask for a new one and let the borrower sign that.";
    LoanIdReused = "loan_id_reused", 409, "The name or id was used for another request; use a new one.";
    LoanQuoteChanged = "loan_quote_changed", 409, "The loan has changed since the quote; ask for a new one.";
    LoanQuoteExpired = "loan_quote_expired", 409, "The quote is not valid any more; ask for a new one.";
    RateUnknown = "rate_unknown", 409, "The operator has set no valid rate for this pair; try again later or pay in the loan's currency.";
    NotAnchored = "not_anchored", 409, "The record is not anchored yet; try again later.";
    BodyTooLarge = "body_too_large", 413, "The request body is larger than this server accepts.";
    UnsupportedMediaType = "unsupported_media_type", 415, "Send JSON with the header Content-Type: application/json.";
    Unprocessable = "unprocessable", 422, "The body is JSON but not what this endpoint takes; the detail names the field.";
    InvalidUrl = "invalid_url", 422, "The URL must be https, on the public internet, without credentials.";
    LegCount = "leg_count", 422, "A transfer has 1 to 100 legs.";
    InvalidText = "invalid_text", 422, "code has up to 64 bytes, reference up to 256, without control characters.";
    InvalidDate = "invalid_date", 422, "A date or timeout is not valid or out of range; dates are YYYY-MM-DD.";
    PendingAmounts = "pending_amounts", 422, "Give an amount for each leg of the pending transfer, none above what is reserved, not all zero.";
    ReservedId = "reserved_id", 422, "Ids that begin with ffffffff are reserved; use another.";
    TooManyTransfers = "too_many_transfers", 422, "At most 8190 transfers in one request.";
    Internal = "internal", 500, "The server failed; send the same request again with the same Idempotency-Key.";
    Busy = "busy", 503, "More transfers wait than the server takes on, and nothing of this request was done; send it again after the seconds in Retry-After.";
    Unavailable = "unavailable", 503, "A part that is needed does not answer; send the same request again later.";
}

/// A refusal that the caller can understand.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {detail}", code.text())]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What is wrong with this request.
    pub detail: String,
    /// Which of a transfer's legs, from zero.
    pub(crate) leg: Option<u32>,
}

impl Failure {
    /// A refusal with a detail of its own.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), leg: None }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, code.title())
    }
}

/// Why a request or a job did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's turn.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Ours: logged once with a request id, and never shown.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// The refusal with this code and detail.
    pub fn refuse(code: Code, detail: impl Into<String>) -> Self {
        Self::Failure(Failure::new(code, detail))
    }

    /// An internal error.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::Failure(code.into())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if passes(&error) { Code::Unavailable.into() } else { Self::internal(error) }
    }
}

/// True when the same request may find the way free later: two transactions stood in each other's
/// way, or the database cannot work at present.
fn passes(error: &StoreError) -> bool {
    if error.is_unavailable() {
        tracing::error!(%error, "the database does not work");
    }
    error.is_retryable() || error.is_unavailable()
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        let code = match error {
            AuditError::NoSuchRecord(_) => {
                // The same words for what is not there and what is another's.
                return Self::refuse(
                    Code::NotFound,
                    "there is no audit record of yours with this id",
                );
            }
            AuditError::Store(error) => return error.into(),
            AuditError::NotYet(_) => Code::NotAnchored,
            AuditError::OutOfRange { .. } => Code::BadRequest,
            AuditError::LegalHold { .. } => Code::LegalHold,
            AuditError::Erased(_) => Code::Erased,
            AuditError::Record(_) => Code::Unprocessable,
            AuditError::ExternalIdUsed { .. } => Code::AlreadyExists,
            error => return Self::internal(error),
        };
        Self::refuse(code, error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format!("JSON: {error}"))
    }
}

impl From<AmountError> for Error {
    fn from(error: AmountError) -> Self {
        Self::refuse(Code::InvalidAmount, error.to_string())
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        let code = match error {
            IdError::Address { .. } => Code::InvalidAddress,
            IdError::Chain(_) => Code::UnknownChain,
            IdError::Asset(_) => Code::UnknownAsset,
        };
        Self::refuse(code, error.to_string())
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Busy => Self::refuse(Code::Busy, error.to_string()),
            LedgerError::Stopped => Self::refuse(Code::Unavailable, error.to_string()),
            LedgerError::UnknownAccount => Code::NotFound.into(),
            LedgerError::Store(error) if passes(&error) => Code::Unavailable.into(),
            LedgerError::AccountConflict(_) => Self::refuse(Code::AlreadyExists, error.to_string()),
            LedgerError::AccountText => Self::refuse(Code::Unprocessable, error.to_string()),
            LedgerError::NotEmpty => Code::AccountNotEmpty.into(),
            LedgerError::NoHistory => Code::NoHistory.into(),
            LedgerError::TooMany => Code::TooManyTransfers.into(),
            LedgerError::ChartTooWide => Code::ChartTooWide.into(),
            LedgerError::CursorLost { .. } => {
                Self::refuse(Code::EventCursorLost, error.to_string())
            }
            error => Self::internal(error),
        }
    }
}

impl From<PostError> for Error {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused(refusal) => refusal.into(),
            PostError::Ledger(error) => error.into(),
        }
    }
}

impl Failure {
    /// The ledger's refusal under its own code.
    pub(crate) fn of_ledger(refusal: &Refusal) -> Self {
        let leg = refusal.leg();
        Self { leg, ..Self::new(Code::of_ledger(refusal), refusal.to_string()) }
    }
}

impl Code {
    /// After how many seconds the same request is worth sending again.
    pub(crate) const fn retry_after_secs(self) -> Option<u16> {
        match self {
            Self::Busy => Some(1),
            Self::Unavailable => Some(5),
            _ => None,
        }
    }

    /// The code of the same name.
    pub(crate) fn of_ledger(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::AtLeg { cause, .. } => Self::of_ledger(cause),
            Refusal::UnknownAccount => Self::UnknownAccount,
            Refusal::AccountManaged => Self::AccountManaged,
            Refusal::ReservedId => Self::ReservedId,
            Refusal::AssetMismatch => Self::AssetMismatch,
            Refusal::ZeroAmount => Self::ZeroAmount,
            Refusal::SameAccount => Self::SameAccount,
            Refusal::LegCount => Self::LegCount,
            Refusal::InvalidText => Self::InvalidText,
            Refusal::InvalidDate => Self::InvalidDate,
            Refusal::AccountClosed => Self::AccountClosed,
            Refusal::AccountFrozen => Self::AccountFrozen,
            Refusal::InsufficientFunds => Self::InsufficientFunds,
            Refusal::BalanceOverflow => Self::BalanceOverflow,
            Refusal::VelocityExceeded => Self::VelocityExceeded,
            Refusal::IdConflict => Self::TransferIdConflict,
            Refusal::PendingNotFound => Self::PendingNotFound,
            Refusal::PendingExpired => Self::PendingExpired,
            Refusal::PendingNotExpired => Self::PendingNotExpired,
            Refusal::PendingAlreadyPosted => Self::PendingAlreadyPosted,
            Refusal::PendingAlreadyVoided => Self::PendingAlreadyVoided,
            Refusal::PendingAmounts => Self::PendingAmounts,
            Refusal::OriginalNotFound => Self::OriginalNotFound,
            Refusal::NotReversible => Self::NotReversible,
            Refusal::AlreadyReversed => Self::AlreadyReversed,
            Refusal::TooLate => Self::TooLate,
            Refusal::GroupRefused(_) => Self::GroupRefused,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.cause() {
            Refusal::InsufficientFunds => Code::InsufficientFunds,
            Refusal::ZeroAmount => Code::ZeroAmount,
            Refusal::SameAccount => Code::SameAccount,
            Refusal::UnknownAccount => Code::NotFound,
            Refusal::BalanceOverflow => Code::InvalidAmount,
            Refusal::IdConflict => Code::IdempotencyConflict,
            _ => Code::InvalidState,
        };
        Self::refuse(code, refusal.to_string())
    }
}

impl From<LoanError> for Error {
    fn from(error: LoanError) -> Self {
        let code = match error {
            LoanError::Overflow => Code::LoanOverflow,
            LoanError::AmountSyntax => Code::LoanAmountSyntax,
            LoanError::AmountOutOfRange => Code::LoanAmountOutOfRange,
            LoanError::RateOutOfRange => Code::LoanRateOutOfRange,
            LoanError::Terms(_) => Code::LoanTermsInvalid,
            LoanError::TermOutOfRange => Code::LoanTermOutOfRange,
            LoanError::Date(_) => Code::LoanDateInvalid,
            LoanError::DateGoesBack => Code::LoanDateGoesBack,
            LoanError::NoAnnualRate => Code::LoanAnnualRateUndefined,
            LoanError::CurrencyMismatch { .. } => Code::LoanCurrencyMismatch,
            LoanError::BeforeDisbursement => Code::LoanEventBeforeDisbursement,
            LoanError::NotDisbursed => Code::LoanNotDisbursed,
            LoanError::AlreadyDisbursed => Code::LoanAlreadyDisbursed,
            LoanError::UnknownEvent => Code::LoanEventUnknown,
            LoanError::AlreadyReversed => Code::LoanEventAlreadyReversed,
            LoanError::NotReversible => Code::LoanEventNotReversible,
            LoanError::Closed => Code::LoanClosed,
            LoanError::ForgivesTooMuch => Code::LoanForgivesTooMuch,
            LoanError::RefundsTooMuch => Code::LoanRefundsTooMuch,
            LoanError::DisputeClosed => Code::LoanDisputeClosed,
            LoanError::UnknownDispute => {
                return Self::refuse(Code::NotFound, "there is no dispute of yours with this id");
            }
            LoanError::PreviewChanged => Code::LoanPreviewChanged,
            LoanError::BadAcceptance => Code::LoanAcceptanceInvalid,
            LoanError::BadKey => Code::BorrowerKeyInvalid,
            LoanError::IdReused => Code::LoanIdReused,
            LoanError::UnknownProduct(_) => Code::LoanProductUnknown,
            // In the words of every other id that names nothing of the caller's.
            LoanError::UnknownLoan(_) => {
                return Self::refuse(Code::NotFound, "there is no loan of yours with this id");
            }
            LoanError::Conservation(_) | LoanError::Stored(_) => return Self::internal(error),
        };
        Self::refuse(code, error.to_string())
    }
}

impl From<ServiceError> for Error {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Loan(error) => error.into(),
            ServiceError::Refused(refusal) => refusal.into(),
            ServiceError::Ledger(error) => error.into(),
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        let code = match error {
            BuildError::Id(ref id) => return id.clone().into(),
            BuildError::Amount(_) => Code::InvalidAmount,
            BuildError::Zero => Code::ZeroAmount,
            BuildError::Dust { .. } => Code::DustAmount,
            BuildError::Insufficient { .. } | BuildError::FeeOverCap { .. } => Code::InvalidState,
            BuildError::Unsupported(_) => Code::BadRequest,
            BuildError::Malformed(_) | BuildError::BadSignature(_) => return Self::internal(error),
        };
        Self::refuse(code, error.to_string())
    }
}

impl From<NodeError> for Error {
    fn from(error: NodeError) -> Self {
        Self::refuse(Code::Unavailable, error.to_string())
    }
}

impl From<SignerError> for Error {
    fn from(error: SignerError) -> Self {
        Self::refuse(Code::Unavailable, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    #[test]
    fn codes_are_unique_and_say_what_to_do() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..=599).contains(&code.status()), "{}", code.text());
            assert!(code.title().ends_with('.'), "{}", code.text());
        }
    }
}
