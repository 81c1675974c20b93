//! Transfers as they come over the wire. What is wrong with one of many must not fail the others,
//! so accounts, amounts and days are read without refusing, and judged for each transfer.

use std::fmt;

use api_ledger::{AccountId, Leg, Transfer, TransferId};
use jiff::civil::Date;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{Code, Failure};

/// The longest 128-bit number.
const DIGITS_MAX: usize = 39;

/// The number of an account as a text; 0, which is nobody's, for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountNumber(pub(super) i64);

/// Minor units as a text; `None` when it is not 1 to 39 digits of at most 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Minor(pub(super) Option<u128>);

fn is_number(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl AccountNumber {
    fn read(text: &str) -> Self {
        let number = Some(text).filter(|text| is_number(text));
        Self(number.and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

impl Minor {
    fn read(text: &str) -> Self {
        Self(Some(text).filter(|text| is_number(text)).and_then(|text| text.parse().ok()))
    }

    /// The amount, or its refusal.
    pub(super) fn get(self) -> Result<u128, Failure> {
        self.0.ok_or_else(|| Code::InvalidAmount.into())
    }
}

struct Text<T>(fn(&str) -> T);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string of decimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

impl<'de> Deserialize<'de> for AccountNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::read))
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::read))
    }
}

/// One movement: seen from a credit-normal account, being debited is paying.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LegIn {
    /// The account that is debited.
    #[schema(value_type = String, example = "17")]
    debit: AccountNumber,
    /// The account that is credited; it counts the same asset.
    #[schema(value_type = String, example = "18")]
    credit: AccountNumber,
    /// Minor units.
    #[schema(value_type = String, example = "1000")]
    amount: Minor,
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindIn {
    /// Moves `legs` at once.
    #[default]
    Transfer,
    /// Reserves `legs`, for `timeout_secs` seconds at most.
    Pending,
    /// Moves what the pending transfer `target` reserved: all of it, or `amounts`.
    PostPending,
    /// Releases what the pending transfer `target` reserved.
    VoidPending,
    /// Moves back what `target` moved.
    Reversal,
}

/// A transfer to be posted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferIn {
    /// 128 bits that you make, as a UUID; best of version 7. The same id with the same body is
    /// answered with the first result, with another body it is a conflict.
    id: Option<Uuid>,
    /// `transfer` when absent.
    #[serde(default)]
    kind: KindIn,
    /// 1 to 100 movements, all or none, for the kinds `transfer` and `pending`.
    #[serde(default)]
    legs: Vec<LegIn>,
    /// The earlier transfer, for the other kinds.
    target: Option<Uuid>,
    /// For `post_pending`: how much of each leg; the rest is released.
    #[schema(value_type = Option<Vec<String>>)]
    amounts: Option<Vec<Minor>>,
    /// For `pending`: after so many seconds, at least 1, it can no longer be posted; never when absent.
    timeout_secs: Option<u32>,
    /// The kind of business, up to 64 bytes.
    #[serde(default)]
    code: String,
    /// The business document, up to 256 bytes.
    #[serde(default)]
    reference: String,
    /// The day that it counts for, `YYYY-MM-DD`; the day of recording (UTC) when absent.
    effective_on: Option<String>,
}

impl TransferIn {
    /// The client's id.
    pub(super) const fn id(&self) -> Option<Uuid> {
        self.id
    }

    /// The transfer under this id, on behalf of the client.
    pub(super) fn read(self, tenant: Uuid, id: Uuid) -> Result<Transfer, Failure> {
        let transfer = self.action(tenant, TransferId::new(id))?;
        let mut transfer = transfer.by_client();
        transfer.effective_on = self.effective_on.as_deref().map(read_day).transpose()?;
        transfer.code = self.code;
        transfer.reference = self.reference;
        Ok(transfer)
    }

    fn action(&self, tenant: Uuid, id: TransferId) -> Result<Transfer, Failure> {
        self.check_fields()?;
        let tenant = tenant.into();
        let target = || {
            let target = self.target.ok_or_else(|| unfit("target is missing"));
            target.map(TransferId::new)
        };
        Ok(match self.kind {
            KindIn::Transfer => Transfer::new(tenant, id, self.legs()?),
            KindIn::Pending => Transfer::pending(tenant, id, self.legs()?, self.timeout_secs),
            KindIn::PostPending => match &self.amounts {
                None => Transfer::post_pending(tenant, id, target()?),
                Some(amounts) => {
                    let amounts =
                        amounts.iter().map(|amount| amount.get()).collect::<Result<_, _>>()?;
                    Transfer::post_pending_part(tenant, id, target()?, amounts)
                }
            },
            KindIn::VoidPending => Transfer::void_pending(tenant, id, target()?),
            KindIn::Reversal => Transfer::reverse(tenant, id, target()?),
        })
    }

