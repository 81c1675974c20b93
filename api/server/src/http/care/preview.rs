use api_loans::messages::{LetterFacts, Messages, TEMPLATES};
use axum::Json;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Code, Error};
use crate::http::auth::{Caller, Scope};
use crate::http::extract::Args;
use crate::http::problem::{Problem, ProblemDocument};
use crate::http::views::check_text;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// `before-due`, `due-today`, `overdue` or `overdue-help`.
    template: String,
    /// `en` or `zh`.
    language: String,
    /// How the borrower knows the loan.
    loan: String,
    /// Minor units.
    amount: String,
    /// ISO 4217.
    currency: String,
    /// The due date, ISO 8601.
    #[param(value_type = String, format = Date)]
    due: Date,
    /// Days past it; negative before.
    days: i64,
}

impl Default for PreviewQuery {
    fn default() -> Self {
        Self {
            template: "overdue".to_owned(),
            language: "en".to_owned(),
            loan: "01890000-0000-7000-8000-000000000000".to_owned(),
            amount: "106619".to_owned(),
            currency: "EUR".to_owned(),
            due: date(2026, 2, 15),
            days: 1,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewView {
    template: String,
    language: String,
    subject: String,
    /// The text, with all ways to pay and to ask for a deferral.
    body: String,
    /// Every template there is.
    templates: Vec<&'static str>,
}

/// Shows a message as a borrower would read it, with figures of your choice.
#[utoipa::path(get, path = "/v1/messages/preview", tag = "care", params(PreviewQuery),
    security(("api_key" = [])),
    responses((status = 200, body = PreviewView), (status = "default", body = ProblemDocument)))]
pub(crate) async fn preview(
    caller: Caller,
    Args(query): Args<PreviewQuery>,
) -> Result<Json<PreviewView>, Problem> {
    caller.require(Scope::Read)?;
    check_text("loan", &query.loan, 100)?;
    check_text("currency", &query.currency, 3)?;
    if !TEMPLATES.contains(&query.template.as_str()) {
        let detail = format!("the templates are {}", TEMPLATES.join(", "));
        return Err(Error::refuse(Code::Unprocessable, detail).into());
    }
    let facts = LetterFacts {
        loan: &query.loan,
        amount: query.amount.parse()?,
        currency: &query.currency,
        due: query.due,
        days: query.days,
    };
    let letter = Messages::new(&query.language)?.letter(&query.template, &facts)?;
    Ok(Json(PreviewView {
        template: query.template,
        language: query.language,
        subject: letter.subject,
        body: letter.body,
        templates: TEMPLATES.to_vec(),
    }))
}
