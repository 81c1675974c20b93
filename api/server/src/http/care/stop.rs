//! The link in every message: one click stops all of them (RFC 8058). Looking at it changes nothing, so
//! that programs that follow links do no harm.

use api_loans::messages::Messages;
use axum::extract::State;
use axum::response::Html;

use crate::app::App;
use crate::error::Error;
use crate::http::extract::Params;
use crate::http::problem::{Problem, ProblemDocument};

const LANGUAGES: [&str; 2] = ["en", "zh"];

/// A page in both languages; `button` adds what the click is for.
fn html(text: &str, button: bool) -> Result<Html<String>, Error> {
    let mut body = String::new();
    for language in LANGUAGES {
        let messages = Messages::new(language)?;
        let line = |id: &str| messages.text(id, &[]);
        body.push_str(&format!("<h1>{}</h1><p>{}</p>", line("stop-title")?, line(text)?));
        if button {
            body.push_str(&format!("<p><button>{}</button></p>", line("stop-button")?));
        }
    }
    let body = if button { format!("<form method=\"post\">{body}</form>") } else { body };
    Ok(Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>Roadstead</title><body>{body}</body></html>"
    )))
}

/// Asks whether all reminders are to stop. Public: the link is signed.
#[utoipa::path(get, path = "/v1/opt-out/{token}", tag = "care", params(("token" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn page(
    State(app): State<App>,
    Params(token): Params<String>,
) -> Result<Html<String>, Problem> {
    let mut tx = app.db.read().await?;
    app.care.stop_target(&mut tx, &token).await?;
    Ok(html("stop-ask", true)?)
}

/// Stops all reminders of the customer to whom the link was sent, at once and on every channel.
/// Public: the link is signed. The body (`List-Unsubscribe=One-Click`) is not read.
#[utoipa::path(post, path = "/v1/opt-out/{token}", tag = "care", params(("token" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html"),
              (status = "default", body = ProblemDocument)))]
pub(crate) async fn click(
    State(app): State<App>,
    Params(token): Params<String>,
) -> Result<Html<String>, Problem> {
    let mut tx = app.db.begin().await?;
    app.care.stop(&mut tx, &token).await?;
    tx.commit().await?;
    Ok(html("stop-done", false)?)
}
