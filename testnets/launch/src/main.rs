#![doc = include_str!("../README.md")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "launch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let (program, arguments) = split(std::env::args_os().skip(1).collect())
        .ok_or_else(|| io::Error::other("name the program to build and run"))?;
    let folder = profile_folder(&std::env::current_exe()?)?;
    let status = build(&folder)?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    // The program takes over this process: its exit code and Ctrl-C need no passing on.
    // The program need not build again what it starts.
    Err(Command::new(folder.join(program)).args(arguments).env("ROADSTEAD_BUILT", "1").exec())
}

/// The program's name and what it is to be given. `cargo demo -- --json` puts its own `--` before
/// the arguments, which is not for the program.
fn split(arguments: Vec<OsString>) -> Option<(OsString, Vec<OsString>)> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next()?;
    let mut rest: Vec<OsString> = arguments.collect();
    if rest.first().is_some_and(|first| first == "--") {
        rest.remove(0);
    }
    Some((program, rest))
}

/// `target/debug` for `target/debug/launch`.
fn profile_folder(own: &Path) -> io::Result<PathBuf> {
    let folder = own.parent().map(Path::to_owned);
    folder.ok_or_else(|| io::Error::other(format!("{} is in no folder", own.display())))
}

/// Builds every program of the workspace, because one starts the others. What cargo has to say goes
/// to standard error.
fn build(folder: &Path) -> io::Result<std::process::ExitStatus> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--workspace", "--bins"]);
    if let Some(profile) = folder.file_name().filter(|name| *name != "debug") {
        command.arg("--profile").arg(profile);
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    // The workspace of this program, wherever it is called from.
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.status()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Option<(OsString, Vec<OsString>)> {
        split(arguments.iter().map(Into::into).collect())
    }

    #[test]
    fn only_the_first_dashes_are_taken_away() {
        let program = |rest: &[&str]| {
            Some(("demo".into(), rest.iter().map(Into::into).collect::<Vec<OsString>>()))
        };
        assert_eq!(given(&["demo", "--", "--json"]), program(&["--json"]));
        assert_eq!(given(&["demo", "--json"]), program(&["--json"]));
        assert_eq!(given(&["demo", "--", "--", "x"]), program(&["--", "x"]));
        assert_eq!(given(&["demo"]), program(&[]));
        assert_eq!(given(&[]), None);
    }
}
