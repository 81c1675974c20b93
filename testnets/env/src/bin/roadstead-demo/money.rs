//! The steps with coins: deposits, sweeps, payouts, and the invariants over all of it.

use anyhow::{Context as _, ensure};
use chain_core::Amount;
use serde_json::{Value, json};

use crate::report::Report;
use crate::world::{Expected, PATIENCE, Paid, World, text};

const BTC: u128 = 100_000_000;
const ETH: u128 = 1_000_000_000_000_000_000;
const SOL: u128 = 1_000_000_000;
const RTT: u128 = 1_000_000;

pub(crate) async fn people(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    report.step("people", "a tenant with two customers, Alice and Bob");
    for (name, id) in [("alice", &mut world.alice), ("bob", &mut world.bob)] {
        let created = world.tenant.post("/v1/customers", json!({ "reference": name })).await?;
        *id = text(&created, "id")?;
    }
    report.fact("customers", json!({ "alice": world.alice, "bob": world.bob }));
    Ok(())
}

/// The operator funds the treasury, which pays fees and payouts.
pub(crate) async fn treasury(world: &World, report: &mut Report) -> anyhow::Result<()> {
    report.step("treasury", "funding the treasury, which pays the fees");
    let addresses = world.operator.get("/v1/treasury/addresses").await?;
    for entry in addresses.as_array().context("no addresses")? {
        let (chain, address) = (text(entry, "chain")?, text(entry, "address")?);
        let (coins, amount) = match chain.as_str() {
            // Several coins, so that several transactions can be under way at once.
            "bitcoin" => (6, BTC / 10),
            "evm" => (1, 5 * ETH),
            _ => (1, 5 * SOL),
        };
        for _ in 0..coins {
            world.env.fund(&address, Amount::new(amount)).await?;
        }
        report.detail(&format!("{chain}: {address}"));
    }
    Ok(())
}

async fn address(world: &World, customer: &str, body: Value) -> anyhow::Result<String> {
    let issued = world.tenant.post(&format!("/v1/customers/{customer}/addresses"), body).await?;
    text(&issued, "address")
}

pub(crate) async fn deposits(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    report.step("deposits", "deposit addresses, and coins sent to them on chain");
    let (alice, bob) = (world.alice.clone(), world.bob.clone());
    let before =
        json!({ "alice": world.balances(&alice).await?, "bob": world.balances(&bob).await? });
    report.fact("balances.before", before);
    let segwit = address(world, &alice, json!({ "chain": "bitcoin" })).await?;
    let taproot = address(world, &bob, json!({ "chain": "bitcoin", "kind": "p2tr" })).await?;
    let evm = address(world, &alice, json!({ "chain": "evm" })).await?;
    // An address of its own for the ERC-20, without native coin: its sweep needs fuel.
    let token = address(world, &alice, json!({ "chain": "evm" })).await?;
    let solana = address(world, &alice, json!({ "chain": "solana" })).await?;
    let plan = [
        (&alice, "BTC", &segwit, BTC / 2),
        (&bob, "BTC", &taproot, BTC / 4),
        (&alice, "ETH", &evm, 2 * ETH),
        (&alice, "RTT", &token, 500 * RTT),
        (&alice, "SOL", &solana, 3 * SOL),
        (&alice, "RTT-SOL", &solana, 250 * RTT),
    ];
    for (customer, asset, address, amount) in plan {
        let tx = send(world, asset, address, amount).await?;
        report.detail(&format!("{amount} {asset} to {address}"));
        report.fact(
            &format!("deposits.{asset}-{}", if customer == &alice { "alice" } else { "bob" }),
            json!(tx),
        );
        let expected =
            Expected { customer: customer.clone(), asset, address: address.clone(), amount, tx };
        world.expected.push(expected);
    }
    report.detail("waiting for finality and credit");
    let count = world.expected.len();
    let credited = world
        .tenant
        .wait_for("/v1/deposits", PATIENCE, |answer| {
            let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            items.iter().filter(|deposit| deposit["state"] == "final").count() >= count
        })
        .await?;
    for expected in &world.expected {
        check_credited(&credited, expected)?;
    }
    Ok(())
}

async fn send(world: &World, asset: &str, address: &str, amount: u128) -> anyhow::Result<String> {
    let amount = Amount::new(amount);
    let token = |index: usize| world.stack.tokens.get(index).context("no test token");
    Ok(match asset {
        "RTT" => world.env.evm()?.fund_token(token(0)?, address, amount).await?,
        "RTT-SOL" => world.env.solana()?.fund_token(token(1)?, address, amount).await?,
        _ => world.env.fund(address, amount).await?,
    })
}

