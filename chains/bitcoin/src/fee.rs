use bitcoin::Script;
use bitcoin::transaction::InputWeightPrediction;
use chain_core::{AmountError, BuildError};

/// The highest fee rate that is believed: 10,000 sat/vB.
pub const FEE_RATE_SAT_PER_KWU_MAX: u64 = 2_500_000;

/// 1 sat/vB: what a replacement pays for its own relay on top of the fees that it evicts (BIP-125,
/// rule 4), and the least that every node relays.
pub const RELAY_SAT_PER_KWU: u64 = 250;

/// 10 sat/vB: the rate at which change is expected to be spent one day. Change that would not be
/// worth much more than that spending is left to the fee instead.
const LONG_TERM_SAT_PER_KWU: u64 = 2_500;

/// The heaviest transaction that nodes relay.
pub(crate) const WEIGHT_MAX: u64 = 400_000;

/// Version and lock time, then the marker and flag of a transaction with witnesses.
const FIXED_WEIGHT: u64 = 8 * 4 + 2;

/// Outpoint and sequence of an input.
const INPUT_WEIGHT: u64 = (32 + 4 + 4) * 4;

/// A number of inputs or outputs and what they weigh together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    count: u64,
    weight: u64,
}

impl Parts {
    pub(crate) const fn and(self, weight: u64) -> Self {
        Self { count: self.count.saturating_add(1), weight: self.weight.saturating_add(weight) }
    }

    const fn with_count(self) -> u64 {
        let count_bytes: u64 = match self.count {
            0..=0xfc => 1,
            0xfd..=0xffff => 3,
            _ => 5,
        };
        self.weight.saturating_add(count_bytes.saturating_mul(4))
    }
}

/// The weight of an input that spends `script`, its signature at its longest; `None` when it is
/// neither P2WPKH nor P2TR.
pub(crate) fn input_weight(script: &Script) -> Option<u64> {
    let witness = if script.is_p2wpkh() {
        InputWeightPrediction::P2WPKH_MAX
    } else if script.is_p2tr() {
        InputWeightPrediction::P2TR_KEY_DEFAULT_SIGHASH
    } else {
        return None;
    };
    Some(INPUT_WEIGHT.saturating_add(witness.weight().to_wu()))
}

/// The weight of an output that pays to `script`.
pub(crate) fn output_weight(script: &Script) -> u64 {
    let bytes = u64::try_from(script.len()).unwrap_or(u64::MAX);
    bytes.saturating_add(8 + 1).saturating_mul(4)
}

pub(crate) fn transaction_weight(inputs: Parts, outputs: Parts) -> u64 {
    FIXED_WEIGHT.saturating_add(inputs.with_count()).saturating_add(outputs.with_count())
}

/// What a transaction has to pay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeeRule {
    rate_sat_per_kwu: u64,
    replaced_sat: u64,
}

impl FeeRule {
    /// # Errors
    /// [`BuildError::Unsupported`] for a rate of zero or one past all reason.
    pub(crate) fn new(rate_sat_per_kwu: u64, replaced_sat: u64) -> Result<Self, BuildError> {
        if (1..=FEE_RATE_SAT_PER_KWU_MAX).contains(&rate_sat_per_kwu) {
            return Ok(Self { rate_sat_per_kwu, replaced_sat });
        }
        Err(BuildError::Unsupported(format!(
            "a fee rate of {rate_sat_per_kwu} sat/kWU is outside 1..={FEE_RATE_SAT_PER_KWU_MAX}"
        )))
    }

    /// The least fee in satoshi at this weight: the rate's, or more where something is replaced.
    pub(crate) fn least(self, weight: u64) -> Result<u64, AmountError> {
        let by_rate = fee_at(self.rate_sat_per_kwu, weight)?;
        if self.replaced_sat == 0 {
            return Ok(by_rate);
        }
        let relay = fee_at(RELAY_SAT_PER_KWU, weight)?;
        let by_replacement = self.replaced_sat.checked_add(relay).ok_or(AmountError::Overflow)?;
        Ok(by_rate.max(by_replacement))
    }

    /// The rate's fee at a weight.
    pub(crate) fn at_rate(self, weight: u64) -> Result<u64, AmountError> {
        let milli = weight.checked_mul(self.rate_sat_per_kwu).ok_or(AmountError::Overflow)?;
        Ok(milli / 1000)
    }

    /// The least change worth having: over the dust limit, and worth its own later spending.
    pub(crate) fn change_min(self, script: &Script) -> Result<u64, AmountError> {
        let dust = script.minimal_non_dust().to_sat();
        let spend = input_weight(script).ok_or(AmountError::Overflow)?;
        let later = fee_at(self.later_rate(), spend)?;
        dust.checked_add(later).ok_or(AmountError::Overflow)
    }

    pub(crate) fn later_rate(self) -> u64 {
        self.rate_sat_per_kwu.min(LONG_TERM_SAT_PER_KWU)
    }
}

/// The fee in satoshi at a rate, for the weight rounded up to whole virtual bytes as nodes do.
pub(crate) fn fee_at(rate_sat_per_kwu: u64, weight: u64) -> Result<u64, AmountError> {
    let whole = weight.checked_next_multiple_of(4).ok_or(AmountError::Overflow)?;
    let milli = whole.checked_mul(rate_sat_per_kwu).ok_or(AmountError::Overflow)?;
    Ok(milli.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use bitcoin::hashes::Hash;
    use bitcoin::{ScriptBuf, WPubkeyHash, transaction::predict_weight};
    use proptest::prelude::*;

    fn p2wpkh() -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]))
    }

    fn p2tr() -> ScriptBuf {
        ScriptBuf::from_bytes([&[0x51, 0x20][..], &[7; 32]].concat())
    }

    proptest! {
        #[test]
        fn weights_are_those_of_rust_bitcoin(wpkh in 0usize..300, tr in 1usize..300, outputs in 1usize..600) {
            let scripts = [vec![p2wpkh(); wpkh], vec![p2tr(); tr]].concat();
            let inputs = scripts
                .iter()
                .fold(Parts::default(), |sum, script| sum.and(input_weight(script).unwrap()));
            let paid = (0..outputs).fold(Parts::default(), |sum, _| sum.and(output_weight(&p2tr())));
            let predictions = [
                vec![InputWeightPrediction::P2WPKH_MAX; wpkh],
                vec![InputWeightPrediction::P2TR_KEY_DEFAULT_SIGHASH; tr],
            ]
            .concat();
            let predicted = predict_weight(predictions, vec![34; outputs]).to_wu();
            prop_assert_eq!(transaction_weight(inputs, paid), predicted);
        }
    }

    #[test]
    fn fees_round_up_to_the_virtual_byte() {
        assert_eq!(fee_at(250, 401).unwrap(), 101);
        assert_eq!(fee_at(251, 400).unwrap(), 101);
        assert_eq!(fee_at(2_500, 0).unwrap(), 0);
        assert_eq!(fee_at(u64::MAX, 400), Err(AmountError::Overflow));
    }

    #[test]
    fn promise_30_a_replacement_pays_for_what_it_evicts_and_for_itself() {
        let rule = FeeRule::new(250, 5_000).unwrap();
        assert_eq!(rule.least(400).unwrap(), 5_100);
        assert_eq!(FeeRule::new(25_000, 5_000).unwrap().least(400).unwrap(), 10_000);
    }

    #[test]
    fn an_absurd_rate_is_refused() {
        assert!(FeeRule::new(0, 0).is_err());
        assert!(FeeRule::new(FEE_RATE_SAT_PER_KWU_MAX + 1, 0).is_err());
    }
}
