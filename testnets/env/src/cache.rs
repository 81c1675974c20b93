use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, at};

/// Where node programs and the state of `cargo testnets` are kept: `ROADSTEAD_CACHE`, else
/// `XDG_CACHE_HOME/roadstead`, else `~/.cache/roadstead`.
///
/// # Errors
/// [`Error::Refused`] when none of the variables and no home folder is known.
pub fn cache_dir() -> Result<PathBuf> {
    let variable =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("ROADSTEAD_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("roadstead")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/roadstead")))
        .ok_or_else(|| {
            Error::Refused("set HOME or ROADSTEAD_CACHE: there is no folder to cache in".into())
        })?;
    std::path::absolute(&folder).map_err(at(folder))
}

/// Opens (and makes) a lock file; lock it with [`File::lock`]. The lock ends with the process.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    File::options().create(true).truncate(false).write(true).open(path).map_err(at(path))
}
