use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The most bytes of a passphrase.
const BYTES_MAX: u64 = 4096;

/// Where the passphrase comes from. Never an argument, and never a variable of the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PassphraseSource {
    /// Read the passphrase from this open file descriptor
    #[arg(long, value_name = "NUMBER", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,
    /// Read the passphrase from this file, which only its owner may read
    /// [default: $CREDENTIALS_DIRECTORY/passphrase, systemd's LoadCredential]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// No source was named.
    #[error("name a passphrase: --passphrase-fd, --passphrase-file, or a systemd credential")]
    NoSource,
    /// It cannot be read.
    #[error("the passphrase cannot be read from {from}: {error}")]
    Read {
        /// From where.
        from: String,
        /// Why.
        error: std::io::Error,
    },
    /// Others may read the file.
    #[error("{0} can be read by others: chmod 600")]
    Open(PathBuf),
    /// Too long.
    #[error("the passphrase has more than {BYTES_MAX} bytes")]
    TooLong,
}

impl PassphraseSource {
    /// Reads the passphrase; one newline at its end is left out.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
        if let Some(number) = self.passphrase_fd {
            return read(&PathBuf::from(format!("/proc/self/fd/{number}")));
        }
        let credential = || {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
            Some(PathBuf::from(folder).join("passphrase"))
        };
        let path =
            self.passphrase_file.clone().or_else(credential).ok_or(PassphraseError::NoSource)?;
        let metadata = std::fs::metadata(&path).map_err(|error| failed(&path, error))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(PassphraseError::Open(path));
        }
        read(&path)
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    // Room for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(8192));
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() as u64 >= BYTES_MAX { Err(PassphraseError::TooLong) } else { Ok(bytes) }
}

fn failed(path: &Path, error: std::io::Error) -> PassphraseError {
    PassphraseError::Read { from: path.display().to_string(), error }
}
