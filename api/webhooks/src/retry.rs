use rand::Rng as _;

/// Seconds to wait after each failed attempt.
const WAITS_SECS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// A tenth more or less, so that many receivers of one outage do not come back at once.
const JITTER_DIVISOR: i64 = 10;

/// Seconds until the next attempt after `attempts` failed ones; `None` to give up.
pub(crate) fn wait_secs(attempts: i64) -> Option<i64> {
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let wait = *WAITS_SECS.get(index)?;
    let jitter = wait.checked_div(JITTER_DIVISOR).unwrap_or(0);
    Some(wait.saturating_add(rand::rng().random_range(-jitter..=jitter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = (1..=10).map(wait_secs).collect();
        assert!(waits.windows(2).take(8).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), 1);
        assert_eq!((wait_secs(0), wait_secs(10)), (None, None));
        assert!((270..=330).contains(&wait_secs(2).unwrap_or(0)));
    }
}