    fn check_fields(&self) -> Result<(), Failure> {
        let moves = matches!(self.kind, KindIn::Transfer | KindIn::Pending);
        if moves && self.target.is_some() {
            return Err(unfit("target does not go with this kind of transfer"));
        }
        if !moves && !self.legs.is_empty() {
            return Err(unfit("legs do not go with this kind of transfer"));
        }
        if self.kind != KindIn::Pending && self.timeout_secs.is_some() {
            return Err(unfit("timeout_secs goes with pending transfers alone"));
        }
        if self.kind != KindIn::PostPending && self.amounts.is_some() {
            return Err(unfit("amounts go with post_pending alone"));
        }
        Ok(())
    }

    fn legs(&self) -> Result<Vec<Leg>, Failure> {
        let leg = |leg: &LegIn| {
            Ok(Leg {
                debit: AccountId::new(leg.debit.0),
                credit: AccountId::new(leg.credit.0),
                amount: leg.amount.get()?,
            })
        };
        self.legs.iter().map(leg).collect()
    }
}

fn unfit(detail: &str) -> Failure {
    Failure::new(Code::Unprocessable, detail)
}

/// A day as `YYYY-MM-DD`.
pub(super) fn read_day(text: &str) -> Result<Date, Failure> {
    // The parser takes more than this form.
    let date = Some(text).filter(|text| text.len() == "YYYY-MM-DD".len());
    date.and_then(|text| text.parse().ok()).ok_or_else(|| Code::InvalidDate.into())
}

/// What became of a transfer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultView {
    /// The client's id.
    pub(super) id: Uuid,
    /// `executed` now, `already_applied` by an earlier request with the same id and body, or `refused`.
    pub(super) status: &'static str,
    /// Its place in the books; grows along each account's history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<String>,
    /// When it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recorded_at: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// Which of several legs was refused, from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) leg: Option<u32>,
}

impl ResultView {
    pub(super) fn posted(posted: &api_ledger::Posted) -> Self {
        let executed = posted.outcome == api_ledger::Outcome::Executed;
        Self {
            id: posted.id.get(),
            status: if executed { "executed" } else { "already_applied" },
            seq: Some(posted.seq.to_string()),
            recorded_at: Some(posted.recorded_at.to_string()),
            code: None,
            detail: None,
            leg: None,
        }
    }

    pub(super) fn refused(id: Uuid, failure: Failure) -> Self {
        Self {
            id,
            status: "refused",
            seq: None,
            recorded_at: None,
            code: Some(failure.code.text()),
            detail: Some(failure.detail),
            leg: failure.leg,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(json: &str) -> Result<Transfer, Code> {
        let transfer: TransferIn = serde_json::from_str(json).unwrap();
        transfer.read(Uuid::from_u128(1), Uuid::from_u128(2)).map_err(|failure| failure.code)
    }

    #[test]
    fn a_refusal_says_which_leg() {
        let cause = Box::new(api_ledger::Refusal::InsufficientFunds);
        let refusal = api_ledger::Refusal::AtLeg { leg: 2, cause };
        let view = ResultView::refused(Uuid::from_u128(1), Failure::of_ledger(&refusal));
        let json = serde_json::to_value(view).unwrap();
        assert_eq!(json["leg"], 2);
        assert_eq!(json["code"], "insufficient_funds");
        assert_eq!(json["detail"], "leg 2: insufficient funds");
        let failure = Failure::of_ledger(&api_ledger::Refusal::InsufficientFunds);
        let json = serde_json::to_value(ResultView::refused(Uuid::nil(), failure)).unwrap();
        assert_eq!(json.get("leg"), None);
    }

    #[test]
    fn what_is_wrong_with_a_transfer_has_its_own_code() {
        let leg = |amount: &str| {
            format!("{{\"legs\":[{{\"debit\":\"1\",\"credit\":\"2\",\"amount\":\"{amount}\"}}]}}")
        };
        assert!(read(&leg("340282366920938463463374607431768211455")).unwrap().by_client);
        for amount in
            ["340282366920938463463374607431768211456", "", "-1", "+1", "1.5", "1e3", " 1"]
        {
            assert_eq!(read(&leg(amount)).err(), Some(Code::InvalidAmount), "{amount:?}");
        }
        let cases = [
            (r#"{"effective_on":"2026-02-30"}"#, Code::InvalidDate),
            (r#"{"effective_on":"2026-02-03T00:00"}"#, Code::InvalidDate),
            (r#"{"kind":"reversal"}"#, Code::Unprocessable),
            (r#"{"kind":"pending","amounts":["1"]}"#, Code::Unprocessable),
            (r#"{"timeout_secs":5}"#, Code::Unprocessable),
            (r#"{"target":"00000000-0000-0000-0000-000000000001"}"#, Code::Unprocessable),
        ];
        for (json, code) in cases {
            assert_eq!(read(json).err(), Some(code), "{json}");
        }
        for json in [r#"{"legs":[{"debit":1,"credit":"2","amount":"3"}]}"#, r#"{"kid":"pending"}"#]
        {
            assert!(serde_json::from_str::<TransferIn>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_account_that_is_no_number_is_nobodys() {
        let number = |text: &str| serde_json::from_value::<AccountNumber>(text.into()).unwrap().0;
        assert_eq!(number("17"), 17);
        for text in ["", "-1", "+1", "x", "99999999999999999999", "0"] {
            assert_eq!(number(text), 0, "{text:?}");
        }
    }
}
