//! Configuration: a TOML file, with every setting also from the environment.
//!
//! `ROADSTEAD__SERVER__LISTEN=127.0.0.1:9000` overrides `server.listen`; items of a list are named
//! by their position: `ROADSTEAD__CHAINS__0__RPC_URL`. Unknown keys are refused. Secrets are never
//! values here, only the names of files that hold them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use api_verify::note::{KeyKind, VerifierKey};
use chain_core::{Amount, AssetId, ChainFamily, ChainId};
use serde::Deserialize;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Not TOML, an unknown key, a missing key, or a value of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// An environment variable does not fit.
    #[error("environment variable {name}: {reason}")]
    Environment {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// The values contradict one another.
    #[error("{0}")]
    Invalid(String),
}

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// The signer; without it there are no chains and no checkpoints, and the ledger alone is served.
    #[serde(default)]
    pub signer: Option<SignerConfig>,
    /// The audit log and its anchors.
    pub log: LogConfig,
    /// The networks.
    #[serde(default)]
    pub chains: Vec<ChainConfig>,
    /// The assets of the networks.
    #[serde(default)]
    pub assets: Vec<AssetConfig>,
    /// Fiat money.
    #[serde(default)]
    pub fiat: FiatConfig,
    /// Who is told about events over HTTP; nobody without it.
    #[serde(default)]
    pub webhooks: Option<WebhooksConfig>,
    /// Reminders and their channels.
    #[serde(default)]
    pub care: CareConfig,
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// A file with the keys that seal the secrets of receivers and of reminders' gateways in the database, one in each line as 64
    /// hexadecimal digits. The first seals, all open. `roadstead webhook-key` makes one.
    pub key_file: PathBuf,
    /// Also `http`, for local networks.
    #[serde(default)]
    pub allow_http: bool,
    /// Also receivers at private addresses, for local networks.
    #[serde(default)]
    pub allow_private: bool,
}

/// The HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// A file with the operator's key, at least 32 characters: it creates tenants and runs the
    /// treasury.
    pub operator_key_file: PathBuf,
    /// The largest request body in bytes.
    #[serde(default = "default_body_bytes_max")]
    pub body_bytes_max: usize,
    /// The largest body in bytes of a request that has many items.
    #[serde(default = "default_bulk_body_bytes_max")]
    pub bulk_body_bytes_max: usize,
    /// A request that takes longer is answered with 503.
    #[serde(default = "default_request_timeout_secs")]
    pub request_timeout_secs: u64,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

const fn default_body_bytes_max() -> usize {
    1 << 20
}

const fn default_bulk_body_bytes_max() -> usize {
    16 << 20
}

const fn default_request_timeout_secs() -> u64 {
    30
}

/// The database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite:<file>` or `postgres://…`, without a password.
    #[serde(default)]
    pub url: Option<String>,
    /// A file with the URL, where it has a password in it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
}

impl DatabaseConfig {
    /// The URL, from wherever it is kept.
    ///
    /// # Errors
    /// [`ConfigError`] unless there is exactly one of the two.
    pub fn resolve(&self) -> Result<String, ConfigError> {
        match (&self.url, &self.url_file) {
            (Some(url), None) => Ok(url.clone()),
            (None, Some(file)) => read_secret(file),
            _ => Err(ConfigError::Invalid(
                "database: give exactly one of url (without password) and url_file".into(),
            )),
        }
    }
}

/// The signer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The user id that its process must have; ours when absent.
    #[serde(default)]
    pub uid: Option<u32>,
    /// How long to wait for an answer.
    #[serde(default = "default_signer_timeout_ms")]
    pub timeout_ms: u64,
}

const fn default_signer_timeout_ms() -> u64 {
    10_000
}

/// The audit log and its anchors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The origin line of the log, a name that is yours, such as `bank.example/log`.
    pub origin: String,
    /// How often new records get a signed checkpoint.
    #[serde(default = "default_checkpoint_ms")]
    pub checkpoint_ms: u64,
    /// Whether each tenant has a log of its own, `<origin>/<tenant>`.
    #[serde(default)]
    pub per_tenant: bool,
    /// How often the newest checkpoint is anchored, when it is new.
    #[serde(default = "default_anchor_ms")]
    pub anchor_ms: u64,
    /// Anchor sooner, as soon as so many leaves are new.
    #[serde(default)]
    pub anchor_records: Option<u64>,
    /// An anchor that is in no block after this long is sent again with a higher fee, up to the
    /// chain's `fee_max`.
    #[serde(default = "default_anchor_bump_ms")]
    pub anchor_bump_ms: u64,
    /// On how many chains each checkpoint is to be; all that anchor, when absent.
    #[serde(default)]
    pub anchor_chains_min: Option<u32>,
    /// Within how long. An alarm is raised when it takes longer.
    #[serde(default = "default_anchor_deadline_ms")]
    pub anchor_deadline_ms: u64,
    /// Who is asked to cosign every checkpoint.
    #[serde(default)]
    pub witnesses: Vec<WitnessConfig>,
}

