use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use testnets::{Port, provision};

use crate::show;
use crate::state::{Files, State};

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Where the networks are to be, and how fast.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// Port of the EVM node.
    #[arg(long, default_value_t = 8545)]
    pub(crate) evm_port: u16,
    /// RPC port of the Bitcoin node.
    #[arg(long, default_value_t = 18443)]
    pub(crate) bitcoin_port: u16,
    /// Port of the Solana node; subscriptions are on the next one.
    #[arg(long, default_value_t = 8899)]
    pub(crate) solana_port: u16,
    /// Milliseconds between EVM blocks; 0 mines with each transaction only.
    #[arg(long, default_value_t = 1000)]
    pub(crate) evm_block_ms: u64,
    /// Milliseconds between Bitcoin blocks; 0 mines on request only.
    #[arg(long, default_value_t = 5000)]
    pub(crate) bitcoin_block_ms: u64,
    /// Milliseconds of a Solana slot.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(10..=1000))]
    pub(crate) solana_slot_ms: u64,
}

impl Settings {
    fn arguments(&self) -> Vec<String> {
        let pairs = [
            ("--evm-port", u64::from(self.evm_port)),
            ("--bitcoin-port", u64::from(self.bitcoin_port)),
            ("--solana-port", u64::from(self.solana_port)),
            ("--evm-block-ms", self.evm_block_ms),
            ("--bitcoin-block-ms", self.bitcoin_block_ms),
            ("--solana-slot-ms", self.solana_slot_ms),
        ];
        pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect()
    }

    /// Fails early, and by name, when a port is not to be had.
    fn check_ports(&self) -> anyhow::Result<()> {
        let ws_port = self.solana_port.checked_add(1).context("--solana-port is too high")?;
        Port::fixed(self.evm_port, "the EVM node", "--evm-port")?;
        Port::fixed(self.bitcoin_port, "the Bitcoin node", "--bitcoin-port")?;
        Port::fixed(self.solana_port, "the Solana node", "--solana-port")?;
        Port::fixed(ws_port, "Solana subscriptions", "--solana-port")?;
        let all = [self.evm_port, self.bitcoin_port, self.solana_port, ws_port];
        for (index, port) in all.iter().enumerate() {
            if all.iter().skip(index + 1).any(|other| other == port) {
                bail!("port {port} is asked for twice; each network needs its own");
            }
        }
        Ok(())
    }
}

/// Starts the networks in the background, unless they run.
pub(crate) async fn up(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let files = Files::open()?;
    if files.running()?.is_some() {
        show::note("the networks are up already, with the settings they were started with");
    } else {
        settings.check_ports()?;
        provide().await?;
        let holder = start_holder(settings, &files)?;
        wait_until_up(holder, &files).await?;
    }
    show::status(json).await
}

/// Asks the background process to stop, and waits until it has.
pub(crate) fn down(json: bool) -> anyhow::Result<()> {
    let files = Files::open()?;
    let was_up = files.running()?.is_some();
    if was_up {
        files.ask_to_stop()?;
        let limit = Instant::now() + STOP_LIMIT;
        while files.try_claim()?.is_none() {
            if Instant::now() > limit {
                bail!("the background process does not stop; see {}", files.log().display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let text = if was_up { "the networks are down" } else { "the networks were not up" };
    show::print(json, &json!({ "running": false, "was_running": was_up }), text)
}

/// Finds or builds the node programs.
pub(crate) async fn install(json: bool) -> anyhow::Result<()> {
    let (anvil, bitcoind, solana) = provide().await?;
    let value = json!({ "anvil": anvil, "bitcoind": bitcoind, "solana": solana });
    let text = format!("anvil     {anvil}\nbitcoind  {bitcoind}\nsolana    {solana}");
    show::print(json, &value, &text)
}

/// One after the other: each build takes the whole machine anyway.
async fn provide() -> anyhow::Result<(String, String, String)> {
    let anvil = provision::in_background(provision::anvil).await?;
    let bitcoind = provision::in_background(provision::bitcoind).await?;
    let solana = provision::in_background(provision::solana).await?;
    Ok((
        anvil.display().to_string(),
        bitcoind.display().to_string(),
        solana.path().display().to_string(),
    ))
}

fn start_holder(settings: &Settings, files: &Files) -> anyhow::Result<Child> {
    let log = File::create(files.log()).with_context(|| files.log().display().to_string())?;
    let errors = log.try_clone()?;
    Command::new(std::env::current_exe()?)
        .arg("hold")
        .args(settings.arguments())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // It stays when this terminal gets a Ctrl-C.
        .process_group(0)
        .spawn()
        .context("the background process did not start")
}

async fn wait_until_up(mut holder: Child, files: &Files) -> anyhow::Result<State> {
    let limit = Instant::now() + START_LIMIT;
    loop {
        if let Some(status) = holder.try_wait()? {
            let log = std::fs::read_to_string(files.log()).unwrap_or_default();
            bail!("the networks did not start ({status}):\n{}", log.trim_end());
        }
        if let Some(state) = files.running()? {
            return Ok(state);
        }
        if Instant::now() > limit {
            files.ask_to_stop()?;
            bail!("the networks are not up after 90 s; see {}", files.log().display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
