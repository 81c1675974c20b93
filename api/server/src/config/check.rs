use std::collections::BTreeSet;

use api_verify::note::KeyKind;
use chain_core::ChainFamily;

use super::{ChainConfig, Config, ConfigError, Finality};

impl Config {
    /// What the values say together.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |reason: String| Err(ConfigError::Invalid(reason));
        let mut names = BTreeSet::new();
        for chain in &self.chains {
            if !names.insert(chain.name.clone()) {
                return invalid(format!("two chains are called {:?}", chain.name));
            }
            // Each would credit the deposits of the one network.
            if !names.insert(chain.id.to_string()) {
                return invalid(format!("two chains have the id {}", chain.id));
            }
            check_chain(chain)?;
        }
        let mut codes: BTreeSet<&String> = self.fiat.currencies.iter().collect();
        let mut ids = BTreeSet::new();
        for asset in &self.assets {
            if !ids.insert(asset.id.to_string()) {
                return invalid(format!("two assets have the id {}", asset.id));
            }
            if !codes.insert(&asset.code) {
                return invalid(format!("two assets or currencies are called {:?}", asset.code));
            }
            if !self.chains.iter().any(|chain| chain.id == *asset.id.chain()) {
                return invalid(format!(
                    "asset {:?} is on a chain that is not configured",
                    asset.code
                ));
            }
        }
        for chain in &self.chains {
            if !self.assets.iter().any(|asset| asset.id == chain.id.native()) {
                return invalid(format!(
                    "chain {:?} needs its native coin among the assets",
                    chain.name
                ));
            }
        }
        if self.signer.is_none() && !self.chains.is_empty() {
            return invalid("chains need a signer: add the section [signer]".into());
        }
        if self.log.origin.is_empty() || self.log.origin.contains(['\n', ' ', '+']) {
            return invalid("log.origin must be a name without spaces or plus signs".into());
        }
        let count = self.log.witnesses.len();
        if self.log.witnesses_min.is_some_and(|min| min == 0 || min as usize > count) {
            return invalid(format!(
                "log.witnesses_min must be 1 to {count}, the number of witnesses"
            ));
        }
        let (mut witnesses, mut witness_keys) = (BTreeSet::new(), BTreeSet::new());
        for witness in &self.log.witnesses {
            if !witnesses.insert(&witness.name) || !witnesses.insert(&witness.key.name) {
                return invalid(format!("two witnesses are called {:?}", witness.name));
            }
            if !witness_keys.insert(witness.key.public_key()) {
                return invalid(format!("witness {:?} has the key of another", witness.name));
            }
            let web = ["http://", "https://"].iter().any(|scheme| witness.url.starts_with(scheme));
            if !web || witness.key.kind != KeyKind::Witness {
                return invalid(format!(
                    "witness {:?} needs an http or https address and a witness's key",
                    witness.name
                ));
            }
        }
        let anchoring = self.chains.iter().filter(|chain| chain.anchor).count();
        let wanted = self.log.anchor_chains_min.unwrap_or_default();
        if usize::try_from(wanted).is_ok_and(|wanted| wanted > anchoring) {
            return invalid(format!(
                "log.anchor_chains_min is {wanted}, but only {anchoring} chains anchor"
            ));
        }
        if self.log.anchor_records == Some(0) {
            return invalid("log.anchor_records must be at least 1".into());
        }
        self.database.resolve().map(|_| ())
    }
}

fn check_chain(chain: &ChainConfig) -> Result<(), ConfigError> {
    let invalid =
        |reason: &str| Err(ConfigError::Invalid(format!("chain {:?}: {reason}", chain.name)));
    match (chain.id.family(), chain.finality) {
        (ChainFamily::Bitcoin, Finality::Finalized) => {
            return invalid(
                "Bitcoin has no finalized tag: set finality to a number of confirmations",
            );
        }
        (ChainFamily::Solana, Finality::Confirmations(_)) => {
            return invalid("set finality to \"finalized\" on Solana");
        }
        (_, Finality::Confirmations(0)) => {
            return invalid("finality needs at least 1 confirmation");
        }
        _ => {}
    }
    let regtest = chain.id.reference() == "0f9188f13cb7b2c71f2a335e3a4fc328";
    if chain.fallback_fee_sat_per_kwu.is_some() && !regtest {
        return invalid("fallback_fee_sat_per_kwu is for regtest alone");
    }
    Ok(())
}
