use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::progress::Progress;
use super::recipe::Recipe;

/// The crate that bundles the sources of Bitcoin Core 31.99.
const CRATE: &str = "libbitcoinkernel-sys";
const CRATE_VERSION: &str = "0.4.1";
const PRECOMPILED_HEADERS: &str = include_str!("pch.cmake");

const OPTIONS: [&str; 15] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_DAEMON=ON",
    "-DBUILD_CLI=ON",
    "-DBUILD_BITCOIN_BIN=OFF",
    "-DBUILD_TESTS=OFF",
    "-DBUILD_BENCH=OFF",
    "-DBUILD_FUZZ_BINARY=OFF",
    "-DBUILD_GUI=OFF",
    "-DBUILD_TX=OFF",
    "-DBUILD_UTIL=OFF",
    "-DENABLE_WALLET=OFF",
    "-DENABLE_EXTERNAL_SIGNER=OFF",
    "-DENABLE_IPC=OFF",
    "-DWITH_EMBEDDED_ASMAP=OFF",
    "-DWITH_USDT=OFF",
];

/// Bitcoin Core from source. At `-O1`: the node's time goes into disk and network, not here.
pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "bitcoind",
        version: "31.99".into(),
        tools: &[
            ("cargo", "cargo"),
            ("cmake", "cmake"),
            ("g++", "g++"),
            ("make", "make"),
            ("strip", "binutils"),
        ],
        hint: "libboost-dev pkg-config",
        expect: "built from source, 6 to 12 minutes on two cores",
        build,
    }
}

fn build(work: &Path, progress: &Progress) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", work.display());
    let (source, build) = (work.join("core"), work.join("b"));
    if !source.exists() {
        // Copied under another name first: an interrupted copy must not pass for the whole.
        let partial = work.join("core.partial");
        let _ = fs::remove_dir_all(&partial);
        let bundled = bundled_source(work, progress)?;
        progress.run(Command::new("cp").arg("-r").arg(bundled).arg(&partial))?;
        fs::rename(&partial, &source).map_err(failed)?;
    }
    let headers = work.join("pch.cmake");
    fs::write(&headers, PRECOMPILED_HEADERS).map_err(failed)?;
    let mut include = OsString::from("-DCMAKE_PROJECT_BitcoinCore_INCLUDE=");
    include.push(&headers);
    progress.run(
        Command::new("cmake")
            .arg("-S")
            .arg(&source)
            .arg("-B")
            .arg(&build)
            .args(OPTIONS)
            .args(["-DINSTALL_MAN=OFF", "-DWITH_CCACHE=OFF", "-DAPPEND_CXXFLAGS=-O1"])
            .arg(include),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    progress.run(
        Command::new("cmake").arg("--build").arg(&build).arg(format!("-j{jobs}")).args([
            "--target",
            "bitcoind",
            "bitcoin-cli",
        ]),
    )?;
    let programs = [build.join("bin/bitcoind"), build.join("bin/bitcoin-cli")];
    progress.run(Command::new("strip").args(&programs))?;
    Ok(programs.into())
}

/// Lets cargo fetch the crate, and asks it where the sources are.
fn bundled_source(work: &Path, progress: &Progress) -> Result<PathBuf, String> {
    let folder = work.join("fetch");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let manifest = folder.join("Cargo.toml");
    fs::create_dir_all(folder.join("src")).map_err(failed)?;
    fs::write(folder.join("src/lib.rs"), "").map_err(failed)?;
    let text = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\n{CRATE} = \"={CRATE_VERSION}\"\n[workspace]\n"
    );
    fs::write(&manifest, text).map_err(failed)?;
    progress.run(Command::new("cargo").arg("fetch").arg("--manifest-path").arg(&manifest))?;
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--offline", "--manifest-path"])
        .arg(&manifest)
        .output()
        .map_err(failed)?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array();
    let path = packages
        .and_then(|packages| packages.iter().find(|package| package["name"] == CRATE))
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|path| Path::new(path).parent());
    path.map(|path| path.join("bitcoin")).ok_or_else(|| format!("cargo fetched no {CRATE}"))
}
