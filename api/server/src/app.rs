//! What every request and job shares.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_audit::Logs;
use api_care::{Care, Port, Ports};
use api_ledger::{GroupCommit, Ledger};
use api_loans::Loans;
use api_store::Db;
use api_webhooks::{Policy, Sender, Vault, Webhooks};
use sha2::{Digest as _, Sha256};
use signer_client::SignerClient;
use signer_protocol::JournalHead;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::chains::Chains;
use crate::config::{Config, SignerConfig, SmtpConfig, WebhooksConfig, read_secret};
use crate::error::Error;
use crate::keys::Keys;
use crate::ledger_log::LedgerLog;
use crate::reads::Reads;
use crate::repo;

/// The shared parts of the server. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct App {
    inner: Arc<Inner>,
}

/// See [`App`].
#[derive(Debug)]
pub struct Inner {
    /// The configuration.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// The books.
    pub ledger: Ledger,
    /// The same, for concurrent requests: one commit for many of them.
    pub group: GroupCommit,
    /// The API keys that were used lately.
    pub keys: Keys,
    /// Who is told about events over HTTP.
    pub webhooks: Option<Webhooks>,
    /// The audit logs.
    pub audit: Logs,
    /// Logs whose anchors are late, so that an alarm is raised once.
    pub late_logs: Mutex<BTreeSet<String>>,
    /// What people read lately.
    pub reads: Reads,
    /// The loan book.
    pub loans: Loans,
    /// Reminders, early warning and the end of the day.
    pub care: Care,
    /// The signer, in its own process.
    pub signer: SignerClient,
    /// The networks and assets.
    pub chains: Chains,
    /// SHA-256 of the operator's key.
    pub operator_key_hash: [u8; 32],
    /// This process, as the holder of leases.
    pub instance: String,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// The shortest operator key that is accepted.
const OPERATOR_KEY_CHARS_MIN: usize = 32;

impl App {
    /// Opens the database, brings its schema up to date, and gets everything ready. Nodes and signer
    /// need not be up yet.
    ///
    /// # Errors
    /// [`Error`] when the database cannot be opened or a secret's file cannot be used.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let operator_key_hash = operator_key_hash(&config.server.operator_key_file)?;
        let url = config.database.resolve().map_err(Error::internal)?;
        let db = Db::connect(&url).await?;
        db.migrate().await?;
        let audit = Logs::open(&db, &config.log.origin, config.log.per_tenant).await?;
        let recorder = Arc::new(LedgerLog::new(audit.clone()));
        let ledger = Ledger::new(db.clone()).with_recorder(recorder);
        let mut tx = db.begin().await?;
        repo::tenants::insert_tenant(&mut tx, crate::books::HOUSE, "house", now_ms()).await?;
        let journal_seen = repo::facts::get(&mut tx, JOURNAL_SEEN).await?;
        let journal_seen = journal_seen.map(|json| serde_json::from_str(&json)).transpose()?;
        tx.commit().await?;
        let signer = signer_client(&config, journal_seen);
        let chains = Chains::new(&config);
        let loans = Loans::new(ledger.clone());
        let vault = config.webhooks.as_ref().map(open_vault).transpose()?.map(Arc::new);
        let care = Care::new(
            db.clone(),
            ledger.clone(),
            loans.clone(),
            audit.clone(),
            crate::books::customer_code,
            ports(&config, vault.clone())?,
        );
        care.seal_gateways().await?;
        let webhooks = config.webhooks.as_ref().zip(vault);
        let webhooks = webhooks.map(|(webhooks, vault)| open_webhooks(webhooks, vault, &ledger));
        let queue = config.server.queued_transfers_max;
        let inner = Inner {
            config,
            db,
            group: GroupCommit::with_queue(ledger.clone(), queue),
            keys: Keys::default(),
            webhooks: webhooks.transpose()?,
            ledger,
            audit,
            late_logs: Mutex::default(),
            reads: Reads::default(),
            loans,
            care,
            signer,
            chains,
            operator_key_hash,
            instance: Uuid::new_v4().to_string(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Keeps the newest journal head of the signer that was seen, so that a signer that was set back
    /// to an older copy is noticed after a restart of the server, too.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn remember_journal(&self) -> Result<(), Error> {
        let Some(head) = self.signer.last_head().await else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        repo::facts::set(&mut tx, JOURNAL_SEEN, &serde_json::to_string(&head)?).await?;
        tx.commit().await?;
        Ok(())
    }

    /// How many decimals the asset of a ledger account has: as the configuration says, for other
    /// currencies as ISO 4217 does; `None` when neither names it.
    #[must_use]
    pub fn decimals(&self, asset: &str) -> Option<u8> {
        if let Ok(asset) = self.chains.asset(asset) {
            return Some(asset.decimals);
        }
        if self.config.fiat.currencies.contains(asset) {
            return Some(fiat_decimals(asset));
        }
        api_ledger::iso4217_decimals(asset)
    }

    /// True for the code of an asset or currency that the configuration names.
    #[must_use]
    pub fn knows_asset(&self, code: &str) -> bool {
        self.config.fiat.currencies.contains(code) || self.chains.asset(code).is_ok()
    }
}

/// The keys that seal secrets in the database.
fn open_vault(config: &WebhooksConfig) -> Result<Vault, Error> {
    let file = &config.key_file;
    let keys = std::fs::read_to_string(file).map(Zeroizing::new);
    let named =
        |error: &dyn std::fmt::Display| Error::internal(format!("{}: {error}", file.display()));
    let keys = keys.map_err(|error| named(&error))?;
    Vault::new(&keys).map_err(|error| named(&error))
}

fn open_webhooks(
    config: &WebhooksConfig,
    vault: Arc<Vault>,
    ledger: &Ledger,
) -> Result<Webhooks, Error> {
    let policy = Policy { allow_http: config.allow_http, allow_private: config.allow_private };
    let sender = Sender::new(policy).map_err(Error::internal)?;
    Ok(Webhooks::new(ledger.clone(), sender, vault, Arc::new(jiff::Timestamp::now)))
}

/// Without a signer in the configuration every call of it fails as unreachable.
fn signer_client(config: &Config, journal_seen: Option<JournalHead>) -> SignerClient {
    let absent = SignerConfig::default();
    let signer = config.signer.as_ref().unwrap_or(&absent);
    let client = SignerClient::new(&signer.socket, journal_seen)
        .with_timeout(Duration::from_millis(signer.timeout_ms));
    match signer.uid {
        Some(uid) => client.with_signer_uid(uid),
        None => client,
    }
}

/// The ways out to borrowers.
fn ports(config: &Config, vault: Option<Arc<Vault>>) -> Result<Ports, Error> {
    let local = config.care.local_gateways;
    let policy = Policy { allow_http: local, allow_private: local };
    let sender = Sender::new(policy).map_err(Error::internal)?;
    let smtp = config.care.smtp.as_ref().map(SmtpConfig::open).transpose();
    let mail = smtp.map_err(Error::internal)?.map(|smtp| Arc::new(smtp) as Arc<dyn Port>);
    Ok(Ports { sender, vault, mail, public_url: config.public_url() })
}

const JOURNAL_SEEN: &str = "signer_journal_seen";

fn operator_key_hash(file: &Path) -> Result<[u8; 32], Error> {
    let key = read_secret(file).map_err(Error::internal)?;
    if key.len() < OPERATOR_KEY_CHARS_MIN {
        let reason = format!("the operator key needs at least {OPERATOR_KEY_CHARS_MIN} characters");
        return Err(Error::Internal(reason));
    }
    Ok(Sha256::digest(key.as_bytes()).into())
}

/// The decimals of a configured currency; two for a code that ISO 4217 does not list.
#[must_use]
pub(crate) fn fiat_decimals(currency: &str) -> u8 {
    api_ledger::iso4217_decimals(currency).unwrap_or(2)
}

/// Milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
