use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::progress::Progress;
use super::recipe::Recipe;

const VERSION: &str = "1.7.1";

/// Foundry's own build, from npm: the platform package carries the program, and the main package
/// chooses the platform.
pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "anvil",
        version: VERSION.into(),
        tools: &[("npm", "npm")],
        hint: "",
        expect: "a download of 44 MB, about 10 s",
        build,
    }
}

fn build(work: &Path, progress: &Progress) -> Result<Vec<PathBuf>, String> {
    let package = format!("@foundry-rs/anvil@{VERSION}");
    let options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
    progress.run(
        Command::new("npm").arg("install").args(options).arg("--prefix").arg(work).arg(package),
    )?;
    let packages = work.join("node_modules/@foundry-rs");
    let folders = fs::read_dir(&packages).map_err(|error| format!("{packages:?}: {error}"))?;
    let found = folders
        .filter_map(Result::ok)
        .filter(|folder| folder.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|folder| folder.path().join("bin/anvil"))
        .find(|path| path.exists());
    found.map(|path| vec![path]).ok_or_else(|| "npm has no anvil for this platform".into())
}
