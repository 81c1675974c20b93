//! Electronic mail through a relay (RFC 5321), with one-click unsubscription (RFC 8058).

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use serde::Deserialize;

use super::{Outcome, Port, Resting, Sending};
use crate::CareError;

/// For each step of the conversation.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// After so many mails a connection is given back: relays limit them.
const MAILS_MAX: u32 = 100;

/// How the connection to the relay is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// From the first byte (RFC 8314).
    #[default]
    Implicit,
    /// Before anything is said (STARTTLS, RFC 3207); without it nothing is sent.
    Starttls,
    /// Not at all, for a relay on this machine.
    None,
}

/// The relay.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// A certificate authority of one's own, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// Who writes, such as `First Harbour Bank <loans@bank.example>`.
    pub from: String,
}

impl fmt::Debug for SmtpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SmtpConfig").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Mail through a relay.
pub struct Smtp {
    config: SmtpConfig,
    from: Mailbox,
    hello: ClientId,
    /// Connections that wait for the next mail of a run.
    idle: Mutex<Vec<Connection>>,
}

/// A conversation with the relay, between two mails.
struct Connection {
    smtp: AsyncSmtpConnection,
    /// The mails that it has carried.
    mails: u32,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(formatter)
    }
}

/// Why an attempt ended. The relay's words may repeat the address: only its code is kept.
enum Failure {
    /// Nothing was handed over.
    Before(Option<u16>, &'static str),
    /// All was handed over, and no answer came.
    After,
}

impl Smtp {
    /// A port to this relay.
    ///
    /// # Errors
    /// [`CareError::Refused`] for a sender that is no mailbox.
    pub fn new(config: SmtpConfig) -> Result<Self, CareError> {
        let from: Mailbox = config
            .from
            .parse()
            .map_err(|_| CareError::Refused("the sender of mail is not a mailbox"))?;
        let hello = ClientId::Domain(from.email.domain().to_owned());
        Ok(Self { config, from, hello, idle: Mutex::default() })
    }

