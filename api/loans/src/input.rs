//! Terms and changes as they come from outside: what is out of range is told apart from what has
//! another form altogether.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{LoanError, Money, Rate};

/// Why JSON from outside was refused.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A value of the right form is out of range.
    #[error(transparent)]
    Loan(#[from] LoanError),
    /// A field is missing, unknown or of another form; the text names it.
    #[error("{0}")]
    Shape(serde_json::Error),
}

/// Fields that hold a rate or a share, wherever they stand.
const RATES: [&str; 3] = ["rate", "share", "residual"];
/// Fields that hold a number of instalments.
const COUNTS: [&str; 3] = ["instalments", "pause", "extend"];
/// Objects whose fields are amounts.
const AMOUNTS: [&str; 2] = ["forgive", "amounts"];
/// Deeper than any terms are.
const DEPTH_MAX: u32 = 16;

/// Reads terms or a change from JSON.
///
/// # Errors
/// [`LoanError::RateOutOfRange`], [`LoanError::AmountSyntax`] and [`LoanError::TermOutOfRange`] for
/// values out of range, whatever else is wrong; [`InputError::Shape`] for everything else.
pub fn parse<T: DeserializeOwned>(value: Value) -> Result<T, InputError> {
    check(&value, "", DEPTH_MAX)?;
    serde_json::from_value(value).map_err(InputError::Shape)
}

fn check(value: &Value, parent: &str, depth: u32) -> Result<(), LoanError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check(item, parent, depth)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            check_field(name, field, parent)?;
            check(field, name, depth)
        }),
        _ => Ok(()),
    }
}

fn check_field(name: &str, field: &Value, parent: &str) -> Result<(), LoanError> {
    if field.is_null() {
        return Ok(());
    }
    if RATES.contains(&name) {
        let text = field.as_str().ok_or(LoanError::RateOutOfRange)?;
        return Rate::parse(text).map(drop);
    }
    if COUNTS.contains(&name) && field.is_number() {
        let count = field.as_u64().and_then(|count| u32::try_from(count).ok());
        return count.map(drop).ok_or(LoanError::TermOutOfRange);
    }
    if name == "fixed" || AMOUNTS.contains(&parent) {
        let text = field.as_str().ok_or(LoanError::AmountSyntax)?;
        return text.parse::<Money>().map(drop);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::loan::Restructuring;
    use crate::terms::Terms;

    fn terms() -> Value {
        json!({
            "currency": "EUR", "product": { "kind": "balloon", "residual": "0.2" }, "rate": "0.06",
            "steps": [{ "from_instalment": 3, "rate": "0.07" }], "day_count": "30E/360",
            "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
            "fees": { "late": { "fixed": "100", "share": "0" } },
        })
    }

    fn refusal(pointer: &str, value: Value) -> String {
        let mut terms = terms();
        *terms.pointer_mut(pointer).unwrap() = value;
        match parse::<Terms>(terms) {
            Ok(terms) => terms.check().map_or_else(|error| error.code(), |()| "").to_owned(),
            Err(InputError::Loan(error)) => error.code().to_owned(),
            Err(InputError::Shape(_)) => "shape".to_owned(),
        }
    }

    #[test]
    fn values_out_of_range_have_their_codes_and_other_forms_have_none() {
        assert_eq!(refusal("/rate", json!("0.06")), "");
        for rate in ["10.1", "-0.01", "1e-3", "0.123456789", "six", ""] {
            for place in ["/rate", "/steps/0/rate", "/product/residual", "/fees/late/share"] {
                assert_eq!(refusal(place, json!(rate)), "loan_rate_out_of_range", "{place} {rate}");
            }
        }
        assert_eq!(refusal("/rate", json!(0.06)), "loan_rate_out_of_range", "a float is no rate");
        for count in [json!(0), json!(-1), json!(1201), json!(1e30), json!(1.5)] {
            assert_eq!(refusal("/instalments", count.clone()), "loan_term_out_of_range", "{count}");
        }
        assert_eq!(refusal("/fees/late/fixed", json!("1.5")), "loan_amount_syntax");
        assert_eq!(refusal("/fees/late/fixed", json!(5)), "loan_amount_syntax");
        assert_eq!(refusal("/day_count", json!("ACT/366")), "shape");
        assert_eq!(refusal("/instalments", json!("12")), "shape");
    }

    #[test]
    fn a_change_names_its_treatments_and_nothing_else() {
        let change =
            json!({ "pause": 2, "interest": "accrue", "fees": "waive", "arrears": "keep" });
        assert_eq!(parse::<Restructuring>(change.clone()).unwrap().pause, 2);
        let code = |field: &str, value: Value| {
            let mut changed = change.clone();
            changed[field] = value;
            match parse::<Restructuring>(changed).unwrap_err() {
                InputError::Loan(error) => error.code(),
                InputError::Shape(_) => "shape",
            }
        };
        assert_eq!(code("pause", json!(-1)), "loan_term_out_of_range");
        assert_eq!(code("rate", json!("11")), "loan_rate_out_of_range");
        assert_eq!(code("forgive", json!({ "principal": "x" })), "loan_amount_syntax");
        assert_eq!(code("interest", json!("forget")), "shape");
        assert_eq!(code("pauses", json!(1)), "shape");
    }

    #[test]
    fn deep_nesting_is_refused_by_its_form() {
        let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
        assert!(matches!(parse::<Terms>(deep), Err(InputError::Shape(_))));
    }
}
