//! What is documented is what is there.

use std::path::Path;
use std::process::Command;

use testnets::binaries;

use crate::http::{Call, operations};
use crate::world::{Setup, World};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

async fn roadstead(arguments: &[&str]) -> (bool, String, String) {
    let program = &binaries().await.unwrap().roadstead;
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_operation_is_served_and_documents_its_errors() {
    let world = World::start(Setup::NONE).await;
    let operations = operations(&world).await;
    for operation in &operations {
        let path = operation.path.split('/').map(|part| match part {
            "{id}" => "01890000-0000-7000-8000-000000000000",
            part if part.starts_with('{') => "x",
            part => part,
        });
        let path = path.collect::<Vec<_>>().join("/");
        let answer = Call::new(&world, &operation.method, &path).try_send().await.unwrap();
        let place = format!("{} {}", operation.method, operation.path);
        assert!(!answer.text.contains("there is no such path"), "{place}");
        assert_ne!(answer.status, 405, "{place}");
        if path.starts_with("/v1/") || path.starts_with("/log/") {
            let default = &operation.responses["default"];
            let document = default.to_string();
            assert!(document.contains("ProblemDocument"), "{place}: {default}");
        }
        let success = operation.responses.as_object().unwrap().keys();
        assert!(success.into_iter().any(|status| status.starts_with('2')), "{place}");
    }
    for path in ["/", "/v1", "/v1/nothing", "/v1/customers/", "/V1/customers", "/../etc/passwd"] {
        let answer = Call::new(&world, "get", path).send().await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    for (method, path) in [("delete", "/v1/customers"), ("put", "/v1/withdrawals")] {
        let answer = Call::new(&world, method, path).send().await;
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_openapi_document_is_the_served_one() {
    let world = World::start(Setup::NONE).await;
    let served = world.tenant.get("/openapi.json").await.unwrap();
    let (done, printed, words) = roadstead(&["openapi"]).await;
    assert!(done, "{words}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_of_errors_in_the_docs_is_the_programs_own() {
    let (done, printed, words) = roadstead(&["errors"]).await;
    assert!(done, "{words}");
    let file = Path::new(ROOT).join("docs/ERRORS.md");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept.trim(), printed.trim(), "write `roadstead errors` to {}", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_checked_in_words_that_name_the_key() {
    let example = Path::new(ROOT).join("api/server/roadstead.example.toml");
    let (done, _, words) =
        roadstead(&["config", "check", "--config", example.to_str().unwrap()]).await;
    assert!(done, "{words}");
    let text = std::fs::read_to_string(&example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roadstead.toml");
    for (old, new, word) in [
        ("[server]", "[server]\nlissten = 1", "lissten"),
        ("finality = 6", "finality = 0", "finality"),
        ("fee_max = \"50000\"", "fee_max = \"-1\"", "fee_max"),
        ("name = \"evm\"", "name = \"bitcoin\"", "bitcoin"),
        ("url = \"sqlite:", "# url = \"sqlite:", "database"),
        ("id = \"eip155:1\"", "id = \"eip155\"", "id"),
        ("[log]", "[log", ""),
    ] {
        assert!(text.contains(old), "{old}");
        std::fs::write(&file, text.replacen(old, new, 1)).unwrap();
        let check = ["config", "check", "--config", file.to_str().unwrap()];
        let (done, _, words) = roadstead(&check).await;
        assert!(!done, "{new} was accepted");
        assert!(words.contains(word) && !words.contains("panicked"), "{new}: {words}");
    }
    let (done, _, words) = roadstead(&["config", "check", "--config", "/nowhere.toml"]).await;
    assert!(!done && words.contains("/nowhere.toml"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_missing_key_file_are_said_clearly() {
    let mut world = World::start(Setup::NONE).await;
    let output = world.stack.roadstead(&["serve"]).unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("cannot listen on"), "{words}");
    world.stack.kill_server();
    std::fs::remove_file(world.stack.folder().join("operator.key")).unwrap();
    let output = world.stack.roadstead(&["serve"]).unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("operator.key"), "{words}");
}
