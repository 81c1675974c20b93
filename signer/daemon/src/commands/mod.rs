//! What the operator types.

mod backups;
mod inspect;
mod operate;
mod setup;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::engine::{Engine, system_clock};
use crate::passphrase::PassphraseSource;
use crate::server::Server;

/// The process that holds Roadstead's keys
#[derive(Debug, Parser)]
#[command(name = "roadstead-signer", version)]
pub struct Cli {
    /// The settings
    #[arg(long, global = true, default_value = "/etc/roadstead-signer/signer.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the keystore and an empty journal, with a new mnemonic (printed once) or an imported one
    Init(setup::Init),
    /// Answer the server on the socket
    Serve(PassphraseSource),
    /// Write keystore and journal to one encrypted file
    Backup(backups::BackUp),
    /// Put a backup in place, where there is nothing yet
    Restore(backups::Restore),
    /// Restore the newest backup in a scratch folder and derive every issued address again
    Drill(backups::Drill),
    /// List the addresses that were issued, with the paths by which other wallets find them
    Addresses,
    /// Print the log's C2SP verifier keys
    LogKey(inspect::LogKey),
    /// Look at the policy
    Policy {
        #[command(subcommand)]
        command: inspect::PolicyCommand,
    },
    /// Stop signing for an asset, a wallet, or everything
    Freeze(operate::Freeze),
    /// Lift a freeze; the signer must be stopped
    Thaw(operate::Thaw),
    /// Accept that the journal's end was lost, after importing the server's export
    Reconcile(operate::Reconcile),
}

/// Runs a command; the process is hardened before anything secret is read.
///
/// # Errors
/// What went wrong, for the operator.
pub fn run(cli: Cli) -> Result<()> {
    crate::harden::harden().context("the process cannot be kept from dumping core")?;
    let config = Config::load(&cli.config)?;
    match cli.command {
        Command::Init(init) => init.run(&config),
        Command::Serve(passphrase) => serve(config, &passphrase),
        Command::Backup(backup) => backup.run(&config),
        Command::Restore(restore) => restore.run(&config),
        Command::Drill(drill) => drill.run(&config),
        Command::Addresses => inspect::addresses(&config),
        Command::LogKey(log_key) => log_key.run(&config),
        Command::Policy { command } => command.run(&config),
        Command::Freeze(freeze) => freeze.run(&config),
        Command::Thaw(thaw) => thaw.run(&config),
        Command::Reconcile(reconcile) => reconcile.run(&config),
    }
}

fn serve(config: Config, passphrase: &PassphraseSource) -> Result<()> {
    crate::harden::lock_memory();
    let _lock = crate::lock::lock(&config)?;
    let engine = open_engine(&config, passphrase)?;
    let socket = config.socket.display().to_string();
    let server = Server::start(engine, config).with_context(|| socket.clone())?;
    tracing::info!(socket, "ready");
    say(&format!("ready {socket}"))?;
    server.wait();
    Ok(())
}

fn open_engine(config: &Config, passphrase: &PassphraseSource) -> Result<Engine> {
    let keys = custody::keystore::open(&config.keystore(), &passphrase.read()?)?;
    Ok(Engine::open(config, keys, system_clock())?)
}

fn now() -> Result<u64> {
    system_clock()().context("the clock cannot be read")
}

/// Prints a line to standard output.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn say_json(value: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?)
}
