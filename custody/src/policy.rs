//! The signer's own rule book: default deny, read from the operator's file and from nowhere else.

use std::collections::BTreeSet;

use chain_core::{
    Action, Address, Amount, AmountError, AssetId, ChainFamily, ChainId, IdError, Intent, KeyPath,
    KeyedAddress, Payment, Purpose, TxSummary, UncheckedAddress,
};
use serde::Deserialize;

/// The one version of the policy's format.
const VERSION: u32 = 1;

/// What the operator allows. Whatever no rule names is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    version: u32,
    chains: Vec<ChainId>,
    #[serde(default)]
    log_origins: Vec<String>,
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
enum Rule {
    Withdrawal(PayRule),
    Sweep(PayRule),
    Fuel(PayRule),
    Anchor(ActRule),
    Setup(ActRule),
}

/// A rule for payments of one asset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PayRule {
    asset: AssetId,
    /// The most that one intent may pay.
    amount_max: Amount,
    /// The most that all intents under this rule may pay in any 24 hours.
    per_day_max: Amount,
    fees: FeeCaps,
    destinations: Destinations,
    from: Option<BTreeSet<Wallet>>,
}

/// A rule for what moves no customer money.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActRule {
    chain: ChainId,
    fees: FeeCaps,
    /// The contracts that an anchor may call (EVM).
    #[serde(default)]
    contracts: Vec<UncheckedAddress>,
    from: Option<BTreeSet<Wallet>>,
}

/// Caps in the chain's native coin.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeeCaps {
    per_tx_max: Amount,
    per_day_max: Amount,
}

/// Who may be paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Destinations {
    Named(Group),
    List(Vec<UncheckedAddress>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Group {
    /// Anybody, within the limits.
    Any,
    /// Addresses that this signer issued; the treasury's alone for a sweep.
    Own,
}

/// Whose keys may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wallet {
    Treasury,
    Anchor,
    Customers,
}

/// What the policy needs to know of the past.
pub trait History {
    /// The key of an address that this signer issued.
    fn own_key(&self, address: &Address) -> Option<KeyPath>;

    /// What other intents of this purpose and subject (an asset's or chain's id) were signed for in
    /// the last 24 hours.
    ///
    /// # Errors
    /// [`AmountError`] when the sum leaves 128 bits.
    fn charged(&self, purpose: Purpose, subject: &str) -> Result<Charge, AmountError>;

    /// True when this signer signed the checkpoint whose text has this SHA-256, at this size, for the
    /// origin with this SHA-256.
    fn signed_checkpoint(&self, commitment: &chain_core::AnchorCommitment) -> bool;
}

/// What counts against a daily limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Paid, in the rule's asset.
    pub amount: Amount,
    /// The most that the fees can be, in the native coin.
    pub fee: Amount,
}

/// A transaction as the signer itself read it; intent and bytes were already found to agree.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is meant.
    pub intent: &'a Intent,
    /// What the bytes do.
    pub summary: &'a TxSummary,
    /// Who signs; each address was derived again.
    pub signers: &'a [KeyedAddress],
    /// Where change goes; each address was derived again.
    pub change: &'a [KeyedAddress],
}

/// One entry against a daily limit, to be journaled with the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The asset's or chain's id.
    pub subject: String,
    /// How much.
    pub charge: Charge,
}

