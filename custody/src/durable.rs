//! Files that survive a crash: written whole, synced, and their folder synced too.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Creates a folder that only its owner can enter, with its parents.
///
/// # Errors
/// The file system's.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    sync_dir(path)
}

/// Writes a file so that after a crash at any moment either the old or the new content is there,
/// whole: new file (mode 0600), sync, rename, sync of the folder.
///
/// # Errors
/// The file system's; the old content is then still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = name.to_owned();
    temporary.push(".new");
    let temporary = dir.join(temporary);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    sync_dir(dir)
}

/// Writes a new file (mode 0600) as [`replace`] does, and refuses to touch one that is there.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or the file system's.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if path.try_exists()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    replace(path, content)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The file system's.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
