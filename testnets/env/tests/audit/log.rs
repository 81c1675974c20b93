//! The log as static resources: tiles, checkpoints, an export that an auditor checks whole.

use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::offline::run_verify;
use crate::records::wait_logged;
use crate::world::{Setup, World, edit, text};

async fn append(world: &World, count: usize, prefix: &str) {
    let records: Vec<Value> = (0..count)
        .map(|n| json!({ "id": format!("{prefix}{n}"), "kind": "note", "stream": format!("s{}", n % 7) }))
        .collect();
    let body = json!({ "records": records });
    world.tenant.post("/v1/audit/records", body).await.unwrap();
    wait_logged(world, &format!("{prefix}{}", count - 1)).await;
}

async fn fetch(world: &World, path: &str, tag: Option<&str>) -> Response {
    let request = Client::new().get(format!("{}{path}", world.stack.url()));
    let request = match tag {
        Some(tag) => request.header(IF_NONE_MATCH, tag),
        None => request,
    };
    request.send().await.unwrap()
}

fn header(response: &Response, name: reqwest::header::HeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_keep_what_never_changes_and_ask_again_for_the_rest() {
    let world = World::start(Setup::NONE).await;
    append(&world, 300, "a").await;
    let newest = fetch(&world, "/log/checkpoint", None).await;
    assert_eq!(header(&newest, CACHE_CONTROL), "public, no-cache");
    assert_eq!(header(&newest, CONTENT_TYPE), "text/plain; charset=utf-8");
    let tag = header(&newest, ETAG);
    let note = newest.text().await.unwrap();
    assert_eq!(fetch(&world, "/log/checkpoint", Some(&tag)).await.status(), 304);
    assert_eq!(fetch(&world, "/log/checkpoint", Some("\"another\"")).await.status(), 200);
    let size = size_of(&note);
    let partial = format!("/log/tile/0/001.p/{}", size - 256);
    let entries = format!("/log/tile/entries/001.p/{}", size - 256);
    let text_file = format!("/log/checkpoints/{size}.txt");
    for path in ["/log/tile/0/000", "/log/tile/entries/000", &partial, &entries, &text_file] {
        let found = fetch(&world, path, None).await;
        assert_eq!(found.status(), 200, "{path}");
        assert_eq!(header(&found, CACHE_CONTROL), "public, max-age=31536000, immutable", "{path}");
    }
    let kept = fetch(&world, &text_file, None).await.text().await.unwrap();
    assert!(note.starts_with(&format!("{kept}\n")), "{kept} is not what {note} signs");
    let signed = fetch(&world, &format!("/log/checkpoints/{size}"), None).await;
    assert_eq!(signed.text().await.unwrap(), note);
    // What is not there yet is not kept as missing.
    let never = format!("/log/checkpoints/{}", size - 1);
    for path in ["/log/tile/0/777", &never, "/log/checkpoints/x", "/log/checkpoints/007"] {
        let missing = fetch(&world, path, None).await;
        assert_eq!(missing.status(), 404, "{path}");
        assert_eq!(header(&missing, CACHE_CONTROL), "no-store", "{path}");
    }
    let ots = fetch(&world, &format!("/log/checkpoints/{size}.txt.ots"), None).await;
    assert_eq!(ots.status(), 409, "not anchored");
    // What is one caller's own is kept by nobody.
    let own = fetch(&world, "/v1/audit/records/a1/receipt", None).await;
    assert_eq!(header(&own, CACHE_CONTROL), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_39_an_export_by_the_command_is_audited_whole() {
    let world = World::start(Setup::NONE).await;
    append(&world, 300, "a").await;
    let folder = world.stack.folder().join("export");
    let to = folder.to_str().unwrap();
    let export = || world.stack.roadstead(&["audit", "export", "--to", to]).unwrap();
    let kept = world.stack.folder().join("kept.json");
    let receipt = world.tenant.get_text("/v1/audit/records/a17/receipt").await.unwrap();
    std::fs::write(&kept, receipt).unwrap();
    let key = world.stack.log_key().unwrap();
    let keep = kept.to_str().unwrap();
    for round in ["b", "c"] {
        let done = export();
        assert!(done.status.success(), "{done:?}");
        let (code, said) = run_verify(&["--log", to, "--key", &key, "--keep", keep]).await;
        assert_eq!(code, Some(0), "{said}");
        append(&world, 300, round).await;
    }
    // The copy is not the newest; a byte of it changed is named by its index.
    let bundle = folder.join("tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let (code, said) = run_verify(&["--log", to, "--key", &key]).await;
    assert_eq!((code, said["code"].as_str()), (Some(1), Some("log")), "{said}");
    assert!(text(&said, "problem").starts_with("entry 0:"), "{said}");
    let check = world.stack.roadstead(&["audit", "check"]).unwrap();
    assert!(check.status.success(), "{check:?}");
}

/// With a log for each tenant, what one tenant logs is in no tile of another's.
#[tokio::test(flavor = "multi_thread")]
async fn promise_39_each_tenant_can_have_a_log_of_its_own() {
    let mut world = World::start(Setup::NONE).await;
    append(&world, 3, "shared").await;
    world.stack.kill_server();
    edit(&world.stack, "roadstead.toml", |text| text.replace("[log]", "[log]\nper_tenant = true"));
    edit(&world.stack, "policy.toml", |text| {
        text.replace(
            "\"roadstead.local/log\"",
            "\"roadstead.local/log\", \"roadstead.local/log/*\"",
        )
    });
    world.stack.start_server(&[]).await.unwrap();
    append(&world, 3, "own").await;
    let status = world.tenant.get("/v1/audit/records/own1").await.unwrap();
    let origin = text(&status, "log");
    let tenant = origin.strip_prefix("roadstead.local/log/").unwrap();
    // A log of its own: its first record has the first index, and its key is named like the log.
    let first = world.tenant.get("/v1/audit/records/own0").await.unwrap();
    assert_eq!(first["index"], 0, "{first}");
    let receipt = world.tenant.get_text("/v1/audit/records/own1/receipt").await.unwrap();
    let file = world.stack.folder().join("own.json");
    std::fs::write(&file, &receipt).unwrap();
    let note = world.tenant.get_text(&format!("/logs/{tenant}/checkpoint")).await.unwrap();
    assert!(note.starts_with(&format!("{origin}\n4\n")), "{note}");
    let shared = world.stack.log_key().unwrap();
    let (code, said) = run_verify(&[file.to_str().unwrap(), "--key", &shared]).await;
    assert_eq!((code, said["code"].as_str()), (Some(1), Some("untrusted_log")), "{said}");
    let key = world.stack.log_key_of(&origin).unwrap();
    let (code, said) = run_verify(&[file.to_str().unwrap(), "--key", &key]).await;
    assert_eq!(code, Some(0), "{said}");
    // What was logged before stays where it was, and is found.
    let before = world.tenant.get("/v1/audit/records/shared1").await.unwrap();
    assert_eq!(before["log"], "roadstead.local/log", "{before}");
    world.tenant.get_text(&format!("/logs/{tenant}/tile/0/000.p/4")).await.unwrap();
    let folder = world.stack.folder().join("own");
    let to = folder.to_str().unwrap();
    let arguments = ["audit", "export", "--tenant", tenant, "--to", to];
    assert!(world.stack.roadstead(&arguments).unwrap().status.success());
    let (code, said) = run_verify(&["--log", to, "--key", &key]).await;
    assert_eq!(code, Some(0), "{said}");
}
