use bdk_coin_select::float::Ordf32;
use bdk_coin_select::{BnbMetric, Candidate, CoinSelector};
use bitcoin::{Script, TxOut};
use chain_core::{Amount, BuildError};

use crate::coins::{Input, parts, sum, total};
use crate::fee::{FeeRule, Parts, fee_at, input_weight, output_weight, transaction_weight};

/// Branches that are looked at for each call, shared out over the number of coins: each branch keeps
/// its own copy of the order of the coins.
const BRANCHES_TIMES_COINS: usize = 400_000;
const BRANCHES_MAX: usize = 10_000;

/// What the coins have to pay for.
#[derive(Debug)]
pub(crate) struct Target {
    value: u64,
    outputs: Parts,
    fee: FeeRule,
    change_weight: u64,
    change_spend_weight: u64,
    change_min: u64,
}

/// Which coins are spent, and what comes back.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) inputs: Vec<Input>,
    /// The value of the change output; `None` when the rest is not worth one.
    pub(crate) change: Option<u64>,
}

impl Target {
    pub(crate) fn new(
        outputs: &[TxOut],
        fee: FeeRule,
        change: &Script,
    ) -> Result<Self, BuildError> {
        let weights = outputs.iter().map(|output| output_weight(&output.script_pubkey));
        Ok(Self {
            value: sum(outputs.iter().map(|output| output.value.to_sat()))?,
            outputs: weights.fold(Parts::default(), Parts::and),
            fee,
            change_weight: output_weight(change),
            change_spend_weight: input_weight(change).unwrap_or(u64::MAX),
            change_min: fee.change_min(change)?,
        })
    }

    /// The least that inputs of this weight have to hold.
    fn needed(&self, inputs: Parts) -> Option<u64> {
        let fee = self.fee.least(transaction_weight(inputs, self.outputs)).ok()?;
        self.value.checked_add(fee)
    }

    /// The change that these inputs leave: `None` when they are not enough, zero when the rest is
    /// not worth an output.
    fn change(&self, inputs: Parts, value: u64) -> Option<u64> {
        let rest = value.checked_sub(self.needed(inputs)?);
        let with_change = transaction_weight(inputs, self.outputs.and(self.change_weight));
        let fee = self.fee.least(with_change).ok()?;
        let change = value.checked_sub(self.value)?.saturating_sub(fee);
        rest.map(|_| if change < self.change_min { 0 } else { change })
    }

    fn fee_for_spending_change(&self, change: u64) -> u64 {
        let later = fee_at(self.fee.later_rate(), self.change_spend_weight);
        if change == 0 { 0 } else { later.unwrap_or(u64::MAX) }
    }
}

/// Least fee, the later spending of change included, in integers. The library's own metric counts
/// satoshi in 32-bit floats and asserts on their rounding, so it is not used; floats only order the
/// branches here.
struct LeastFee<'a>(&'a Target);

fn selected(selector: &CoinSelector<'_>) -> (Parts, u64) {
    selector.selected().fold((Parts::default(), 0), |(parts, value), (_, candidate)| {
        (parts.and(candidate.weight), value.saturating_add(candidate.value))
    })
}

#[expect(clippy::cast_precision_loss, reason = "only orders the branches of the search")]
const fn score(sat: u64) -> Ordf32 {
    Ordf32(sat as f32)
}

impl BnbMetric for LeastFee<'_> {
    fn score(&mut self, selector: &CoinSelector<'_>) -> Option<Ordf32> {
        let (parts, value) = selected(selector);
        let change = self.0.change(parts, value)?;
        let fee = value.checked_sub(self.0.value)?.checked_sub(change)?;
        Some(score(fee.saturating_add(self.0.fee_for_spending_change(change))))
    }

    /// The fee of what is selected, and of the lightest coins that could fill what is missing: the
    /// coins come in the order of value for weight.
    fn bound(&mut self, selector: &CoinSelector<'_>) -> Option<Ordf32> {
        let (parts, value) = selected(selector);
        let needed = self.0.needed(parts)?;
        let missing = needed.saturating_sub(value);
        let least = needed.saturating_sub(self.0.value);
        if missing == 0 {
            return Some(score(least));
        }
        let reachable = selector
            .unselected()
            .fold(value, |sum, (_, candidate)| sum.saturating_add(candidate.value));
        let (_, best) = selector.unselected().next()?;
        if reachable < needed || best.value == 0 {
            return None;
        }
        let weight = u128::from(missing)
            .saturating_mul(u128::from(best.weight))
            .checked_div(u128::from(best.value))?;
        let more = self.0.fee.at_rate(u64::try_from(weight).ok()?).ok()?;
        Some(score(least.saturating_add(more)))
    }

    fn requires_ordering_by_descending_value_pwu(&self) -> bool {
        true
    }
}

/// Chooses coins for a target: those that must be spent, and others so that the fee is least.
///
/// # Errors
/// [`BuildError::Insufficient`] when all coins together do not reach it.
pub(crate) fn select(target: &Target, inputs: &[Input]) -> Result<Selection, BuildError> {
    let candidates: Vec<Candidate> = inputs.iter().map(candidate).collect();
    let mut selector = CoinSelector::new(&candidates);
    for (index, _) in inputs.iter().enumerate().filter(|(_, input)| input.must) {
        selector.select(index);
    }
    let branches =
        BRANCHES_TIMES_COINS.checked_div(candidates.len()).unwrap_or(1).clamp(1, BRANCHES_MAX);
    if selector.run_bnb(LeastFee(target), branches).is_err() {
        selector.sort_candidates_by_descending_value_pwu();
        let enough = |selector: &CoinSelector<'_>| {
            let (parts, value) = selected(selector);
            target.change(parts, value).is_some()
        };
        selector.select_until(enough).ok_or_else(|| insufficient(target, inputs))?;
    }
    let (parts, value) = selected(&selector);
    let change = target.change(parts, value).ok_or_else(|| insufficient(target, inputs))?;
    let inputs = selector.apply_selection(inputs).cloned().collect();
    Ok(Selection { inputs, change: (change > 0).then_some(change) })
}

fn candidate(input: &Input) -> Candidate {
    Candidate { value: input.sat, weight: input.weight, input_count: 1, is_segwit: true }
}

fn insufficient(target: &Target, inputs: &[Input]) -> BuildError {
    let needed = target.needed(parts(inputs)).unwrap_or(u64::MAX);
    let available = total(inputs).unwrap_or(0);
    BuildError::Insufficient { needed: Amount::from(needed), available: Amount::from(available) }
}