/// Exactly one deposit row for what was sent, with just that amount.
fn check_credited(answer: &Value, expected: &Expected) -> anyhow::Result<()> {
    let items = answer["items"].as_array().context("no items")?;
    let of_tx = |deposit: &&Value| {
        deposit["address"] == expected.address.as_str() && deposit["asset"] == expected.asset
    };
    let rows: Vec<&Value> = items.iter().filter(of_tx).collect();
    ensure!(
        rows.len() == 1,
        "{} deposits of {} at {}",
        rows.len(),
        expected.asset,
        expected.address
    );
    ensure!(rows[0]["amount"] == expected.amount.to_string(), "credited {}", rows[0]["amount"]);
    ensure!(rows[0]["customer"] == expected.customer.as_str(), "credited to another customer");
    ensure!(
        rows[0]["tx"] == expected.tx.as_str(),
        "credited another transaction: {} not {}",
        rows[0]["tx"],
        expected.tx
    );
    Ok(())
}

const ASSETS: [&str; 5] = ["BTC", "ETH", "RTT", "SOL", "RTT-SOL"];

/// Sweeps everything to the treasury, in rounds: an address is swept of one asset at a time, and the
/// ERC-20's address gets its fuel in a round of its own.
pub(crate) async fn sweeps(world: &World, report: &mut Report) -> anyhow::Result<()> {
    report.step("sweeps", "sweeping the deposit addresses to the treasury");
    let mut started = true;
    while started {
        started = false;
        for asset in ASSETS {
            let answer =
                world.operator.post("/v1/treasury/sweeps", json!({ "asset": asset })).await?;
            started |= answer["intents"].as_array().is_some_and(|intents| !intents.is_empty());
        }
        settled(world).await?;
    }
    let intents = world.operator.get("/v1/treasury/intents").await?;
    let intents = intents.as_array().context("no intents")?;
    let of = |purpose: &str| -> Vec<&Value> {
        intents
            .iter()
            .filter(|intent| intent["purpose"] == purpose && intent["state"] == "settled")
            .collect()
    };
    let (sweeps, fuels) = (of("sweep"), of("fuel"));
    ensure!(
        sweeps.len() == ASSETS.len(),
        "{} sweeps were settled, not {}",
        sweeps.len(),
        ASSETS.len()
    );
    ensure!(fuels.len() == 1, "{} addresses were fuelled, not the ERC-20's alone", fuels.len());
    for (intent, words) in
        sweeps.iter().map(|one| (one, "swept")).chain(fuels.iter().map(|one| (one, "fuelled")))
    {
        report.detail(&format!("{} {words} in {}", shown(&intent["chain"]), shown(&intent["tx"])));
    }
    let txs =
        |intents: &[&Value]| intents.iter().map(|intent| intent["tx"].clone()).collect::<Vec<_>>();
    report.fact("sweeps", json!(txs(&sweeps)));
    report.fact("fuel", json!(txs(&fuels)));
    Ok(())
}

/// A text of an answer, without quotes.
fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Waits until no sweep or fuelling is under way.
async fn settled(world: &World) -> anyhow::Result<()> {
    let path = "/v1/treasury/intents";
    world
        .operator
        .wait_for(path, PATIENCE, |answer| {
            let intents = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let ours =
                |intent: &&Value| intent["purpose"] == "sweep" || intent["purpose"] == "fuel";
            intents
                .iter()
                .filter(ours)
                .all(|intent| intent["state"] == "settled" || intent["state"] == "failed")
        })
        .await?;
    Ok(())
}

pub(crate) async fn payouts(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    report.step("payouts", "paying out to outside addresses, on every chain");
    let outside = world.outside.clone();
    let plan = [
        ("BTC", BTC / 5, &outside.bitcoin),
        ("ETH", ETH / 2, &outside.evm),
        ("RTT", 120 * RTT, &outside.evm),
        ("SOL", SOL, &outside.solana),
        ("RTT-SOL", 40 * RTT, &outside.solana),
    ];
    for (asset, amount, destination) in plan {
        let client_id = format!("payout-{asset}");
        let body = json!({
            "customer": world.alice, "asset": asset, "amount": amount.to_string(),
            "destination": destination, "client_id": client_id,
        });
        let first = world.tenant.post_once("/v1/withdrawals", &client_id, body.clone()).await?;
        // The same request again is the same withdrawal.
        let again = world.tenant.post_once("/v1/withdrawals", &client_id, body).await?;
        ensure!(first["id"] == again["id"], "a repeated request made a second withdrawal");
        let id = text(&first, "id")?;
        world.paid.push(Paid { id, asset, amount, destination: destination.clone() });
    }
    for paid in &world.paid {
        let path = format!("/v1/withdrawals/{}", paid.id);
        let settled =
            world.tenant.wait_for(&path, PATIENCE, |answer| answer["state"] == "settled").await?;
        let attempts = settled["attempts"].as_array().map_or(0, Vec::len);
        ensure!(attempts == 1, "{attempts} transactions were signed for {}", paid.id);
        report.detail(&format!(
            "{} {} in {} at height {}",
            paid.amount, paid.asset, settled["tx"], settled["height"]
        ));
        report.fact(
            &format!("withdrawals.{}", paid.asset),
            json!({ "tx": settled["tx"], "height": settled["height"] }),
        );
    }
    for paid in &world.paid {
        let held = on_chain(world, paid.asset, &paid.destination).await?;
        ensure!(
            held == paid.amount,
            "{} holds {held} of {}, not {}",
            paid.destination,
            paid.asset,
            paid.amount
        );
    }
    Ok(())
}

