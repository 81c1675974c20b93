//! The aliases of `.cargo/config.toml`, as a user types them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A cache folder in which nothing runs.
fn testnets(arguments: &[&str]) -> Output {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty-cache");
    Command::new(env!("CARGO"))
        .arg("testnets")
        .args(arguments)
        .env("ROADSTEAD_CACHE", cache)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn the_program_alone_writes_to_standard_output() {
    for arguments in [&["--", "status", "--json"][..], &["status", "--json"][..]] {
        let output = testnets(arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"running\":false}\n");
    }
}

#[test]
fn the_programs_failure_is_the_commands_failure() {
    let output = testnets(&["mine", "evm", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("cargo testnets up"));
}
