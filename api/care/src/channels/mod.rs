//! The ways to a customer, as ports.

mod gateway;
mod smtp;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use api_loans::messages::Letter;
use api_loans::reminders::Channel;
use uuid::Uuid;

use crate::Address;
pub(crate) use gateway::GatewayPort;
pub use smtp::{Smtp, SmtpConfig, SmtpTls};

/// A message that leaves now. `Debug` shows neither the address nor the text.
pub struct Message {
    /// The same for every attempt.
    pub id: Uuid,
    /// On which channel.
    pub channel: Channel,
    /// Where to.
    pub to: Address,
    /// `en` or `zh`.
    pub language: String,
    /// What it says.
    pub letter: Letter,
    /// Where its reader stops all of them with one click.
    pub stop_link: String,
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Message").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What came of one attempt. The texts hold no address and no words of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other side has taken it over.
    Accepted(String),
    /// It was not taken, for now.
    Temporary(String),
    /// It was not taken, and nobody can be reached there.
    Permanent(String),
    /// It may have been taken, or not.
    Unknown(String),
}

/// An attempt under way.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// The end of a run under way.
pub type Resting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A way to send.
pub trait Port: fmt::Debug + Send + Sync {
    /// Sends the message once.
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;

    /// True when the other side drops a second message with the same id, so that one whose fate is
    /// unknown can be sent again.
    fn drops_duplicates(&self) -> bool;

    /// Nothing is to be sent for now: what was kept open between two messages is closed.
    fn rest(&self) -> Resting<'_> {
        Box::pin(std::future::ready(()))
    }
}
