//! `cargo demo`: real money on three real local networks, through the public API, from a clone to a
//! verified receipt.

mod money;
mod paper;
mod report;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use report::Report;
use world::World;

/// Runs the whole system once on local networks.
#[derive(Debug, Parser)]
#[command(name = "roadstead-demo")]
struct Arguments {
    /// Print only the closing line of JSON.
    #[arg(long)]
    json: bool,
    /// Stay up afterwards, with the URL, an API key and commands to try.
    #[arg(long)]
    keep: bool,
    /// The server's port; a free one when absent.
    #[arg(long)]
    port: Option<u16>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::new(arguments.json);
    let outcome = tokio::select! {
        outcome = run(&arguments, &mut report) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = &outcome {
        report.fail(&format!("{error:#}"));
    }
    report.finish();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let mut world = World::start(arguments.port, report).await?;
    money::people(&mut world, report).await?;
    money::treasury(&world, report).await?;
    money::deposits(&mut world, report).await?;
    money::sweeps(&world, report).await?;
    money::payouts(&mut world, report).await?;
    money::internal_transfer(&world, report).await?;
    paper::top_up(&world, report).await?;
    let record = paper::loan(&world, report).await?;
    paper::anchors(&world, &record, report).await?;
    money::invariants(&world, report).await?;
    let receipt = paper::receipt(&world, &record, report).await?;
    if arguments.keep {
        paper::verify(&mut world, &receipt, false, report)?;
        return keep(&world, report, &record).await;
    }
    paper::verify(&mut world, &receipt, true, report)
}

async fn keep(world: &World, report: &mut Report, record: &str) -> anyhow::Result<()> {
    let (url, key) = (world.stack.url(), &world.tenant_key);
    report.say(&format!(
        "staying up at {url} until Ctrl-C; the tenant's API key is {key}\n\n  \
         curl -s {url}/v1/customers/{alice}/balances -H 'Authorization: Bearer {key}'\n  \
         curl -s '{url}/v1/withdrawals?limit=3' -H 'Authorization: Bearer {key}'\n  \
         curl -s {url}/v1/audit/records/{record}/receipt -H 'Authorization: Bearer {key}' > receipt.json\n",
        alice = world.alice,
    ));
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}
