use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use chain_core::AssetId;
use signer_protocol::{
    FreezeRequest, Hello, JournalHead, Request, Response, VERSION, decode, encode, frame_bytes,
};

use super::{now, open_engine, say_json};
use crate::config::Config;
use crate::journal::Journal;
use crate::passphrase::PassphraseSource;
use crate::reconcile::Exported;
use crate::record::{Entry, Record};

#[derive(Debug, clap::Args)]
struct Target {
    /// This asset alone (CAIP-19)
    #[arg(long)]
    asset: Option<AssetId>,
    /// This account alone
    #[arg(long)]
    account: Option<u32>,
    /// Why
    #[arg(long)]
    reason: String,
}

impl Target {
    fn request(self) -> FreezeRequest {
        FreezeRequest { asset: self.asset, account: self.account, reason: self.reason }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Freeze {
    #[command(flatten)]
    target: Target,
}

impl Freeze {
    /// Through the socket when the signer runs, else into the journal.
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let freeze = self.target.request();
        if let Ok(stream) = UnixStream::connect(&config.socket) {
            return freeze_over(stream, freeze, config);
        }
        append(config, Record::Frozen { freeze })
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Thaw {
    #[command(flatten)]
    target: Target,
}

impl Thaw {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        append(config, Record::Thawed { thaw: self.target.request() })
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Reconcile {
    /// The server's export of what was signed, a JSON line each
    #[arg(long, required_unless_present = "without_export")]
    export: Option<PathBuf>,
    /// There is no export: I checked on the chains what was signed
    #[arg(long, conflicts_with = "export")]
    without_export: bool,
    /// A head of the lost journal that a client has seen, as the refusal shows it
    #[arg(long, value_name = "RECORDS:HASH", value_parser = parse_head)]
    lost_head: Vec<JournalHead>,
    /// I confirm that nothing was signed but what this journal and the export hold
    #[arg(long, required = true)]
    nothing_else_was_signed: bool,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    passphrase: PassphraseSource,
}

impl Reconcile {
    pub(super) fn run(self, config: &Config) -> Result<()> {
        let _lock = crate::lock::lock(config)?;
        let export = match &self.export {
            Some(path) => read_export(path)?,
            None => Vec::new(),
        };
        custody::durable::create_private_dir(&config.high_water_dir)?;
        let mut engine = open_engine(config, &self.passphrase)?;
        let imported = engine.reconcile(&export, self.lost_head, self.reason)?;
        say_json(&imported)
    }
}

fn read_export(path: &PathBuf) -> Result<Vec<Exported>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let place = || format!("{}: line {}", path.display(), index + 1);
            serde_json::from_str(line).with_context(place)
        })
        .collect()
}

fn parse_head(text: &str) -> Result<JournalHead, String> {
    let error = || "write it as <records>:<64 hex digits>".to_owned();
    let (records, hash) = text.split_once(':').ok_or_else(error)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).map_err(|_| error())?;
    Ok(JournalHead { records: records.parse().map_err(|_| error())?, hash: bytes })
}

fn append(config: &Config, record: Record) -> Result<()> {
    let _lock = crate::lock::lock(config)?;
    let (mut journal, contents) = Journal::open(&config.journal(), &config.high_water_dir)?;
    let state = crate::backup::fold(&contents);
    let entry = Entry { time: now()?.max(state.last_time), record };
    journal.append(&entry)?;
    let mut after = state;
    after.apply(&entry);
    say_json(&after.freezes())
}

fn freeze_over(mut stream: UnixStream, freeze: FreezeRequest, config: &Config) -> Result<()> {
    stream.set_read_timeout(Some(config.request_timeout()))?;
    stream.set_write_timeout(Some(config.request_timeout()))?;
    ask(&mut stream, &Request::Hello(Hello { version: VERSION, journal_seen: None }))?;
    match ask(&mut stream, &Request::Freeze(freeze))? {
        Response::Frozen { freezes } => say_json(&freezes),
        other => bail!("the signer's answer makes no sense: {other:?}"),
    }
}

fn ask(stream: &mut UnixStream, request: &Request) -> Result<Response> {
    stream.write_all(&encode(request)?)?;
    let mut header = [0; 4];
    stream.read_exact(&mut header).context("the signer did not answer")?;
    let mut body = vec![0; frame_bytes(header)?];
    stream.read_exact(&mut body).context("the signer did not answer")?;
    match decode(&body)? {
        Response::Refused(refusal) => Err(refusal.into()),
        response => Ok(response),
    }
}
