//! `roadstead-verify`: says what a receipt proves.

mod node;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use api_verify::Language;
use api_verify::anchor::TrustedBlocks;
use api_verify::answer::{ACCEPTED, Answer, INCOMPLETE, USAGE};
use api_verify::checkpoint::Checkpoint;
use api_verify::log::{self, Known, LogAudit};
use api_verify::note::VerifierKey;
use api_verify::policy::Policy;
use api_verify::receipt::Receipt;
use api_verify::report::{Report, Shortfall};
use clap::Parser;
use serde_json::json;

use crate::node::NodeUrl;

/// No receipt is as large.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Says what a Roadstead receipt proves, by whom and since when, and what it does not.
///
/// Works offline; only --node opens a connection. Exit codes: 0 everything asked for is proved; 1 the
/// receipt is refused, something in it is false; 2 wrong usage, or a file cannot be read; 3 nothing
/// is false, but not everything asked for could be proved.
#[derive(Parser)]
#[command(name = "roadstead-verify", version)]
struct Arguments {
    /// The receipt, a JSON file; `-` for standard input.
    #[arg(required_unless_present = "log")]
    receipt: Option<PathBuf>,
    /// Audit a whole log instead: a folder of its C2SP tlog-tiles files. A receipt that is given too
    /// must be of this log, with --keep more of them, or checkpoints that somebody kept.
    #[arg(long)]
    log: Option<PathBuf>,
    /// With --log: a kept receipt or checkpoint that the log must still contain; may be repeated.
    #[arg(long = "keep", requires = "log")]
    kept: Vec<PathBuf>,
    /// An OpenTimestamps proof: say whether it stamps the file that is given as the receipt, or a
    /// checkpoint in it. With --headers, a Bitcoin header of 80 bytes shows since when.
    #[arg(long, conflicts_with_all = ["log", "policy", "keys", "nodes"])]
    ots: Option<PathBuf>,
    /// Whom to trust, and how many anchors are wanted (C2SP tlog-policy, with `anchor` lines).
    #[arg(long)]
    policy: Option<PathBuf>,
    /// A log or witness to trust, as a C2SP verifier key; may be repeated.
    #[arg(long = "key")]
    keys: Vec<VerifierKey>,
    /// Blocks known to be on their chains: lines of `<CAIP-2 id> <block hash or Bitcoin header>`.
    #[arg(long)]
    headers: Option<PathBuf>,
    /// A node to ask about anchors: evm=URL, bitcoin=URL or solana=URL; may be repeated.
    #[arg(long = "node")]
    nodes: Vec<NodeUrl>,
    /// The language of the lines: en or zh. JSON and codes are the same in both.
    #[arg(long, default_value = "en")]
    language: Language,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let answer = run(&arguments).unwrap_or_else(Answer::usage);
    let mut out = io::stdout().lock();
    let written = if arguments.json {
        writeln!(out, "{}", answer.json)
    } else {
        answer.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    };
    ExitCode::from(if written.is_err() { USAGE } else { answer.exit_code })
}

fn run(arguments: &Arguments) -> Result<Answer, String> {
    let mut policy = match &arguments.policy {
        Some(file) => {
            read(file)?.parse().map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => Policy::default(),
    };
    policy.add_keys(arguments.keys.clone());
    let trusted = match &arguments.headers {
        Some(file) => TrustedBlocks::parse(&read(file)?)
            .map_err(|line| format!("{}: line {line} is no block", file.display()))?,
        None => TrustedBlocks::default(),
    };
    if let Some(folder) = &arguments.log {
        let kept = arguments.kept.iter().chain(&arguments.receipt);
        return audit_log(folder, &policy, kept);
    }
    let receipt = read(arguments.receipt.as_deref().unwrap_or(Path::new("-")))?;
    if let Some(proof) = &arguments.ots {
        let bytes =
            std::fs::read(proof).map_err(|error| format!("{}: {error}", proof.display()))?;
        return Ok(api_verify::stamp::judge(&receipt, &bytes, &trusted));
    }
    let examined = api_verify::parse(&receipt)
        .and_then(|receipt| Ok((api_verify::examine(&receipt, &policy, &trusted)?, receipt)));
    let language = arguments.language;
    Ok(match examined {
        Err(error) => Answer::refused(error.code(), &error.to_string(), language),
        Ok((mut report, receipt)) => match ask_nodes(&arguments.nodes, &receipt, &mut report) {
            Err(denial) => Answer::refused("node", &denial, language),
            Ok(failures) => Answer::judged(&report, &policy, failures, language),
        },
    })
}

fn audit_log<'a>(
    folder: &Path,
    policy: &Policy,
    kept: impl Iterator<Item = &'a PathBuf>,
) -> Result<Answer, String> {
    let mut known = Known::default();
    for file in kept {
        let content = read(file)?;
        let added = match api_verify::parse(&content) {
            Ok(receipt) => known.add_receipt(&receipt),
            Err(_) => Checkpoint::parse(&content).map(|note| known.add_checkpoint(&note)),
        };
        added.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let file = |path: &str| std::fs::read(folder.join(path)).ok();
    Ok(match log::audit(file, policy, &known) {
        Err(error) => Answer::refused("log", &error.to_string(), Language::English),
        Ok(LogAudit { origin, size, roots, signed }) => {
            let lines = vec![
                format!("proved: all {size} entries of the log {origin}, and {roots} of its roots"),
                if signed {
                    "proved: the checkpoint is signed by a key that you trust".to_owned()
                } else {
                    "not proved: by whom; no log key was given (--key or --policy)".to_owned()
                },
            ];
            let verdict = if signed { "accepted" } else { "incomplete" };
            let json = json!({
                "verdict": verdict, "origin": origin, "size": size, "roots": roots, "signed": signed,
            });
            let exit_code = if signed { ACCEPTED } else { INCOMPLETE };
            Answer { exit_code, json, lines }
        }
    })
}

/// Asks the nodes; answers what could not be asked.
///
/// The error is a node's denial: the block or transaction is not on its chain.
fn ask_nodes(
    nodes: &[NodeUrl],
    receipt: &Receipt,
    report: &mut Report,
) -> Result<Vec<Shortfall>, String> {
    let mut failures = Vec::new();
    for (anchor, found) in receipt.anchors.iter().zip(&mut report.anchors) {
        for node in nodes.iter().filter(|node| node.serves(&anchor.evidence)) {
            match node.confirm(&anchor.evidence, found) {
                Ok(()) => {}
                Err(node::NodeAnswer::Denied(denial)) => {
                    return Err(format!("{}: {denial}", found.chain));
                }
                Err(node::NodeAnswer::Failed(failure)) => {
                    failures.push(Shortfall::Node { chain: found.chain.clone(), failure });
                }
            }
        }
    }
    Ok(failures)
}

fn read(file: &Path) -> Result<String, String> {
    let mut content = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut content)
    } else {
        std::fs::File::open(file)
            .and_then(|open| open.take(FILE_BYTES_MAX).read_to_string(&mut content))
    };
    match read {
        Ok(_) => Ok(content),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}