/// What the chain itself says that an address holds.
async fn on_chain(world: &World, asset: &str, address: &str) -> anyhow::Result<u128> {
    let token = |index: usize| world.stack.tokens.get(index).context("no test token");
    let held = match asset {
        "BTC" => world.env.bitcoin()?.balance(address).await?,
        "ETH" => world.env.evm()?.balance(address).await?,
        "RTT" => world.env.evm()?.token_balance(token(0)?, address).await?,
        "SOL" => world.env.solana()?.balance(address).await?,
        _ => world.env.solana()?.token_balance(token(1)?, address).await?,
    };
    Ok(held.minor())
}

pub(crate) async fn internal_transfer(world: &World, report: &mut Report) -> anyhow::Result<()> {
    report.step("transfer", "an internal transfer from Alice to Bob, off chain");
    let before = world.available(&world.bob, "ETH").await?;
    let body = json!({ "from": world.alice, "to": world.bob, "asset": "ETH", "amount": (ETH / 10).to_string() });
    let transfer = world.tenant.post_once("/v1/transfers", "alice-to-bob", body).await?;
    let after = world.available(&world.bob, "ETH").await?;
    ensure!(after - before == ETH / 10, "Bob got {} wei", after - before);
    report.fact("transfer", transfer["id"].clone());
    Ok(())
}

/// Journal, chains and rows agree.
pub(crate) async fn invariants(world: &World, report: &mut Report) -> anyhow::Result<()> {
    report.step("invariants", "checking the books against themselves and against the chains");
    let check = world.operator.get("/v1/treasury/ledger-check").await?;
    ensure!(check["clean"] == true, "the ledger is not clean: {check}");
    report.fact("journal_sums_to_zero", json!(true));
    let findings = world
        .operator
        .wait_for("/v1/treasury/reconciliation", PATIENCE, |answer| {
            let findings = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            !findings.is_empty()
                && findings.iter().all(|one| one["agrees"] == true && one["covered"] == true)
        })
        .await?;
    for finding in findings.as_array().context("no findings")? {
        report.detail(&format!(
            "{}: {} on chain, {} in the books",
            shown(&finding["asset"]),
            shown(&finding["on_chain"]),
            shown(&finding["in_books"]),
        ));
    }
    report.fact("reconciliation", findings);
    for (name, customer) in [("alice", &world.alice), ("bob", &world.bob)] {
        report.fact(&format!("balances.after.{name}"), world.balances(customer).await?);
    }
    expected_balances(world).await
}

/// Each deposit was credited once and each payout debited once: the balance says so exactly.
async fn expected_balances(world: &World) -> anyhow::Result<()> {
    for (customer, moved) in [(&world.alice, -1_i128), (&world.bob, 1)] {
        for asset in ASSETS {
            let sum = |amounts: Vec<u128>| -> anyhow::Result<i128> {
                Ok(i128::try_from(amounts.iter().sum::<u128>())?)
            };
            let of_asset = world
                .expected
                .iter()
                .filter(|one| one.asset == asset && one.customer == **customer);
            let credited = sum(of_asset.map(|one| one.amount).collect())?;
            let is_alice = customer == &world.alice;
            let of_asset = world.paid.iter().filter(|one| one.asset == asset && is_alice);
            let paid = sum(of_asset.map(|one| one.amount).collect())?;
            let internal = if asset == "ETH" { moved * i128::try_from(ETH / 10)? } else { 0 };
            let wanted = credited - paid + internal;
            let found = i128::try_from(world.available(customer, asset).await?)?;
            ensure!(found == wanted, "{customer} has {found} of {asset}, not {wanted}");
        }
    }
    Ok(())
}
