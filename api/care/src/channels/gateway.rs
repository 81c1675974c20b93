//! Gateways for push and text messages: a webhook signed by the Standard Webhooks specification.

use api_webhooks::{Secret, SendError, Sender};
use jiff::Timestamp;
use serde_json::json;

use super::{Message, Outcome, Port, Sending};

/// No such recipient, by the answer that gateways give for it.
const NOBODY_THERE: u16 = 422;

/// A tenant's gateway.
#[derive(Debug)]
pub(crate) struct GatewayPort {
    pub(crate) sender: Sender,
    pub(crate) url: String,
    pub(crate) secret: Secret,
}

impl Port for GatewayPort {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let body = json!({
                "type": "reminder",
                "id": message.id,
                "channel": message.channel,
                "to": message.to.reveal(),
                "language": message.language,
                "subject": message.letter.subject,
                "body": message.letter.body,
                "stop_link": message.stop_link,
            });
            let body = body.to_string().into_bytes();
            let (id, now) = (format!("msg_{}", message.id.simple()), Timestamp::now().as_second());
            let headers = [
                ("webhook-signature", self.secret.sign(&id, now, &body)),
                ("webhook-id", id),
                ("webhook-timestamp", now.to_string()),
            ];
            match self.sender.post(&self.url, &headers, body).await {
                Ok(()) => Outcome::Accepted("the gateway has it".to_owned()),
                Err(error @ SendError::Status(NOBODY_THERE)) => {
                    Outcome::Permanent(error.to_string())
                }
                Err(error) => Outcome::Temporary(error.to_string()),
            }
        })
    }

    fn drops_duplicates(&self) -> bool {
        true
    }
}
