use std::time::Duration;

use anyhow::bail;
use testnets::{BitcoinOptions, DEV_MNEMONIC, EvmOptions, SolanaOptions, TestEnv};
use tokio::signal::unix::{SignalKind, signal};

use crate::state::{Files, Network, State};
use crate::up::Settings;

/// Starts the networks, says where they are, and keeps them until asked to stop.
pub(crate) async fn hold(settings: &Settings) -> anyhow::Result<()> {
    let files = Files::open()?;
    let Some(_claim) = files.try_claim()? else { bail!("the networks are up already") };
    files.clear();
    let env = builder(settings).start().await?;
    files.write(&describe(&env).await?)?;
    until_stopped(&files).await?;
    files.clear();
    Ok(())
}

fn builder(settings: &Settings) -> testnets::TestEnvBuilder {
    let every = |millis: u64| (millis > 0).then(|| Duration::from_millis(millis));
    TestEnv::builder()
        .anvil_with(EvmOptions {
            port: Some(settings.evm_port),
            block_time: every(settings.evm_block_ms),
        })
        .bitcoin_with(BitcoinOptions {
            port: Some(settings.bitcoin_port),
            block_time: every(settings.bitcoin_block_ms),
        })
        .solana_with(SolanaOptions {
            port: Some(settings.solana_port),
            slot_time: every(settings.solana_slot_ms),
        })
}

async fn describe(env: &TestEnv) -> anyhow::Result<State> {
    let (evm, bitcoin, solana) = (env.evm()?, env.bitcoin()?, env.solana()?);
    let (erc20, spl) = tokio::try_join!(evm.deploy_token(), solana.deploy_token())?;
    Ok(State {
        pid: std::process::id(),
        mnemonic: DEV_MNEMONIC.to_owned(),
        evm: Network {
            chain: evm.chain().to_string(),
            rpc_url: evm.rpc_url().to_owned(),
            ws_url: None,
            token: Some(erc20.asset.to_string()),
        },
        bitcoin: Network {
            chain: bitcoin.chain().to_string(),
            rpc_url: bitcoin.rpc_url().to_owned(),
            ws_url: None,
            token: None,
        },
        solana: Network {
            chain: solana.chain().to_string(),
            rpc_url: solana.rpc_url().to_owned(),
            ws_url: Some(solana.ws_url().to_owned()),
            token: Some(spl.asset.to_string()),
        },
    })
}

async fn until_stopped(files: &Files) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = clock.tick() => if files.is_asked_to_stop() { return Ok(()) },
        }
    }
}
