use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::progress::Progress;
use super::recipe::Recipe;
use crate::error::{Error, Result, at};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../solana-node");
const PROGRAM: &str = "roadstead-solana-node";

/// Our small program on surfpool-core, a package outside the workspace. Its version is what its
/// sources say, so that a change builds it anew.
pub(super) fn recipe() -> Result<Recipe> {
    Ok(Recipe {
        name: PROGRAM,
        version: source_version(Path::new(SOURCE))?,
        tools: &[
            ("cargo", "cargo"),
            ("g++", "g++"),
            ("make", "make"),
            ("pkg-config", "pkg-config"),
        ],
        hint: "libssl-dev",
        expect: "built from source, 6 to 12 minutes on two cores",
        build,
    })
}

fn source_version(source: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
        let path = source.join(file);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Provision {
                name: PROGRAM,
                reason: format!("{} is missing", path.display()),
                hint: "run this from a checkout of the repository".into(),
            },
            _ => at(&path)(error),
        })?;
        hash.update(bytes);
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

fn build(work: &Path, progress: &Progress) -> std::result::Result<Vec<PathBuf>, String> {
    let target = work.join("target");
    progress.run(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(Path::new(SOURCE).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            // Debian's OpenSSL instead of one compiled along.
            .env("OPENSSL_NO_VENDOR", "1")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    Ok(vec![target.join("release").join(PROGRAM)])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_changed_source_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let before = source_version(folder.path()).unwrap();
        fs::write(folder.path().join("src/main.rs"), "changed").unwrap();
        assert_ne!(before, source_version(folder.path()).unwrap());
        fs::remove_file(folder.path().join("Cargo.lock")).unwrap();
        assert!(source_version(folder.path()).unwrap_err().to_string().contains("checkout"));
    }
}
