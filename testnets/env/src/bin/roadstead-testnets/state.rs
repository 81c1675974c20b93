use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use testnets::cache_dir;

/// What runs in the background, as `up` leaves it for the other commands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process that keeps the networks alive.
    pub(crate) pid: u32,
    /// The keys that everybody knows.
    pub(crate) mnemonic: String,
    pub(crate) evm: Network,
    pub(crate) bitcoin: Network,
    pub(crate) solana: Network,
}

/// One network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Its CAIP-2 id.
    pub(crate) chain: String,
    pub(crate) rpc_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ws_url: Option<String>,
    /// The CAIP-19 id of the test token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// The files that the commands and the background process share.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let folder = cache_dir()?.join("testnets");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn stop(&self) -> PathBuf {
        self.folder.join("stop")
    }

    /// Takes the right to run the networks, which ends with the process, however it ends; `None`
    /// while somebody has it.
    pub(crate) fn try_claim(&self) -> anyhow::Result<Option<File>> {
        let lock = self.lock_file("lock")?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error).context("lock"),
        }
    }

    /// Waits for the turn to use the faucet, so that two commands do not spend the same coin.
    pub(crate) fn faucet_turn(&self) -> anyhow::Result<File> {
        let lock = self.lock_file("faucet.lock")?;
        lock.lock().context("faucet.lock")?;
        Ok(lock)
    }

    fn lock_file(&self, name: &str) -> anyhow::Result<File> {
        let path = self.folder.join(name);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.with_context(|| path.display().to_string())
    }

    /// What runs; `None` when nothing does, whatever an earlier process has left behind.
    pub(crate) fn running(&self) -> anyhow::Result<Option<State>> {
        if self.try_claim()?.is_some() {
            return Ok(None);
        }
        match fs::read(self.state()) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).context("state.json")?)),
            Err(_) => Ok(None),
        }
    }

    /// What runs, or an error that says how to start it.
    pub(crate) fn required(&self) -> anyhow::Result<State> {
        match self.running()? {
            Some(state) => Ok(state),
            None => bail!("the networks are not up; start them with: cargo testnets up"),
        }
    }

    /// Publishes the state, whole or not at all.
    pub(crate) fn write(&self, state: &State) -> anyhow::Result<()> {
        let draft = self.folder.join("state.json.new");
        fs::write(&draft, serde_json::to_vec_pretty(state)?)?;
        fs::rename(&draft, self.state()).context("state.json")
    }

    /// Forgets an earlier run.
    pub(crate) fn clear(&self) {
        for path in [self.state(), self.stop()] {
            // Mostly it is not there.
            let _ = fs::remove_file(path);
        }
    }

    pub(crate) fn ask_to_stop(&self) -> anyhow::Result<()> {
        fs::write(self.stop(), "").context("stop")
    }

    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.stop().exists()
    }
}
