//! Requests as they stand on the wire, and the check that every refusal is a problem document.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::world::World;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A request; without a key it is nobody's.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    url: String,
    key: Option<String>,
    idempotency: Option<String>,
    kind: Option<&'static str>,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(world: &World, method: &str, path: &str) -> Self {
        Self {
            method: method.to_uppercase().parse().unwrap(),
            url: format!("{}{path}", world.stack.url()),
            key: None,
            idempotency: None,
            kind: None,
            body: Vec::new(),
        }
    }

    pub(crate) fn key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    pub(crate) fn once(self, key: &str) -> Self {
        Self { idempotency: Some(key.to_owned()), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub(crate) fn raw(self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { kind: Some(kind), body: body.into(), ..self }
    }

    /// Sends it. A refusal must be a problem document whose parts fit together, and never a 5xx.
    pub(crate) async fn send(&self) -> Answer {
        let answer =
            self.try_send().await.unwrap_or_else(|error| panic!("{error} at {}", self.url));
        assert!(answer.status < 500, "{answer:?} to {} {}", self.method, self.url);
        answer
    }

    /// As [`Call::send`], but a 5xx is noted, so that one run finds them all.
    pub(crate) async fn probe(&self, faults: &mut Vec<String>) -> Answer {
        let answer =
            self.try_send().await.unwrap_or_else(|error| panic!("{error} at {}", self.url));
        if answer.status >= 500 {
            let body = String::from_utf8_lossy(&self.body).chars().take(300).collect::<String>();
            faults.push(format!("{} to {} {} {body}", answer.status, self.method, self.url));
        }
        answer
    }

    /// As [`Call::send`], but 5xx are answers, too, and a connection may break.
    pub(crate) async fn try_send(&self) -> Result<Answer, reqwest::Error> {
        // A client of its own, as of a caller of its own.
        let client = Client::builder().no_proxy().build()?;
        let mut request = client.request(self.method.clone(), &self.url).body(self.body.clone());
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(key) = &self.idempotency {
            request = request.header("idempotency-key", key);
        }
        if let Some(kind) = self.kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { status, replayed, text, body };
        if status >= 400 && !self.url.contains("/health/") {
            self.assert_problem(&answer, &kind);
        }
        Ok(answer)
    }

    fn assert_problem(&self, answer: &Answer, kind: &str) {
        let Answer { status, body, .. } = answer;
        let place = format!("{} {}: {answer:?}", self.method, self.url);
        assert_eq!(kind, "application/problem+json", "{place}");
        assert_eq!(body["status"], *status, "{place}");
        let code = answer.code();
        assert_eq!(body["type"], format!("urn:roadstead:error:{code}"), "{place}");
        for field in ["title", "detail", "instance"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{place}");
        }
        for leak in ["panicked", "src/", "sqlx", "SELECT ", "INSERT ", "/root/", "RUST_BACKTRACE"] {
            assert!(!answer.text.contains(leak), "{place}");
        }
    }
}

/// An operation of the OpenAPI document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) has_body: bool,
    pub(crate) needs_key: bool,
    pub(crate) needs_idempotency: bool,
    pub(crate) is_operators: bool,
    pub(crate) responses: Value,
}

/// Every operation that the running server documents.
pub(crate) async fn operations(world: &World) -> Vec<Operation> {
    let document = world.tenant.get("/openapi.json").await.unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let words = format!("{} {}", operation["summary"], operation["description"]);
            found.push(Operation {
                method: method.clone(),
                path: path.clone(),
                has_body: operation["requestBody"].is_object(),
                needs_key: operation["security"].is_array(),
                needs_idempotency: parameters
                    .iter()
                    .any(|one| one["name"] == "Idempotency-Key" && one["required"] == true),
                is_operators: words.contains("(operator)"),
                responses: operation["responses"].clone(),
            });
        }
    }
    assert!(found.len() > 30, "{} operations", found.len());
    found
}
