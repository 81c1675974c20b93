use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::OnceCell;

use crate::cache::lock_file;
use crate::error::{Error, Result, at};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Set by the launcher, which has just built everything.
const BUILT: &str = "ROADSTEAD_BUILT";

static BINARIES: OnceCell<Binaries> = OnceCell::const_new();

/// The programs of this workspace, up to date with its sources.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The server, `roadstead`.
    pub roadstead: PathBuf,
    /// The signer, `roadstead-signer`.
    pub signer: PathBuf,
    /// The offline verifier, `roadstead-verify`.
    pub verify: PathBuf,
}

/// Builds the programs, once in this process, in the profile and target folder of the running test.
///
/// # Errors
/// [`Error::Refused`] with the compiler's words when they do not build.
pub async fn binaries() -> Result<&'static Binaries> {
    BINARIES.get_or_try_init(|| crate::provision::in_background(build)).await
}

fn build() -> Result<Binaries> {
    let own = std::env::current_exe().map_err(at("the running program"))?;
    let folder = profile_folder(&own).ok_or_else(|| {
        Error::Refused(format!("{} is not in a target folder of cargo", own.display()))
    })?;
    if std::env::var_os(BUILT).is_some() {
        return Ok(in_folder(folder));
    }
    let lock = lock_file(&folder.join("roadstead-binaries.lock"))?;
    lock.lock().map_err(at(folder))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bins"])
        .args(profile_arguments(folder))
        .arg("--target-dir")
        .arg(folder.parent().unwrap_or(folder))
        .current_dir(WORKSPACE)
        .output()
        .map_err(at("cargo"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Refused(format!("the programs do not build:\n{words}")));
    }
    Ok(in_folder(folder))
}

fn in_folder(folder: &Path) -> Binaries {
    Binaries {
        roadstead: folder.join("roadstead"),
        signer: folder.join("roadstead-signer"),
        verify: folder.join("roadstead-verify"),
    }
}

/// `target/debug` for both `target/debug/x` and `target/debug/deps/x-0123`.
fn profile_folder(program: &Path) -> Option<&Path> {
    let folder = program.parent()?;
    if folder.ends_with("deps") { folder.parent() } else { Some(folder) }
}

fn profile_arguments(folder: &Path) -> Vec<String> {
    match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => vec![],
        Some(profile) => vec!["--profile".into(), profile.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_read_off_the_running_program() {
        let test = Path::new("/w/target/debug/deps/flows-01ab");
        assert_eq!(profile_folder(test), Some(Path::new("/w/target/debug")));
        let program = Path::new("/w/target/release/roadstead-demo");
        let folder = profile_folder(program).unwrap_or(program);
        assert_eq!(profile_arguments(folder), ["--profile", "release"]);
        assert!(profile_arguments(Path::new("/w/target/debug")).is_empty());
    }
}