/// A witness of the log (C2SP `tlog-witness`), run by somebody else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// What it is called in logs and metrics.
    pub name: String,
    /// Its submission prefix, to which `/add-checkpoint` is added.
    pub url: String,
    /// Its verifier key; other signatures in its answers are not kept.
    pub key: VerifierKey,
}

const fn default_checkpoint_ms() -> u64 {
    1_000
}

const fn default_anchor_ms() -> u64 {
    600_000
}

const fn default_anchor_bump_ms() -> u64 {
    900_000
}

const fn default_anchor_deadline_ms() -> u64 {
    7_200_000
}

/// When something on a chain counts as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// When the chain says so (EVM and Solana `finalized`).
    Finalized,
    /// With this many confirmations, the block itself counted.
    #[serde(untagged)]
    Confirmations(u32),
}

/// A network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Its short name in the API, for example `bitcoin`.
    pub name: String,
    /// Its CAIP-2 id.
    pub id: ChainId,
    /// The URL of a node's JSON-RPC interface.
    pub rpc_url: String,
    /// Bitcoin: the user of the RPC interface.
    #[serde(default)]
    pub rpc_user: Option<String>,
    /// Bitcoin: a file with that user's password.
    #[serde(default)]
    pub rpc_password_file: Option<PathBuf>,
    /// When deposits, payouts and anchors count as final.
    pub finality: Finality,
    /// How often to look for new blocks.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// The first block to scan when nothing was scanned yet; the tip when absent.
    #[serde(default)]
    pub start_height: Option<u64>,
    /// The most that one transaction may cost, in minor units of the native coin.
    pub fee_max: Amount,
    /// Bitcoin on regtest, where no estimate can be had: satoshi per 1,000 weight units.
    #[serde(default)]
    pub fallback_fee_sat_per_kwu: Option<u64>,
    /// Whether checkpoints are anchored here.
    #[serde(default)]
    pub anchor: bool,
    /// Solana: how many durable nonce accounts to keep, the number of transactions at one time.
    #[serde(default = "default_nonce_accounts")]
    pub nonce_accounts: u32,
    /// Bitcoin: headers after the anchor's block that its evidence carries.
    #[serde(default = "default_headers_after")]
    pub evidence_headers: u32,
}

const fn default_poll_ms() -> u64 {
    2_000
}

const fn default_nonce_accounts() -> u32 {
    4
}

const fn default_headers_after() -> u32 {
    6
}

/// A rule of the finality table: amounts up to this need that.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalityTier {
    /// Up to and including this many minor units.
    pub amount_up_to: Amount,
    /// What is needed.
    pub finality: Finality,
}

/// An asset of a network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetConfig {
    /// Its code in the API and in the books, for example `BTC`.
    pub code: String,
    /// Its CAIP-19 id.
    pub id: AssetId,
    /// How many decimals one unit has.
    pub decimals: u8,
    /// Sweep a deposit address that holds at least this much.
    #[serde(default)]
    pub sweep_min: Amount,
    /// Tokens on EVM chains: wei sent to a deposit address before its sweep.
    #[serde(default)]
    pub fuel: Amount,
    /// Finality by amount, smallest first; above them the chain's own applies.
    #[serde(default)]
    pub finality: Vec<FinalityTier>,
}

/// Fiat money.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiatConfig {
    /// ISO 4217 codes.
    #[serde(default)]
    pub currencies: BTreeSet<String>,
    /// A folder where the bank's statements arrive as CSV files.
    #[serde(default)]
    pub statement_folder: Option<PathBuf>,
}

/// Reminders and their channels.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CareConfig {
    /// Where the server is for the world, for the links in messages, such as
    /// `https://wallet.example`; the address it listens on when absent.
    #[serde(default)]
    pub public_url: Option<String>,
    /// How often to look for loans about which a decision is due.
    #[serde(default = "default_decide_ms")]
    pub decide_ms: u64,
    /// How often to look for messages that are to leave.
    #[serde(default = "default_deliver_ms")]
    pub deliver_ms: u64,
    /// Lets gateways be on private addresses and without TLS, for local networks alone.
    #[serde(default)]
    pub local_gateways: bool,
    /// The relay for mail.
    #[serde(default)]
    pub smtp: Option<SmtpConfig>,
}

impl Default for CareConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            decide_ms: default_decide_ms(),
            deliver_ms: default_deliver_ms(),
            local_gateways: false,
            smtp: None,
        }
    }
}

const fn default_decide_ms() -> u64 {
    30_000
}

