//! Texts for people, in English and Chinese, by message id (Fluent).

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use jiff::civil::Date;
use serde::Serialize;

use crate::{LoanError, Money};

/// The languages of the built-in texts.
pub const LANGUAGES: [&str; 2] = ["en", "zh"];

/// The templates of reminders, by the ids that a ladder names.
pub const TEMPLATES: [&str; 4] = ["before-due", "due-today", "overdue", "overdue-help"];

/// The texts of one language.
pub struct Messages {
    bundle: FluentBundle<FluentResource>,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Messages").field("locales", &self.bundle.locales).finish()
    }
}

/// A reminder as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// The text, with all ways to pay and to ask for a deferral.
    pub body: String,
}

/// What a reminder says.
#[derive(Clone, Debug)]
pub struct LetterFacts<'a> {
    /// How the borrower knows the loan.
    pub loan: &'a str,
    /// What is due.
    pub amount: Money,
    /// Its currency.
    pub currency: &'a str,
    /// Since or on when.
    pub due: Date,
    /// Days past that; negative before.
    pub days: i64,
}

impl Messages {
    /// The texts of a language.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for a language without texts.
    pub fn new(language: &str) -> Result<Self, LoanError> {
        let (tag, text) = match language {
            "en" => ("en", include_str!("en.ftl")),
            "zh" => ("zh-CN", include_str!("zh.ftl")),
            _ => return Err(LoanError::Terms("language")),
        };
        let tag = tag.parse().map_err(|_| LoanError::Terms("language"))?;
        let mut bundle = FluentBundle::new(vec![tag]);
        bundle.set_use_isolating(false);
        let resource = FluentResource::try_new(text.to_owned());
        let resource = resource.map_err(|_| LoanError::Terms("message file"))?;
        bundle.add_resource(resource).map_err(|_| LoanError::Terms("message file"))?;
        Ok(Self { bundle })
    }

    /// The text with this id and these arguments.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for an unknown id or a missing argument: half a sentence is not sent.
    pub fn text(&self, id: &str, arguments: &[(&str, &str)]) -> Result<String, LoanError> {
        let mut values = FluentArgs::new();
        for (name, value) in arguments {
            values.set(*name, FluentValue::from(*value));
        }
        self.format(id, &values)
    }

    fn format(&self, id: &str, values: &FluentArgs<'_>) -> Result<String, LoanError> {
        let message = self.bundle.get_message(id).and_then(|message| message.value());
        let pattern = message.ok_or(LoanError::Terms("message id"))?;
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(values), &mut errors).into_owned();
        errors.is_empty().then_some(text).ok_or(LoanError::Terms("message argument"))
    }

    /// The words around a letter that has a link by which its reader stops all of them.
    ///
    /// # Errors
    /// [`LoanError::Terms`] when the texts lack it.
    pub fn stop_line(&self, link: &str) -> Result<String, LoanError> {
        self.text("stop-line", &[("link", link)])
    }

    /// The notice of an offer to a borrower whose loan shows early signs of trouble.
    ///
    /// # Errors
    /// [`LoanError::Terms`] when the texts lack it.
    pub fn offer(&self, loan: &str, until: Date) -> Result<Letter, LoanError> {
        let until = until.to_string();
        let facts = [("loan", loan), ("until", until.as_str())];
        let (body, ways) = (self.text("offer-body", &facts)?, self.text("ways", &facts)?);
        Ok(Letter {
            subject: self.text("offer-subject", &facts)?,
            body: format!("{body}\n\n{ways}\n"),
        })
    }

    /// A reminder by its template's id.
    ///
    /// # Errors
    /// [`LoanError::Terms`] for an unknown template.
    pub fn letter(&self, template: &str, facts: &LetterFacts<'_>) -> Result<Letter, LoanError> {
        let mut values = FluentArgs::new();
        values.set("loan", facts.loan.to_owned());
        values.set("amount", decimal_text(facts.amount, facts.currency));
        values.set("currency", facts.currency.to_owned());
        values.set("due", facts.due.to_string());
        values.set("days", facts.days);
        let body = self.format(&format!("{template}-body"), &values)?;
        let ways = self.format("ways", &values)?;
        Ok(Letter {
            subject: self.format(&format!("{template}-subject"), &values)?,
            body: format!("{body}\n\n{ways}\n"),
        })
    }
}

/// Decimal places of a currency's minor unit (ISO 4217); 2 for those not listed, 0 for what is not
/// an ISO code, so that nothing is shown smaller than it is.
#[must_use]
pub fn decimal_places(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        code if code.len() == 3 => 2,
        _ => 0,
    }
}

/// An amount as people write it: `1234567` CNY is `12345.67`.
#[must_use]
pub fn decimal_text(amount: Money, currency: &str) -> String {
    let places = decimal_places(currency);
    let sign = if amount.is_negative() { "-" } else { "" };
    let digits = amount.minor().unsigned_abs().to_string();
    if places == 0 {
        return format!("{sign}{digits}");
    }
    let width = places.saturating_add(1);
    let digits = format!("{digits:0>width$}");
    let (whole, part) = digits.split_at(digits.len().saturating_sub(places));
    format!("{sign}{whole}.{part}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::reminders::Profile;
    use jiff::civil::date;

    fn facts() -> LetterFacts<'static> {
        LetterFacts {
            loan: "L-7",
            amount: Money::new(106_619),
            currency: "CNY",
            due: date(2024, 2, 15),
            days: 1,
        }
    }

    #[test]
    fn every_template_has_both_languages_and_says_how_to_ask_for_help() {
        for language in LANGUAGES {
            let messages = Messages::new(language).unwrap();
            for name in ["cn", "eu", "us"] {
                for rung in Profile::built_in(name).unwrap().ladder {
                    let letter = messages.letter(&rung.template, &facts()).unwrap();
                    assert!(letter.body.contains("1066.19 CNY"), "{}", letter.body);
                    let deferral = if language == "en" { "deferral" } else { "延期" };
                    assert!(letter.body.contains(deferral), "{}", letter.body);
                    assert!(!letter.subject.contains('{') && !letter.body.contains('{'));
                }
            }
        }
    }

    #[test]
    fn both_languages_have_the_same_ids() {
        let ids = |text: &str| -> Vec<String> {
            let named = text.lines().filter(|line| !line.starts_with(' ') && line.contains('='));
            named.map(|line| line.split('=').next().unwrap().trim().to_owned()).collect()
        };
        assert_eq!(ids(include_str!("en.ftl")), ids(include_str!("zh.ftl")));
    }

    #[test]
    fn a_missing_argument_or_id_is_an_error() {
        let messages = Messages::new("en").unwrap();
        assert!(messages.text("statement-of", &[]).is_err());
        assert!(messages.text("no-such-id", &[]).is_err());
        assert!(Messages::new("xx").is_err());
        let one = messages.letter("overdue", &facts()).unwrap().subject;
        assert_eq!(one, "A payment on your loan is one day late");
    }

    #[test]
    fn amounts_are_written_by_their_currency() {
        assert_eq!(decimal_text(Money::new(-5), "CNY"), "-0.05");
        assert_eq!(decimal_text(Money::new(1_234_567), "JPY"), "1234567");
        assert_eq!(decimal_text(Money::new(1_234_567), "KWD"), "1234.567");
    }
}
