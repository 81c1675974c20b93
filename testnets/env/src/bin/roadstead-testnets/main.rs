//! `cargo testnets`: the local networks in the background, from the command line.

mod act;
mod hold;
mod show;
mod state;
mod up;

use std::process::ExitCode;

use crate::up::Settings;
use clap::{Parser, Subcommand, ValueEnum};

/// Real local networks in the background: anvil, bitcoind on regtest, and a Solana node.
#[derive(Parser)]
#[command(name = "testnets", bin_name = "cargo testnets", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Start the networks and leave them running; install the nodes first if there are none.
    Up(Settings),
    /// Say which networks run, where, and how far they are.
    Status,
    /// Send coins or test tokens to an address; its form tells the network.
    Faucet {
        /// 0x… (EVM), bcrt1… (Bitcoin) or base58 (Solana).
        address: String,
        /// In whole coins, such as 1.5.
        amount: String,
        /// A test token, by symbol, contract or CAIP-19 id, instead of the native coin.
        #[arg(long)]
        asset: Option<String>,
    },
    /// Mine blocks; on Solana, wait for slots.
    Mine {
        /// Which network.
        chain: Chain,
        /// How many blocks.
        #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
        blocks: u64,
    },
    /// Replace the newest blocks by others, with the same transactions unless told otherwise.
    Reorg {
        /// Which network.
        chain: Chain,
        /// How many blocks.
        #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
        depth: u64,
        /// Leave their transactions out of the new branch (EVM: gone; Bitcoin: in the mempool).
        #[arg(long)]
        drop: bool,
    },
    /// Stop the networks; their chains are gone.
    Down,
    /// Find or build the node programs and say where they are, without starting them.
    Install,
    /// Run the networks until told to stop; `up` starts this in the background.
    #[command(hide = true)]
    Hold(Settings),
}

/// A network, as it is called on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Chain {
    /// anvil
    #[value(alias = "eth", alias = "ethereum")]
    Evm,
    /// bitcoind on regtest
    #[value(alias = "btc")]
    Bitcoin,
    /// the Solana node
    #[value(alias = "sol")]
    Solana,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Up(settings) => up::up(&settings, cli.json).await,
        Command::Hold(settings) => hold::hold(&settings).await,
        Command::Install => up::install(cli.json).await,
        Command::Down => up::down(cli.json),
        Command::Status => show::status(cli.json).await,
        Command::Faucet { address, amount, asset } => {
            act::faucet(&address, &amount, asset.as_deref(), cli.json).await
        }
        Command::Mine { chain, blocks } => act::mine(chain, blocks, cli.json).await,
        Command::Reorg { chain, depth, drop } => act::reorg(chain, depth, drop, cli.json).await,
    }
}
