//! Finds the node programs, or builds each once into the cache.

mod anvil;
mod bitcoind;
mod progress;
mod recipe;
mod solana;

use std::path::{Path, PathBuf};

pub use self::progress::Progress;
use crate::error::{Error, Result};

/// Which Solana node there is; the two take different arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SolanaProgram {
    /// Agave's `solana-test-validator`, found on `PATH`.
    TestValidator(PathBuf),
    /// The program in `testnets/solana-node`.
    Own(PathBuf),
}

impl SolanaProgram {
    /// Where the program is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::TestValidator(path) | Self::Own(path) => path,
        }
    }
}

/// The EVM node: `anvil` on `PATH`, else from the cache, where it is installed if need be.
///
/// # Errors
/// [`Error::Provision`], which says what to install.
pub fn anvil() -> Result<PathBuf> {
    on_path("anvil").map_or_else(|| anvil::recipe().install(), Ok)
}

/// The Bitcoin node: `bitcoind` on `PATH`, else from the cache, where it is built if need be.
///
/// # Errors
/// [`Error::Provision`], which says what to install.
pub fn bitcoind() -> Result<PathBuf> {
    on_path("bitcoind").map_or_else(|| bitcoind::recipe().install(), Ok)
}

/// The Solana node: `solana-test-validator` on `PATH`, else ours from the cache, where it is built
/// if need be.
///
/// # Errors
/// [`Error::Provision`], which says what to install.
pub fn solana() -> Result<SolanaProgram> {
    match on_path("solana-test-validator") {
        Some(path) => Ok(SolanaProgram::TestValidator(path)),
        None => Ok(SolanaProgram::Own(solana::recipe()?.install()?)),
    }
}

/// Runs a provisioning step, which may take minutes, without holding up the other tasks.
///
/// # Errors
/// Those of `step`.
pub async fn in_background<T: Send + 'static>(
    step: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(step)
        .await
        .map_err(|error| Error::Refused(format!("provisioning was aborted: {error}")))?
}

/// The executable file `name` in one of the folders of `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
