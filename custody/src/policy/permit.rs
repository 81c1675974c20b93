//! The decision: a pure function of the request, the rules and the past.

use std::collections::BTreeSet;

use chain_core::{Action, Address, Amount, AssetId, KeyPath, Payment, Purpose};

use super::rules::{Destinations, FeeCaps, Group, PayRule, Rule, Wallet};
use super::{Charge, Charged, Denied, History, Policy, Request};

impl Policy {
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

fn deny<T>(reason: String) -> Result<T, Denied> {
    Err(Denied::Rule(reason))
}
