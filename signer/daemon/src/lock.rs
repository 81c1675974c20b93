use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rustix::fs::{FlockOperation, flock};

use crate::config::Config;

/// Held by the one process that may write the journal; released when it is dropped or the process
/// ends.
pub struct StateLock {
    _file: File,
}

/// Locks the state folder for writing.
///
/// # Errors
/// When another process holds it, or the folder is not this user's alone.
pub fn lock(config: &Config) -> io::Result<StateLock> {
    let dir = &config.state_dir;
    let metadata = std::fs::metadata(dir)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", dir.display())))?;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own || metadata.mode() & 0o077 != 0 {
        let reason = format!("{} must be this user's alone: chmod 700", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join("lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let reason = format!("another process uses {}; stop it first", dir.display());
        io::Error::new(io::ErrorKind::ResourceBusy, reason)
    })?;
    Ok(StateLock { _file: file })
}
