//! What is linked into what, as cargo tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    /// The names under `[dependencies]`; not those of tests or build scripts.
    pub(crate) dependencies: Vec<String>,
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(WORKSPACE).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The members of the workspace.
pub(crate) fn workspace() -> Vec<Crate> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(read).collect()
}

fn read(package: &Value) -> Crate {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let linked = dependencies.filter(|dependency| dependency["kind"].is_null());
    Crate {
        name: package["name"].as_str().unwrap().to_owned(),
        manifest: Path::new(package["manifest_path"].as_str().unwrap()).to_owned(),
        dependencies: linked.map(|found| found["name"].as_str().unwrap().to_owned()).collect(),
    }
}

/// The names of all crates that end up in `name`, itself among them.
pub(crate) fn linked(name: &str) -> Vec<String> {
    let tree = cargo(&["tree", "-p", name, "-e", "normal", "--prefix", "none", "-f", "{p}"]);
    let mut names: Vec<String> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.iter().any(|found| found == name), "{name}: {tree}");
    names.sort();
    names.dedup();
    names
}

/// Those of `forbidden` that are among `names`.
pub(crate) fn offences(names: &[String], forbidden: &[&str]) -> Vec<String> {
    names.iter().filter(|name| forbidden.contains(&name.as_str())).cloned().collect()
}

/// Dependencies between our crates that `directions` does not list, and crates that it forgot.
pub(crate) fn undeclared(crates: &[Crate], directions: &[(&str, &[&str])]) -> Vec<String> {
    let is_ours = |name: &str| name == "testnets" || directions.iter().any(|(own, _)| *own == name);
    let mut wrong = Vec::new();
    for member in crates {
        let Some((_, allowed)) = directions.iter().find(|(name, _)| *name == member.name) else {
            wrong.push(format!("{} has no line in DIRECTIONS", member.name));
            continue;
        };
        let found = member.dependencies.iter();
        let found = found.filter(|name| is_ours(name) && !allowed.contains(&name.as_str()));
        wrong.extend(found.map(|name| format!("{} -> {name}", member.name)));
    }
    wrong
}
