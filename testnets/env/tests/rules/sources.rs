//! What may be mentioned where, read off the files.

use std::fs;
use std::path::Path;

use crate::links::WORKSPACE;

/// A Rust file: its path from the root, and its text without comments and without its tests.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) code: String,
}

/// Something that has its places.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// SQL: the store, and files or folders called `repo` or, in the ledger, `engine`.
    Sql,
    /// The web framework: `api/server/src/http`, and the witness's own `http`.
    Axum,
    /// `Address::from_canonical`: the crates that check addresses.
    CanonicalAddress,
}

impl Rule {
    /// True where the thing belongs.
    pub(crate) fn allows(self, path: &str) -> bool {
        let has_part = |name: &str| {
            path.split('/').any(|part| part == name || part.strip_suffix(".rs") == Some(name))
        };
        match self {
            Self::Sql => {
                path.starts_with("api/store/")
                    || (path.starts_with("api/") && has_part("repo"))
                    || (path.starts_with("api/ledger/") && has_part("engine"))
            }
            Self::Axum => {
                path.starts_with("api/server/src/http/")
                    || ["api/server/src/http.rs", "api/witness/src/http.rs"].contains(&path)
            }
            Self::CanonicalAddress => ["core", "evm", "bitcoin", "solana"]
                .iter()
                .any(|family| path.starts_with(&format!("chains/{family}/"))),
        }
    }

    /// True for code that uses the thing.
    pub(crate) fn uses(self, code: &str) -> bool {
        match self {
            // To pass an error on is not to write SQL.
            Self::Sql => code.replace("sqlx::Error", "").contains("sqlx") || has_sql(code),
            Self::Axum => code.contains("axum"),
            Self::CanonicalAddress => code.contains("from_canonical"),
        }
    }
}

/// Statements as they are written here: keywords in upper case.
fn has_sql(code: &str) -> bool {
    let words: Vec<&str> = code
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect();
    words.windows(2).any(|pair| {
        matches!(pair, ["INSERT", "INTO"] | ["DELETE", "FROM"] | ["CREATE" | "ALTER", "TABLE"])
    }) || words.windows(3).any(|three| matches!(three, ["UPDATE", _, "SET"]))
        || (words.contains(&"SELECT") && words.contains(&"FROM"))
}

/// The files that break `rule`.
pub(crate) fn breaches(rule: Rule, files: &[SourceFile]) -> Vec<String> {
    let broken = files.iter().filter(|file| !rule.allows(&file.path) && rule.uses(&file.code));
    broken.map(|file| format!("{rule:?} in {}", file.path)).collect()
}

/// Every Rust file of the product: `testnets` is the tests' own, and so is each `tests` folder.
pub(crate) fn rust_files() -> Vec<SourceFile> {
    let root = Path::new(WORKSPACE).canonicalize().unwrap();
    let mut files = Vec::new();
    for folder in ["chains", "custody", "signer", "api"] {
        collect(&root, &root.join(folder), &mut files);
    }
    assert!(files.len() > 20, "only {} files found", files.len());
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "benches", "fuzz", "target"].contains(&name.as_str()) {
            collect(root, &path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let code = without_tests_and_comments(&fs::read_to_string(&path).unwrap());
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.push(SourceFile { path, code });
        }
    }
}

/// Tests stand at the end of a file; comments may name what they explain.
fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn comments_and_tests_do_not_count() {
    let text = "/// See axum.\nfn f() {}\n#[cfg(test)]\nmod tests { use axum; }";
    assert_eq!(without_tests_and_comments(text), "fn f() {}");
}
