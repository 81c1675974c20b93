use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chain_core::{
    Address, AmountError, AnchorCommitment, ChainId, IntentId, KeyPath, KeyedAddress, Purpose,
};
use custody::note::NoteError;
use custody::policy::{Charge, History, Policy};
use custody::{Keys, PublicKey};
use signer_protocol::{
    AddressRequest, CancelRequest, Cancelled, FreezeRequest, Hello, HelloAnswer, Refusal,
    RefusalCode, Request, Response, VERSION,
};

use crate::config::Config;
use crate::journal::{Journal, JournalError, Standing};
use crate::record::{Entry, Record};
use crate::state::State;

/// How far the clock may go back before nothing is signed any more.
const CLOCK_BACK_SECONDS_MAX: u64 = 60;
/// The longest reason of a freeze or a cancel.
const REASON_BYTES_MAX: usize = 1_000;

/// Seconds since 1970; `None` when the clock cannot be read.
pub type Clock = Box<dyn Fn() -> Option<u64> + Send>;

/// The signer without its socket: keys, journal, and what follows from it. One request at a time.
pub struct Engine {
    pub(crate) keys: Keys,
    pub(crate) state: State,
    journal: Journal,
    policy: PathBuf,
    clock: Clock,
    /// Why the journal is not trusted, once it is not.
    rolled_back: Option<String>,
}

