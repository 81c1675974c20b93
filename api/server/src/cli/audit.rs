//! `roadstead audit …`.

use std::path::PathBuf;

use api_audit::{AuditLog, Damage};
use clap::Subcommand;
use uuid::Uuid;

use super::{ConfigFile, print};
use crate::app::App;
use crate::error::Error;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Writes the whole log as static files (C2SP tlog-tiles), which `roadstead-verify --log` audits
    /// and any web server can publish. Run again, it adds what is new.
    Export {
        #[command(flatten)]
        log: LogChoice,
        /// The folder, made when absent.
        #[arg(long)]
        to: PathBuf,
    },
    /// Checks every record, tile, checkpoint and stream in the database; exit code 1 at the first
    /// that is not as the log committed to.
    Check(LogChoice),
}

#[derive(Debug, clap::Args)]
pub(super) struct LogChoice {
    #[command(flatten)]
    config: ConfigFile,
    /// The log of this tenant, where it has one of its own; the shared log when absent.
    #[arg(long)]
    tenant: Option<Uuid>,
}

impl LogChoice {
    async fn open(&self) -> Result<(App, AuditLog), Error> {
        let app = App::open(self.config.load()?).await?;
        let Some(tenant) = self.tenant else {
            let shared = app.audit.shared().clone();
            return Ok((app, shared));
        };
        let log = app.audit.own(&mut app.db.read().await?, tenant).await?;
        let log = log.ok_or_else(|| Error::internal(format!("{tenant} has no log of its own")))?;
        Ok((app, log))
    }
}

/// False when a check found something.
pub(super) async fn run(command: AuditCommand) -> Result<bool, Error> {
    match command {
        AuditCommand::Export { log, to } => {
            let (app, log) = log.open().await?;
            let size = log.export(&mut app.db.read().await?, &to).await?;
            let size = size.ok_or_else(|| Error::internal("the log has no checkpoint yet"))?;
            print(&format!("{} at {size} entries: {}", log.origin(), to.display()))
        }
        AuditCommand::Check(log) => {
            let (app, log) = log.open().await?;
            match log.check(&mut app.db.read().await?).await {
                Ok(checked) => print(&format!(
                    "clean: {} records, {} checkpoints, {} streams",
                    checked.records, checked.checkpoints, checked.streams
                )),
                Err(Damage::Audit(error)) => Err(error.into()),
                Err(damage) => print(&format!("first damage: {damage}")).map(|_| false),
            }
        }
    }
}
