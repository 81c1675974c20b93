//! `roadstead-witness`: cosigns what continues what it cosigned.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use api_verify::note::VerifierKey;
use api_witness::store::Store;
use api_witness::{Witness, http};
use clap::{Parser, Subcommand};

/// A witness of transparency logs (C2SP tlog-witness): cosigns a checkpoint only when it continues
/// the last one that it cosigned.
#[derive(Parser)]
#[command(name = "roadstead-witness", version)]
struct Arguments {
    /// The folder with its key and what it remembers. Never restore it from a backup: a witness that
    /// forgot what it signed may sign a fork. Make a new one, with a new key.
    #[arg(long)]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the folder and a new key; prints the verifier key that readers put into their policies.
    Init {
        /// A name of yours without a scheme, such as witness.example/w1.
        name: String,
    },
    /// Watches a log, or accepts a further key of one.
    AddLog {
        /// The log's verifier key; its name is the log's origin.
        key: VerifierKey,
    },
    /// Prints the verifier key, and each log with the size that was cosigned last.
    Status,
    /// Serves POST /add-checkpoint over plain HTTP; put it behind a proxy with TLS.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:7380")]
        listen: SocketAddr,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { folder, command }: &Arguments) -> Result<(), String> {
    let failed = |error: api_witness::store::StoreError| error.to_string();
    if let Command::Init { name } = command {
        return say(&Store::init(folder, name).map_err(failed)?);
    }
    let (store, key) = Store::open(folder).map_err(failed)?;
    match command {
        Command::Init { .. } => Ok(()),
        Command::AddLog { key } => {
            let log = store.add_log(key).map_err(failed)?;
            say(&format!("{} is watched, with {} key(s)", log.origin, log.keys.len()))
        }
        Command::Status => {
            say(&key.verifier_key())?;
            for log in store.logs().map_err(failed)? {
                say(&format!("{} {} {}", log.origin, log.size, log.root))?;
            }
            Ok(())
        }
        Command::Serve { listen } => serve(Witness::new(store, key), *listen),
    }
}

fn serve(witness: Witness, listen: SocketAddr) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let bound = tokio::net::TcpListener::bind(listen).await;
        let listener = bound.map_err(|error| format!("{listen}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        say(&format!("{} listens on http://{address}", witness.verifier_key()))?;
        let stopped = async {
            // Without a handler the process ends by the signal itself, which is as good.
            let _ = tokio::signal::ctrl_c().await;
        };
        let served = http::serve(listener, Arc::new(witness), stopped).await;
        served.map_err(|error| error.to_string())
    })
}

fn say(line: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