/// Why the signer does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Engine {
    /// Opens the journal of `config`.
    ///
    /// # Errors
    /// [`EngineError`] when it is damaged or cannot be read. A journal that is older than its mark is
    /// opened, and then nothing is signed.
    pub fn open(config: &Config, keys: Keys, clock: Clock) -> Result<Self, EngineError> {
        let (mut journal, contents) = Journal::open(&config.journal(), &config.high_water_dir)?;
        let mut state = State::default();
        contents.entries.iter().for_each(|entry| state.apply(entry));
        let rolled_back = match journal.standing()? {
            Standing::Current => None,
            Standing::Behind(Some(mark)) if state.forgives(&mark) => {
                journal.accept()?;
                None
            }
            Standing::Behind(None) => Some("there is no high-water mark".to_owned()),
            Standing::Behind(Some(mark)) => {
                let head = show(&mark);
                Some(format!("the high-water mark {head} is not in this journal"))
            }
        };
        if let Some(reason) = &rolled_back {
            tracing::error!(reason, "the journal may be an old copy: nothing is signed");
        }
        Ok(Self { keys, state, journal, policy: config.policy.clone(), clock, rolled_back })
    }

    /// Answers a request.
    pub fn handle(&mut self, request: &Request) -> Response {
        let answer = match request {
            Request::Hello(hello) => self.hello(hello).map(Response::Hello),
            Request::Address(request) => self.address(request).map(Response::Address),
            Request::Sign(request) => self.sign(request).map(Response::Signed),
            Request::Checkpoint(request) => self.checkpoint(request).map(Response::Checkpoint),
            Request::Cancel(request) => self.cancel(request).map(Response::Cancelled),
            Request::Freeze(request) => self.freeze(request),
            Request::Frozen => Ok(Response::Frozen { freezes: self.state.freezes().to_vec() }),
        };
        answer.unwrap_or_else(|refusal| {
            tracing::warn!(code = %refusal.code, detail = refusal.detail, "refused");
            Response::Refused(refusal)
        })
    }

    fn hello(&mut self, hello: &Hello) -> Result<HelloAnswer, Refusal> {
        if hello.version != VERSION {
            let found = hello.version;
            return refuse(
                RefusalCode::Version,
                format!("this signer speaks version {VERSION}, not {found}"),
            );
        }
        if let Some(seen) = &hello.journal_seen {
            let known = self.journal.contains(seen) || self.state.forgives(seen);
            if !known && self.rolled_back.is_none() {
                let reason = format!("a client has seen {}, which is not in it", show(seen));
                tracing::error!(reason, "the journal may be an old copy: nothing is signed");
                self.rolled_back = Some(reason);
            }
        }
        let policy = self.policy()?;
        Ok(HelloAnswer {
            version: VERSION,
            chains: policy.chains().to_vec(),
            journal: self.journal.head(),
            log_keys: log_keys(&self.keys, &policy, policy.named_logs()).map_err(unavailable)?,
        })
    }

    fn address(&mut self, request: &AddressRequest) -> Result<KeyedAddress, Refusal> {
        self.check_journal()?;
        if !self.policy()?.chains().contains(&request.chain) {
            return refuse(
                RefusalCode::Policy,
                format!("the policy does not name {}", request.chain),
            );
        }
        if (KeyPath::ANCHOR + 1..KeyPath::FIRST_CUSTOMER).contains(&request.key.account()) {
            return refuse(
                RefusalCode::Policy,
                format!("account {} is reserved", request.key.account()),
            );
        }
        let address = self.derive(&request.chain, request.key)?;
        let keyed = KeyedAddress { key: request.key, address };
        if self.state.own_key(&keyed.address).is_none() {
            self.record(Record::Issued { address: keyed.clone() })?;
        }
        Ok(keyed)
    }

    /// The promise is on the disk when this returns. What was signed cannot be cancelled: the signature
    /// may be anywhere.
    fn cancel(&mut self, request: &CancelRequest) -> Result<Cancelled, Refusal> {
        self.check_journal()?;
        if request.reason.len() > REASON_BYTES_MAX {
            return refuse(RefusalCode::BadRequest, "the reason is too long".to_owned());
        }
        if self.state.is_signed(request.intent) {
            return refuse(RefusalCode::Conflict, "it was signed, and may be paid".to_owned());
        }
        if self.state.is_cancelled(request.intent) {
            return Ok(Cancelled { journal: self.head() });
        }
        let CancelRequest { intent, reason } = request.clone();
        let journal = self.record(Record::Cancelled { intent, reason })?;
        tracing::warn!(%intent, "cancelled");
        Ok(Cancelled { journal })
    }

    fn freeze(&mut self, request: &FreezeRequest) -> Result<Response, Refusal> {
        self.check_journal()?;
        if request.reason.len() > REASON_BYTES_MAX {
            return refuse(RefusalCode::BadRequest, "the reason is too long".to_owned());
        }
        if !self.state.freezes().contains(request) {
            self.record(Record::Frozen { freeze: request.clone() })?;
            tracing::warn!(asset = ?request.asset, account = ?request.account, "frozen");
        }
        Ok(Response::Frozen { freezes: self.state.freezes().to_vec() })
    }

    /// The address of `key`, derived here.
    pub(crate) fn derive(&self, chain: &ChainId, key: KeyPath) -> Result<Address, Refusal> {
        derive(&self.keys, chain, key)
    }

    /// Writes a record; on the disk, and in the state, when this returns.
    pub(crate) fn record(
        &mut self,
        record: Record,
    ) -> Result<signer_protocol::JournalHead, Refusal> {
        let entry = Entry { time: self.now()?, record };
        let head = self.journal.append(&entry).map_err(unavailable)?;
        self.state.apply(&entry);
        Ok(head)
    }

    /// The newest head of the journal.
    #[must_use]
    pub fn head(&self) -> signer_protocol::JournalHead {
        self.journal.head()
    }

    /// The policy as it is in the file now.
    pub(crate) fn policy(&self) -> Result<Policy, Refusal> {
        load_policy(&self.policy).map_err(unavailable)
    }

    /// Now, in seconds since 1970; never before the journal's last record.
    pub(crate) fn now(&self) -> Result<u64, Refusal> {
        let last = self.state.last_time;
        match (self.clock)() {
            Some(now) if now.saturating_add(CLOCK_BACK_SECONDS_MAX) >= last => Ok(now.max(last)),
            Some(_) => refuse(RefusalCode::Unavailable, "the clock went back".to_owned()),
            None => refuse(RefusalCode::Unavailable, "the clock cannot be read".to_owned()),
        }
    }

    /// The high-water mark, where the journal does not contain it.
    pub(crate) fn lost_mark(&self) -> Result<Option<signer_protocol::JournalHead>, JournalError> {
        Ok(match self.journal.standing()? {
            Standing::Behind(mark) => mark,
            Standing::Current => None,
        })
    }

    /// The operator reconciled the journal.
    pub(crate) fn trust_journal(&mut self) -> Result<(), JournalError> {
        self.journal.accept()?;
        self.rolled_back = None;
        Ok(())
    }

    /// Refuses when the journal is known to be an old copy.
    pub(crate) fn check_journal(&self) -> Result<(), Refusal> {
        match &self.rolled_back {
            None => Ok(()),
            Some(reason) => refuse(
                RefusalCode::JournalRolledBack,
                format!("{reason}; run `roadstead-signer reconcile`"),
            ),
        }
    }
}