const fn default_deliver_ms() -> u64 {
    1_000
}

/// The relay for mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `implicit` (the default), `starttls`, or `none` for a relay on this machine.
    #[serde(default)]
    pub tls: api_care::SmtpTls,
    /// A file with a certificate authority of one's own, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The user, when the relay wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with that user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Who writes, such as `First Harbour Bank <loans@bank.example>`.
    pub from: String,
}

impl SmtpConfig {
    /// The relay, with its secret read.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read, a user without password, or a sender that is
    /// no mailbox.
    pub(crate) fn open(&self) -> Result<api_care::Smtp, ConfigError> {
        let credentials = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user.clone(), read_secret(file)?)),
            _ => {
                let reason = "care.smtp: user and password_file belong together".to_owned();
                return Err(ConfigError::Invalid(reason));
            }
        };
        let ca_pem = self.ca_file.as_deref().map(read).transpose()?.map(String::into_bytes);
        let config = api_care::SmtpConfig {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            ca_pem,
            credentials,
            from: self.from.clone(),
        };
        api_care::Smtp::new(config)
            .map_err(|error| ConfigError::Invalid(format!("care.smtp.from: {error}")))
    }
}

impl Config {
    /// Where the server is for the world.
    pub(crate) fn public_url(&self) -> String {
        let listen = || format!("http://{}", self.server.listen);
        self.care.public_url.clone().unwrap_or_else(listen)
    }

    /// Reads the file, lays the environment over it, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], in words that name the key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::from_parts(&read(file)?, std::env::vars())
    }

    fn from_parts(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut value: toml::Value =
            toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        for (name, text) in environment {
            if let Some(path) = name.strip_prefix("ROADSTEAD__") {
                overlay(&mut value, path, &text)
                    .map_err(|reason| ConfigError::Environment { name: name.clone(), reason })?;
            }
        }
        let config: Self = value
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError::Syntax(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |reason: String| Err(ConfigError::Invalid(reason));
        let mut names = BTreeSet::new();
        for chain in &self.chains {
            if !names.insert(chain.name.clone()) {
                return invalid(format!("two chains are called {:?}", chain.name));
            }
            // Each would credit the deposits of the one network.
            if !names.insert(chain.id.to_string()) {
                return invalid(format!("two chains have the id {}", chain.id));
            }
            check_chain(chain)?;
        }
        let mut codes: BTreeSet<&String> = self.fiat.currencies.iter().collect();
        let mut ids = BTreeSet::new();
        for asset in &self.assets {
            if !ids.insert(asset.id.to_string()) {
                return invalid(format!("two assets have the id {}", asset.id));
            }
            if !codes.insert(&asset.code) {
                return invalid(format!("two assets or currencies are called {:?}", asset.code));
            }
            if !self.chains.iter().any(|chain| chain.id == *asset.id.chain()) {
                return invalid(format!(
                    "asset {:?} is on a chain that is not configured",
                    asset.code
                ));
            }
        }
        for chain in &self.chains {
            if !self.assets.iter().any(|asset| asset.id == chain.id.native()) {
                return invalid(format!(
                    "chain {:?} needs its native coin among the assets",
                    chain.name
                ));
            }
        }
        if self.signer.is_none() && !self.chains.is_empty() {
            return invalid("chains need a signer: add the section [signer]".into());
        }
        if self.log.origin.is_empty() || self.log.origin.contains(['\n', ' ', '+']) {
            return invalid("log.origin must be a name without spaces or plus signs".into());
        }
        let mut witnesses = BTreeSet::new();
        for witness in &self.log.witnesses {
            if !witnesses.insert(&witness.name) || !witnesses.insert(&witness.key.name) {
                return invalid(format!("two witnesses are called {:?}", witness.name));
            }
            let web = ["http://", "https://"].iter().any(|scheme| witness.url.starts_with(scheme));
            if !web || witness.key.kind != KeyKind::Witness {
                return invalid(format!(
                    "witness {:?} needs an http or https address and a witness's key",
                    witness.name
                ));
            }
        }
        let anchoring = self.chains.iter().filter(|chain| chain.anchor).count();
        let wanted = self.log.anchor_chains_min.unwrap_or_default();
        if usize::try_from(wanted).is_ok_and(|wanted| wanted > anchoring) {
            return invalid(format!(
                "log.anchor_chains_min is {wanted}, but only {anchoring} chains anchor"
            ));
        }
        if self.log.anchor_records == Some(0) {
            return invalid("log.anchor_records must be at least 1".into());
        }
        self.database.resolve().map(|_| ())
    }
}

