//! The steps with fiat money and proof: top-up, loan, repayment, anchors, receipt.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{PATIENCE, World, text};

/// Chain names with the evidence type that a receipt has for them.
const CHAINS: [&str; 3] = ["bitcoin", "evm", "solana"];

pub(crate) async fn top_up(world: &World, report: &mut Report) -> anyhow::Result<()> {
    report.step("topup", "a bank statement arrives: 500.00 EUR for Alice");
    let line = format!("line-1,2026-01-31,EUR,50000,{}", world.alice);
    let file = world.stack.statements().join("2026-01-31.csv");
    // Written under another name first: the server reads only whole files.
    std::fs::write(
        file.with_extension("part"),
        format!("id,booked_on,currency,amount,reference\n{line}\n"),
    )?;
    std::fs::rename(file.with_extension("part"), &file)?;
    world
        .tenant
        .wait_for("/v1/topups", PATIENCE, |answer| answer["items"][0]["state"] == "credited")
        .await?;
    ensure!(
        world.available(&world.alice, "EUR").await? == 50_000,
        "the top-up is not in the balance"
    );
    report.fact("topup", json!("line-1"));
    Ok(())
}

/// A loan and its first repayment; the repayment's audit record.
pub(crate) async fn loan(world: &World, report: &mut Report) -> anyhow::Result<String> {
    report.step("loan", "a loan of 1,200.00 EUR, disbursed, and a first repayment");
    let terms = json!({
        "currency": "EUR", "product": { "kind": "annuity" }, "rate": "0.06", "day_count": "30E/360",
        "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12,
    });
    let product = world
        .tenant
        .post("/v1/loan-products", json!({ "name": "starter", "terms": terms }))
        .await?;
    let body = json!({ "customer": world.alice, "product": product["id"], "principal": "120000" });
    let loan = world.tenant.post_once("/v1/loans", "loan-1", body).await?;
    let id = text(&loan, "id")?;
    let schedule = world.tenant.get(&format!("/v1/loans/{id}/schedule")).await?;
    let instalments = schedule["instalments"].as_array().context("no instalments")?;
    report.detail(&format!(
        "{} instalments, total cost {} cents",
        instalments.len(),
        schedule["total_cost"]
    ));
    ensure!(
        world.available(&world.alice, "EUR").await? == 170_000,
        "the loan is not in the balance"
    );
    let body = json!({ "amount": "10328", "currency": "EUR", "reference": "first instalment" });
    let repayment =
        world.tenant.post_once(&format!("/v1/loans/{id}/repayments"), "repayment-1", body).await?;
    ensure!(
        world.available(&world.alice, "EUR").await? == 170_000 - 10_328,
        "the repayment is not in the balance"
    );
    report.fact("loan", json!(id));
    report.fact("repayment", repayment["id"].clone());
    text(&repayment, "record")
}

/// Waits until the record is anchored for good on all three chains.
pub(crate) async fn anchors(
    world: &World,
    record: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.step("anchors", "waiting until the repayment's checkpoint is final on all three chains");
    let path = format!("/v1/audit/records/{record}");
    let status = world
        .tenant
        .wait_for(&path, PATIENCE, |answer| {
            answer["final_on"].as_array().map_or(0, Vec::len) >= CHAINS.len()
        })
        .await?;
    let anchors = world.tenant.get("/v1/anchors").await?;
    for name in CHAINS {
        let chain = chain_id(world, name)?;
        let of_chain =
            |anchor: &&Value| anchor["chain"] == chain.as_str() && anchor["state"] == "final";
        let found = anchors.as_array().context("no anchors")?.iter().rfind(of_chain);
        let found = found.with_context(|| format!("no final anchor on {name}"))?;
        report.detail(&format!(
            "{name}: {} for {} leaves",
            found["tx"].as_str().unwrap_or_default(),
            found["size"]
        ));
        report.fact(
            &format!("anchors.{name}"),
            json!({ "tx": found["tx"], "size": found["size"], "fee": found["fee"] }),
        );
    }
    report.fact("record", json!({ "id": record, "index": status["index"] }));
    Ok(())
}

fn chain_id(world: &World, name: &str) -> anyhow::Result<String> {
    Ok(match name {
        "bitcoin" => world.env.bitcoin()?.chain().to_string(),
        "evm" => world.env.evm()?.chain().to_string(),
        _ => world.env.solana()?.chain().to_string(),
    })
}

/// Downloads the receipt.
pub(crate) async fn receipt(
    world: &World,
    record: &str,
    report: &mut Report,
) -> anyhow::Result<PathBuf> {
    report.step("receipt", "downloading the receipt");
    let receipt = world.tenant.get_text(&format!("/v1/audit/records/{record}/receipt")).await?;
    let file = world.stack.folder().join("receipt.json");
    std::fs::write(&file, &receipt)?;
    report.detail(&format!("{} bytes", receipt.len()));
    Ok(file)
}

/// Verifies the receipt offline, with the server stopped where that is wanted, and sees a tampered
/// copy refused.
pub(crate) fn verify(
    world: &mut World,
    receipt: &Path,
    stop: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.step("verify", "stopping the server, and verifying the receipt offline");
    let log_key = world.stack.log_key()?;
    if stop {
        world.stack.kill_server();
    }
    let (accepted, answer) = world.stack.verify(receipt, &log_key)?;
    ensure!(accepted, "the receipt was refused: {answer}");
    let verdict: Value = serde_json::from_str(&answer).context("the verifier's answer")?;
    for anchor in verdict["report"]["anchors"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let word = |field: &str| anchor[field].as_str().unwrap_or_default().to_owned();
        report.detail(&format!("{}: {}", word("chain"), word("status").replace('_', " ")));
    }
    report.fact("receipt_verified", json!(true));
    let tampered = receipt.with_file_name("tampered.json");
    let text = std::fs::read_to_string(receipt)?;
    ensure!(text.contains("10328"), "the receipt does not show the amount");
    std::fs::write(&tampered, text.replacen("10328", "10329", 1))?;
    let (accepted, answer) = world.stack.verify(&tampered, &log_key)?;
    ensure!(!accepted, "a tampered receipt was accepted: {answer}");
    report.detail("a copy with one digit changed is refused");
    report.fact("tampered_refused", json!(true));
    Ok(())
}