/// What the policy asks of the past, for one intent at one moment.
pub(crate) struct Past<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: u64,
    pub(crate) intent: IntentId,
}

impl History for Past<'_> {
    fn own_key(&self, address: &Address) -> Option<KeyPath> {
        self.state.own_key(address)
    }

    fn charged(&self, purpose: Purpose, subject: &str) -> Result<Charge, AmountError> {
        self.state.charged(self.now, self.intent, purpose, subject)
    }

    fn signed_checkpoint(&self, commitment: &AnchorCommitment) -> bool {
        self.state.signed_checkpoint(commitment)
    }
}

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Box::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs())
    })
}

/// Reads and checks the policy file.
///
/// # Errors
/// When it cannot be read, is not understood, or others than its owner may write it.
pub fn load_policy(path: &Path) -> anyhow::Result<Policy> {
    use anyhow::Context as _;
    use std::os::unix::fs::MetadataExt;
    let place = || format!("the policy {}", path.display());
    let mode = std::fs::metadata(path).with_context(place)?.mode();
    anyhow::ensure!(mode & 0o022 == 0, "{} can be written by others: chmod 644", place());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let policy: Policy = toml::from_str(&text).with_context(place)?;
    policy.validate(chain_families::check_address).with_context(place)?;
    Ok(policy)
}

/// The address of `key` on `chain`.
pub(crate) fn derive(keys: &Keys, chain: &ChainId, key: KeyPath) -> Result<Address, Refusal> {
    let public = keys
        .public_key(chain, key)
        .or_else(|error| refuse(RefusalCode::BadRequest, error.to_string()))?;
    let bytes: &[u8] = match &public {
        PublicKey::Secp256k1(bytes) => bytes,
        PublicKey::Ed25519(bytes) => bytes,
    };
    chain_families::address_of_public_key(chain, key.scheme(), bytes)
        .or_else(|error| refuse(RefusalCode::BadRequest, error.to_string()))
}

/// A place in a journal as the operator reads and types it.
#[must_use]
pub fn show(head: &signer_protocol::JournalHead) -> String {
    format!("{}:{}", head.records, hex::encode(head.hash))
}

pub(crate) fn refuse<T>(code: RefusalCode, detail: String) -> Result<T, Refusal> {
    Err(Refusal { code, detail })
}

pub(crate) fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal { code: RefusalCode::Unavailable, detail: format!("{error:#}") }
}

/// The verifier keys of these logs, one for each generation of the key that signs.
pub(crate) fn log_keys<'a>(
    keys: &Keys,
    policy: &Policy,
    origins: impl Iterator<Item = &'a String>,
) -> Result<Vec<String>, NoteError> {
    let mut found = Vec::new();
    for origin in origins {
        for generation in policy.log_keys() {
            let public = keys.log_public_key(*generation)?;
            found.push(custody::note::verifier_key(origin, &public)?);
        }
    }
    Ok(found)
}