fn check_chain(chain: &ChainConfig) -> Result<(), ConfigError> {
    let invalid =
        |reason: &str| Err(ConfigError::Invalid(format!("chain {:?}: {reason}", chain.name)));
    match (chain.id.family(), chain.finality) {
        (ChainFamily::Bitcoin, Finality::Finalized) => {
            return invalid(
                "Bitcoin has no finalized tag: set finality to a number of confirmations",
            );
        }
        (ChainFamily::Solana, Finality::Confirmations(_)) => {
            return invalid("set finality to \"finalized\" on Solana");
        }
        (_, Finality::Confirmations(0)) => {
            return invalid("finality needs at least 1 confirmation");
        }
        _ => {}
    }
    let regtest = chain.id.reference() == "0f9188f13cb7b2c71f2a335e3a4fc328";
    if chain.fallback_fee_sat_per_kwu.is_some() && !regtest {
        return invalid("fallback_fee_sat_per_kwu is for regtest alone");
    }
    Ok(())
}

/// Sets the value at `path` (`SERVER__LISTEN`, `CHAINS__0__RPC_URL`) to `text`, read as the kind of
/// value that stands there, or as TOML, or as a string.
fn overlay(value: &mut toml::Value, path: &str, text: &str) -> Result<(), String> {
    let mut place = value;
    for step in path.to_lowercase().split("__") {
        place = match place {
            toml::Value::Table(table) => table
                .entry(step.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(items) => {
                let position: usize =
                    step.parse().map_err(|_| format!("{step:?} is no position in a list"))?;
                items.get_mut(position).ok_or_else(|| format!("there is no item {position}"))?
            }
            _ => return Err("it names a part of a simple value".into()),
        };
    }
    *place = parse_value(place, text);
    Ok(())
}

fn parse_value(old: &toml::Value, text: &str) -> toml::Value {
    if old.is_str() {
        return toml::Value::String(text.to_owned());
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn read(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file)
        .map_err(|reason| ConfigError::Read { file: file.to_owned(), reason })
}

/// The first line of a file that holds a secret.
///
/// # Errors
/// [`ConfigError`] when it cannot be read or is empty.
pub(crate) fn read_secret(file: &Path) -> Result<String, ConfigError> {
    let text = read(file)?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(ConfigError::Invalid(format!("{} is empty", file.display())));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const EXAMPLE: &str = include_str!("../roadstead.example.toml");

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let owned =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_parts(text, owned)
    }

    #[test]
    fn the_example_is_valid() {
        let config = load(EXAMPLE, &[]).unwrap();
        assert_eq!(config.chains.len(), 3);
        assert!(!config.assets.is_empty());
    }

    #[test]
    fn the_environment_overrides_every_kind_of_setting() {
        let environment = [
            ("ROADSTEAD__SERVER__LISTEN", "127.0.0.1:9999"),
            ("ROADSTEAD__SERVER__BODY_BYTES_MAX", "1234"),
            ("ROADSTEAD__CHAINS__0__RPC_URL", "http://127.0.0.1:1"),
            ("ROADSTEAD__CHAINS__0__ANCHOR", "false"),
            ("ROADSTEAD__FIAT__CURRENCIES", "[\"JPY\"]"),
            ("UNRELATED", "x"),
        ];
        let config = load(EXAMPLE, &environment).unwrap();
        assert_eq!(config.server.listen.port(), 9999);
        assert_eq!(config.server.body_bytes_max, 1234);
        assert_eq!(config.chains[0].rpc_url, "http://127.0.0.1:1");
        assert!(!config.chains[0].anchor);
        assert_eq!(config.fiat.currencies, BTreeSet::from(["JPY".to_owned()]));
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_stand() {
        let in_file = EXAMPLE.replace("[server]", "[server]\nlissten = 1");
        assert!(load(&in_file, &[]).unwrap_err().to_string().contains("lissten"));
        let in_environment = load(EXAMPLE, &[("ROADSTEAD__SERVER__LISSTEN", "1")]);
        assert!(in_environment.unwrap_err().to_string().contains("lissten"));
        assert!(load(EXAMPLE, &[("ROADSTEAD__CHAINS__9__NAME", "x")]).is_err());
    }

    #[test]
    fn contradictions_are_refused() {
        for (old, new) in [
            ("finality = 6", "finality = \"finalized\""),
            ("finality = 6", "finality = 0"),
            ("name = \"evm\"", "name = \"bitcoin\""),
            ("code = \"ETH\"", "code = \"BTC\""),
            ("id = \"eip155:1\"", "id = \"bip122:000000000019d6689c085ae165831e93\""),
            (
                "id = \"eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48\"",
                "id = \"eip155:1/slip44:60\"",
            ),
            ("origin = \"", "origin = \"a b"),
        ] {
            assert!(EXAMPLE.contains(old), "{old}");
            assert!(load(&EXAMPLE.replacen(old, new, 1), &[]).is_err(), "{old} -> {new}");
        }
    }
}