/// Why the policy says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No rule allows it; waiting does not help.
    #[error("{0}")]
    Rule(String),
    /// A daily limit is reached.
    #[error("{0}")]
    Limit(String),
    /// A sum leaves 128 bits.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// Why the policy file was refused; the signer then signs nothing.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Another format.
    #[error("this signer reads policies of version {VERSION}, not {0}")]
    Version(u32),
    /// A rule makes no sense.
    #[error("rule {number}: {reason}")]
    Rule {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Solana's messages do not name their cluster, and its keys are the same on each: what one
    /// cluster's rules allow could be sent to another.
    #[error("a policy names at most one Solana cluster: run a signer for each, with its own seed")]
    Clusters,
    /// An origin cannot name a log.
    #[error(transparent)]
    Origin(#[from] crate::note::NoteError),
}

impl Policy {
    /// Checks what the types cannot: every address by `check` (its family's), each rule's chain, and
    /// that no two rules speak of the same thing.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn validate(
        &self,
        check: impl Fn(&ChainId, &UncheckedAddress) -> Result<Address, IdError>,
    ) -> Result<(), PolicyError> {
        if self.version != VERSION {
            return Err(PolicyError::Version(self.version));
        }
        for origin in &self.log_origins {
            crate::note::checkpoint_text(origin, 0, &[0; 32])?;
        }
        let clusters =
            self.chains.iter().filter(|chain| chain.family() == ChainFamily::Solana).count();
        if clusters > 1 {
            return Err(PolicyError::Clusters);
        }
        let mut seen = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let wrong =
                |reason: String| PolicyError::Rule { number: index.saturating_add(1), reason };
            if !self.chains.contains(rule.chain()) {
                return Err(wrong(format!("{} is not among the chains", rule.chain())));
            }
            if !seen.insert((rule.purpose(), rule.subject())) {
                return Err(wrong("another rule has the same purpose and subject".to_owned()));
            }
            rule.validate(&check).map_err(wrong)?;
        }
        Ok(())
    }

    /// The networks that it names.
    #[must_use]
    pub fn chains(&self) -> &[ChainId] {
        &self.chains
    }

    /// The logs whose checkpoints may be signed.
    #[must_use]
    pub fn log_origins(&self) -> &[String] {
        &self.log_origins
    }

    /// How many rules it has.
    #[must_use]
    pub const fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Says whether `request` may be signed, and what counts against the daily limits.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn permit(
        &self,
        request: Request<'_>,
        history: &impl History,
    ) -> Result<Vec<Charged>, Denied> {
        let chain = &request.intent.chain;
        if !self.chains.contains(chain) {
            return deny(format!("the policy does not name {chain}"));
        }
        match (&request.intent.action, request.intent.purpose) {
            (Action::Pay { payments }, Purpose::Withdrawal | Purpose::Sweep | Purpose::Fuel) => {
                self.permit_payments(request, payments, history)
            }
            (Action::Anchor { .. }, Purpose::Anchor)
            | (Action::DeployAnchorContract | Action::CreateNonceAccount { .. }, Purpose::Setup) => {
                self.permit_act(request, history)
            }
            (_, purpose) => deny(format!("a {purpose} does not do this")),
        }
    }

    fn permit_payments(
        &self,
        request: Request<'_>,
        payments: &[Payment],
        history: &impl History,
    ) -> Result<Vec<Charged>, Denied> {
        if payments.is_empty() {
            return deny("nothing is paid".to_owned());
        }
        let assets: BTreeSet<&AssetId> = payments.iter().map(|payment| &payment.asset).collect();
        let purpose = request.intent.purpose;
        let mut charges = Vec::new();
        for asset in assets {
            let rule = self.pay_rule(purpose, asset)?;
            let paid = payments.iter().filter(|payment| payment.asset == *asset);
            for payment in paid.clone() {
                rule.check_destination(purpose, &payment.to, history)?;
            }
            let amount = Amount::checked_sum(paid.map(|payment| payment.amount))?;
            if amount > rule.amount_max {
                return deny(format!(
                    "{amount} of {asset} is over the limit of {}",
                    rule.amount_max
                ));
            }
            check_signers(request, purpose, rule.from.as_ref())?;
            let subject = asset.to_string();
            let charge = Charge { amount, fee: request.summary.fee_max };
            let used = history.charged(purpose, &subject)?;
            within_day("payments", used.amount, amount, rule.per_day_max)?;
            rule.fees.check(request, used.fee)?;
            charges.push(Charged { subject, charge });
        }
        Ok(charges)
    }

    fn permit_act(
        &self,
        request: Request<'_>,
        history: &impl History,
    ) -> Result<Vec<Charged>, Denied> {
        let (purpose, chain) = (request.intent.purpose, &request.intent.chain);
        let rule = self.rules.iter().find_map(|rule| match rule {
            Rule::Anchor(act) | Rule::Setup(act) if rule.purpose() == purpose => {
                (act.chain == *chain).then_some(act)
            }
            _ => None,
        });
        let Some(rule) = rule else { return deny(format!("no rule for a {purpose} on {chain}")) };
        if let Action::Anchor { commitment, contract } = &request.intent.action {
            let named = |address: &Address| {
                rule.contracts.iter().any(|allowed| allowed.0 == address.as_str())
            };
            if contract.as_ref().is_some_and(|contract| !named(contract)) {
                return deny("the policy does not name this anchor contract".to_owned());
            }
            if !history.signed_checkpoint(commitment) {
                return deny("this signer did not sign the checkpoint that is anchored".to_owned());
            }
        }
        check_signers(request, purpose, rule.from.as_ref())?;
        let subject = chain.to_string();
        let charge = Charge { amount: Amount::ZERO, fee: request.summary.fee_max };
        rule.fees.check(request, history.charged(purpose, &subject)?.fee)?;
        Ok(vec![Charged { subject, charge }])
    }

    fn pay_rule(&self, purpose: Purpose, asset: &AssetId) -> Result<&PayRule, Denied> {
        let rule = self.rules.iter().find_map(|rule| match rule {
            Rule::Withdrawal(pay) | Rule::Sweep(pay) | Rule::Fuel(pay)
                if rule.purpose() == purpose && pay.asset == *asset =>
            {
                Some(pay)
            }
            _ => None,
        });
        rule.ok_or_else(|| Denied::Rule(format!("no rule for a {purpose} of {asset}")))
    }
}

impl Rule {
    const fn purpose(&self) -> Purpose {
        match self {
            Self::Withdrawal(_) => Purpose::Withdrawal,
            Self::Sweep(_) => Purpose::Sweep,
            Self::Fuel(_) => Purpose::Fuel,
            Self::Anchor(_) => Purpose::Anchor,
            Self::Setup(_) => Purpose::Setup,
        }
    }

