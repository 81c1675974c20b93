//! `docs/PROMISES.md` names every test that shows a promise, and no other.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The names of the form `promise_<number>_…` that follow `before` in a text.
fn names(text: &str, before: &str) -> BTreeSet<String> {
    let starts = text.match_indices(before).map(|(start, _)| &text[start + before.len()..]);
    let word = |rest: &str| -> String {
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
    };
    let is_promise = |name: &String| {
        name.strip_prefix("promise_")
            .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    starts.map(word).filter(is_promise).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_table_names_the_tests_that_there_are() {
    let mut files = Vec::new();
    sources(Path::new(ROOT), &mut files);
    let tests: BTreeSet<String> =
        files.iter().flat_map(|file| names(&fs::read_to_string(file).unwrap(), "fn ")).collect();
    let table = names(&fs::read_to_string(Path::new(ROOT).join("docs/PROMISES.md")).unwrap(), "`");
    let missing: Vec<&String> = tests.difference(&table).collect();
    let gone: Vec<&String> = table.difference(&tests).collect();
    assert!(missing.is_empty(), "not in docs/PROMISES.md: {missing:#?}");
    assert!(gone.is_empty(), "in docs/PROMISES.md, but there is no such test: {gone:#?}");
    assert!(tests.len() > 50, "the tests were not found");
}

#[test]
fn only_numbered_names_count() {
    let text = "fn promise_15_sign_once() fn promised() fn promise_x() fn other()";
    assert_eq!(names(text, "fn "), BTreeSet::from(["promise_15_sign_once".to_owned()]));
}
