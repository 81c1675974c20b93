//! The command line of `roadstead`.

mod audit;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::flows::{jobs, reconcile};
use crate::http;

const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The Roadstead server.
#[derive(Debug, Parser)]
#[command(name = "roadstead", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the API and runs the jobs.
    Serve(ConfigFile),
    /// Checks the configuration and says what is wrong with it.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Brings the database's schema up to date.
    Migrate(ConfigFile),
    /// Compares the books with the chains; exit code 1 when they differ.
    Reconcile(ConfigFile),
    /// Looks after the ledger.
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Prints a new key for `webhooks.key_file`.
    WebhookKey,
    /// Looks after the audit log.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the catalogue of error codes as Markdown.
    Errors,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads it as `serve` would, and stops.
    Check(ConfigFile),
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Recomputes every balance from the entries; exit code 1 at the first difference.
    Check(ConfigFile),
    /// Brings the tables of balances and marks up to date with what batches keep in the tail: for who
    /// reads them with SQL, and before an older version of this program is started.
    Fold(ConfigFile),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, default_value = "roadstead.toml")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Error> {
        Config::load(&self.config).map_err(Error::internal)
    }
}

/// Runs the command line; errors go to standard error.
pub async fn run() -> ExitCode {
    match dispatch(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "roadstead: {error}");
            ExitCode::from(2)
        }
    }
}

/// False when a check found something.
async fn dispatch(command: Command) -> Result<bool, Error> {
    match command {
        Command::Serve(file) => serve(file.load()?).await.map(|()| true),
        Command::Config { command: ConfigCommand::Check(file) } => {
            file.load()?;
            print("the configuration is valid")
        }
        Command::Migrate(file) => {
            App::open(file.load()?).await?;
            print("the schema is up to date")
        }
        Command::Reconcile(file) => {
            let findings = reconcile::run(&App::open(file.load()?).await?).await?;
            print(&serde_json::to_string_pretty(&findings)?)?;
            Ok(findings.iter().all(|finding| finding.agrees && finding.covered))
        }
        Command::Ledger { command: LedgerCommand::Check(file) } => check_ledger(file.load()?).await,
        Command::Ledger { command: LedgerCommand::Fold(file) } => {
            App::open(file.load()?).await?.ledger.fold().await?;
            print("the tables of balances and marks are up to date")
        }
        Command::WebhookKey => print(&api_webhooks::Vault::new_key().map_err(Error::internal)?),
        Command::Audit { command } => audit::run(command).await,
        Command::Openapi => print(&http::openapi().to_pretty_json()?),
        Command::Errors => print(&errors()),
    }
}

fn print(text: &str) -> Result<bool, Error> {
    writeln!(std::io::stdout(), "{text}").map_err(Error::internal)?;
    Ok(true)
}

async fn check_ledger(config: Config) -> Result<bool, Error> {
    let app = App::open(config).await?;
    let mut tx = app.db.read().await?;
    let report = app.ledger.check(&mut tx).await?;
    match &report.difference {
        None => print(&format!("clean: {} accounts, {} legs", report.accounts, report.legs)),
        Some(difference) => print(&format!("first difference: {difference}")).map(|_| false),
    }
}

/// The catalogue of error codes, as it stands in `docs/ERRORS.md`.
#[must_use]
pub fn errors() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery error is an RFC 9457 problem document (`application/problem+json`) with a stable `code`.\n\n\
         | code | status | what to do |\n|---|---|---|\n",
    );
    for code in crate::Code::ALL {
        text.push_str(&format!("| `{}` | {} | {} |\n", code.text(), code.status(), code.title()));
    }
    text
}

async fn serve(config: Config) -> Result<(), Error> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ROADSTEAD_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new();
    let metrics = recorder.install_recorder().map_err(Error::internal)?;
    let listener = TcpListener::bind(config.server.listen).await.map_err(|error| {
        Error::internal(format!(
            "cannot listen on {}: {error}; choose another server.listen",
            config.server.listen
        ))
    })?;
    let app = App::open(config).await?;
    let (stop, stopped) = watch::channel(false);
    let mut running = jobs::start(&app, &stopped);
    running.spawn(keep_up(metrics.clone(), stopped));
    tracing::info!(address = %listener.local_addr().map_err(Error::internal)?, "serving");
    let served = http::serve(listener, app, metrics, shutdown()).await;
    let _ = stop.send(true);
    while running.join_next().await.is_some() {}
    served.map_err(Error::internal)
}

/// Each measured time is kept by itself until it is folded into its distribution; when nobody asks for
/// the metrics that must be done all the same.
async fn keep_up(metrics: PrometheusHandle, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        metrics.run_upkeep();
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Ends at SIGTERM or Ctrl-C.
async fn shutdown() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