    fn message(&self, message: &super::Message) -> Option<(lettre::Address, Vec<u8>)> {
        let to: lettre::Address = message.to.reveal().parse().ok()?;
        let header = |name: &'static str, value: String| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
        };
        let id = format!("<{}@{}>", message.id.simple(), self.from.email.domain());
        let language = if message.language == "zh" { "zh-CN" } else { "en" };
        let built = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(message.letter.subject.clone())
            .message_id(Some(id))
            .date_now()
            .raw_header(header("List-Unsubscribe", format!("<{}>", message.stop_link)))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()))
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(header("Content-Language", language.to_owned()))
            .singlepart(
                SinglePart::builder()
                    .header(ContentType::TEXT_PLAIN)
                    .body(message.letter.body.clone()),
            );
        Some((to, built.ok()?.formatted()))
    }

    fn tls(&self) -> Result<TlsParameters, Failure> {
        let unusable = |_| Failure::Before(None, "TLS cannot be set up");
        let mut builder = TlsParametersBuilder::new(self.config.host.clone());
        if let Some(pem) = &self.config.ca_pem {
            builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(unusable)?);
        }
        builder.build_rustls().map_err(unusable)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let tls = match self.config.tls {
            SmtpTls::Implicit => Some(self.tls()?),
            SmtpTls::Starttls | SmtpTls::None => None,
        };
        let server = (self.config.host.as_str(), self.config.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(STEP_TIMEOUT), &self.hello, tls, None);
        let mut connection = step("connect", connecting).await?;
        if self.config.tls == SmtpTls::Starttls {
            step("STARTTLS", connection.starttls(self.tls()?, &self.hello)).await?;
        }
        if let Some((user, password)) = &self.config.credentials {
            let credentials = Credentials::new(user.clone(), password.clone());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            step("AUTH", connection.auth(&mechanisms, &credentials)).await?;
        }
        Ok(Connection { smtp: connection, mails: 0 })
    }

    /// Hands the mail over, on a connection that is there or on a new one.
    async fn deliver(&self, to: &lettre::Address, bytes: &[u8]) -> Result<u16, Failure> {
        if let Some(mut connection) = self.take_idle() {
            match self.begin(&mut connection.smtp, to).await {
                Ok(()) => return self.hand_over(connection, bytes).await,
                // The relay may have closed it in the meantime; what it says itself counts.
                Err(Failure::Before(None, _)) => {}
                Err(refused) => {
                    quit(connection).await;
                    return Err(refused);
                }
            }
        }
        let mut connection = self.connect().await?;
        if let Err(failure) = self.begin(&mut connection.smtp, to).await {
            quit(connection).await;
            return Err(failure);
        }
        self.hand_over(connection, bytes).await
    }

    /// Everything before the mail itself.
    async fn begin(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &lettre::Address,
    ) -> Result<(), Failure> {
        let mut options = Vec::new();
        if connection.server_info().supports_feature(Extension::EightBitMime) {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        if !AsRef::<str>::as_ref(to).is_ascii() {
            options.push(MailParameter::SmtpUtfEight);
        }
        let from = self.from.email.clone();
        step("MAIL", connection.command(Mail::new(Some(from), options))).await?;
        step("RCPT", connection.command(Rcpt::new(to.clone(), Vec::new()))).await?;
        step("DATA", connection.command(Data)).await?;
        Ok(())
    }

    /// From here on silence does not mean that it was not taken.
    async fn hand_over(&self, mut connection: Connection, bytes: &[u8]) -> Result<u16, Failure> {
        let answer = tokio::time::timeout(STEP_TIMEOUT, connection.smtp.message(bytes)).await;
        match answer {
            Ok(Ok(response)) => {
                connection.mails = connection.mails.saturating_add(1);
                if connection.mails < MAILS_MAX {
                    self.idle().push(connection);
                } else {
                    quit(connection).await;
                }
                Ok(response.code().into())
            }
            Ok(Err(error)) => match error.status() {
                Some(code) => {
                    quit(connection).await;
                    Err(Failure::Before(Some(code.into()), "message"))
                }
                None => Err(Failure::After),
            },
            Err(_) => Err(Failure::After),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle().pop()
    }
}

async fn quit(mut connection: Connection) {
    let _ = tokio::time::timeout(STEP_TIMEOUT, connection.smtp.quit()).await;
}

/// One step before the message itself: whatever goes wrong, nothing was handed over.
async fn step<T>(
    name: &'static str,
    doing: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(STEP_TIMEOUT, doing).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failure::Before(error.status().map(Into::into), name)),
        Err(_) => Err(Failure::Before(None, name)),
    }
}

impl Port for Smtp {
    fn send<'a>(&'a self, message: &'a super::Message) -> Sending<'a> {
        Box::pin(async move {
            let Some((to, bytes)) = self.message(message) else {
                return Outcome::Permanent("no mail can be made for it".to_owned());
            };
            match self.deliver(&to, &bytes).await {
                Ok(code) => Outcome::Accepted(format!("SMTP {code}")),
                Err(Failure::After) => {
                    Outcome::Unknown("the relay did not answer after the message".to_owned())
                }
                Err(Failure::Before(Some(code), step)) if is_address_fault(code, step) => {
                    Outcome::Permanent(format!("SMTP {code} to {step}"))
                }
                Err(Failure::Before(Some(code), step)) => {
                    Outcome::Temporary(format!("SMTP {code} to {step}"))
                }
                Err(Failure::Before(None, step)) => {
                    Outcome::Temporary(format!("the relay cannot be used: {step}"))
                }
            }
        })
    }

    fn drops_duplicates(&self) -> bool {
        false
    }

    fn rest(&self) -> Resting<'_> {
        Box::pin(async move {
            while let Some(connection) = self.take_idle() {
                quit(connection).await;
            }
        })
    }
}

/// Only a lasting refusal of the recipient says that nobody is there; one of the sender or of the
/// login is ours to mend.
fn is_address_fault(code: u16, step: &str) -> bool {
    step == "RCPT" && (500..600).contains(&code)
}
