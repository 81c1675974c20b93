//! The requests in the documentation run as they stand.

use std::process::Command;

use crate::on_both_engines;
use crate::world::World;

const PAGE: &str = include_str!("../../../../docs/API-LEDGER.md");

on_both_engines! {
    the_examples_of_the_page_run
}

/// The shell blocks of the page, one after the other.
fn blocks() -> Vec<&'static str> {
    let parts = PAGE.split("```sh\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap()).collect()
}

fn the_examples_of_the_page_run(world: &World) {
    let blocks = blocks();
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    let script = format!("set -euo pipefail\n{}", blocks.concat());
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("URL", format!("http://{}", world.server.address))
        .env("KEY", &world.tenant.key)
        .env("RECEIVER", "http://127.0.0.1:9/hook")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for word in ["\"status\":\"executed\"", "\"kind\":\"transfer\"", "\"ledger.transfer\""] {
        assert!(said.contains(word), "{word} in {said}");
    }
    // 19.99 EUR at 161.37 yen are 3225.7863 yen.
    let chart = world.tenant.get("/v1/ledger/chart?under=liabilities:ann&depth=0").expect(200);
    let yen = &chart["items"][0]["totals"][1];
    assert_eq!((&yen["asset"], &yen["credits_posted"]), (&"JPY".into(), &"3225".into()), "{chart}");
    world.server.assert_clean();
}

#[test]
fn the_page_names_every_route_of_the_ledger() {
    let document = Command::new(env!("CARGO_BIN_EXE_roadstead")).arg("openapi").output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    let mut missing = Vec::new();
    for path in document["paths"].as_object().unwrap().keys() {
        let ours = ["/v1/ledger/", "/v1/webhooks", "/v1/events"];
        if !ours.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        let end = path.rsplit('/').next().unwrap();
        let named = PAGE.contains(path.as_str()) || PAGE.contains(&format!("`…/{end}"));
        if !named && end != "{window_secs}" {
            missing.push(path.clone());
        }
    }
    assert!(missing.is_empty(), "docs/API-LEDGER.md does not name {missing:?}");
}
