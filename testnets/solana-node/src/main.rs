//! A local Solana node for tests: the Solana virtual machine behind the JSON-RPC interface, alone
//! on loopback, started as `roadstead-solana-node --rpc-port N --ws-port N --slot-ms N`.
//!
//! It prints `ready` once requests are answered, and stops when it is killed.

use std::error::Error;

use surfpool_core::runloops::start_local_surfnet_runloop;
use surfpool_core::surfnet::locker::SurfnetSvmLocker;
use surfpool_core::surfnet::svm::{SurfnetSvm, SurfnetSvmConfig};
use surfpool_core::types::SyntheticBlockhash;
use surfpool_types::{BlockProductionMode, RpcConfig, SimnetConfig, SimnetEvent, SurfpoolConfig};

/// The value after `--name`, or `default` when the option is absent.
fn option(name: &str, default: u64) -> Result<u64, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == name {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            return Ok(value.parse()?);
        }
    }
    Ok(default)
}

/// Blocks with transactions are stored under a hash of the chain's length; empty blocks are made up
/// on request with a hash of their slot. The chain starts with length 1 at slot 31, so the parent
/// hashes around a transaction would not fit. Starting both at the same number mends it.
fn align_block_hashes(svm: &mut SurfnetSvm) {
    let first_slot = svm.genesis_slot;
    svm.chain_tip.index = first_slot;
    svm.chain_tip.hash = SyntheticBlockhash::new(first_slot.saturating_sub(1)).to_string();
    svm.reconstruct_sysvars();
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "--version") {
        println!("roadstead-solana-node {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let slot_ms = option("--slot-ms", 400)?;
    let config = SurfpoolConfig {
        simnets: vec![SimnetConfig {
            offline_mode: true,
            remote_rpc_url: None,
            slot_time: slot_ms,
            block_production_mode: BlockProductionMode::Clock,
            ..SimnetConfig::default()
        }],
        rpc: RpcConfig {
            bind_host: "127.0.0.1".into(),
            bind_port: u16::try_from(option("--rpc-port", 8899)?)?,
            ws_port: u16::try_from(option("--ws-port", 8900)?)?,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    };
    let (mut svm, events, geyser_events) =
        SurfnetSvm::new(SurfnetSvmConfig { slot_time: slot_ms, ..SurfnetSvmConfig::default() })?;
    align_block_hashes(&mut svm);
    let locker = SurfnetSvmLocker::new(svm);
    let (commands_tx, commands_rx) = crossbeam_channel::unbounded();
    std::thread::spawn(move || {
        for event in events {
            match event {
                SimnetEvent::CoreStarted(_) => println!("ready"),
                SimnetEvent::Aborted(reason) => {
                    eprintln!("aborted: {reason}");
                    std::process::exit(1);
                }
                _ => {}
            }
        }
    });
    hiro_system_kit::nestable_block_on(start_local_surfnet_runloop(
        locker,
        config,
        commands_tx,
        commands_rx,
        geyser_events,
    ))?;
    // The run loop answers on threads of its own.
    loop {
        std::thread::park();
    }
}