    const fn chain(&self) -> &ChainId {
        match self {
            Self::Withdrawal(rule) | Self::Sweep(rule) | Self::Fuel(rule) => rule.asset.chain(),
            Self::Anchor(rule) | Self::Setup(rule) => &rule.chain,
        }
    }

    fn subject(&self) -> String {
        match self {
            Self::Withdrawal(rule) | Self::Sweep(rule) | Self::Fuel(rule) => rule.asset.to_string(),
            Self::Anchor(rule) | Self::Setup(rule) => rule.chain.to_string(),
        }
    }

    fn validate(
        &self,
        check: impl Fn(&ChainId, &UncheckedAddress) -> Result<Address, IdError>,
    ) -> Result<(), String> {
        let addresses = match self {
            Self::Withdrawal(PayRule { destinations: Destinations::List(list), .. }) => list,
            Self::Withdrawal(_) => return Ok(()),
            Self::Sweep(rule) | Self::Fuel(rule) => {
                let own = matches!(rule.destinations, Destinations::Named(Group::Own));
                let native = rule.asset.is_native() || self.purpose() == Purpose::Sweep;
                return match (own, native) {
                    (false, _) => Err("its destinations can only be \"own\"".to_owned()),
                    (_, false) => Err("fuel is the native coin".to_owned()),
                    _ => Ok(()),
                };
            }
            Self::Anchor(rule) => &rule.contracts,
            Self::Setup(rule) if rule.contracts.is_empty() => return Ok(()),
            Self::Setup(_) => return Err("a setup rule names no contracts".to_owned()),
        };
        addresses.iter().try_for_each(|text| {
            let address = check(self.chain(), text).map_err(|error| error.to_string())?;
            if address.as_str() == text.0 {
                Ok(())
            } else {
                Err(format!("write {:?} as {address}", text.0))
            }
        })
    }
}

impl PayRule {
    fn check_destination(
        &self,
        purpose: Purpose,
        to: &Address,
        history: &impl History,
    ) -> Result<(), Denied> {
        let allowed = match &self.destinations {
            Destinations::Named(Group::Any) => true,
            Destinations::Named(Group::Own) => history
                .own_key(to)
                .is_some_and(|key| purpose != Purpose::Sweep || key.account() == KeyPath::TREASURY),
            Destinations::List(list) => list.iter().any(|allowed| allowed.0 == to.as_str()),
        };
        if allowed { Ok(()) } else { deny(format!("a {purpose} may not pay {to}")) }
    }
}

impl FeeCaps {
    fn check(self, request: Request<'_>, used_today: Amount) -> Result<(), Denied> {
        let fee = request.intent.fee_max;
        if fee > self.per_tx_max {
            return deny(format!("a fee of {fee} is over the limit of {}", self.per_tx_max));
        }
        within_day("fees", used_today, request.summary.fee_max, self.per_day_max)
    }
}

fn within_day(what: &str, used: Amount, more: Amount, limit: Amount) -> Result<(), Denied> {
    if used.checked_add(more)? > limit {
        return Err(Denied::Limit(format!(
            "{what} of {more} with {used} in the last 24 hours are over the limit of {limit}"
        )));
    }
    Ok(())
}

/// Only the purpose's wallets sign, and change stays in one of them or comes to the treasury.
fn check_signers(
    request: Request<'_>,
    purpose: Purpose,
    from: Option<&BTreeSet<Wallet>>,
) -> Result<(), Denied> {
    let usual: &[Wallet] = match purpose {
        Purpose::Withdrawal | Purpose::Fuel => &[Wallet::Treasury],
        Purpose::Sweep => &[Wallet::Treasury, Wallet::Customers],
        Purpose::Anchor => &[Wallet::Anchor],
        Purpose::Setup => &[Wallet::Treasury, Wallet::Anchor],
    };
    let allowed = |wallet: Wallet| {
        from.map_or_else(|| usual.contains(&wallet), |from| from.contains(&wallet))
    };
    for signer in request.signers {
        if !Wallet::of(signer.key).is_some_and(allowed) {
            return deny(format!("a {purpose} may not be signed by {}", signer.key));
        }
    }
    for change in request.change {
        let account = change.key.account();
        let theirs = request.signers.iter().any(|signer| signer.key.account() == account);
        if account != KeyPath::TREASURY && !theirs {
            return deny(format!("change may not go to {}", change.key));
        }
    }
    Ok(())
}

impl Wallet {
    const fn of(key: KeyPath) -> Option<Self> {
        match key.account() {
            KeyPath::TREASURY => Some(Self::Treasury),
            KeyPath::ANCHOR => Some(Self::Anchor),
            KeyPath::FIRST_CUSTOMER.. => Some(Self::Customers),
            _ => None,
        }
    }
}

fn deny<T>(reason: String) -> Result<T, Denied> {
    Err(Denied::Rule(reason))
}
