//! Balances as of any day and any time of recording are what a second count says.

use crate::common::Fixture;
use api_ledger::*;
use api_store::Engine;
use jiff::Timestamp;
use jiff::civil::{Date, date};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

on_both_engines! { balances_by_day_are_what_a_second_count_says }

async fn balances_by_day_are_what_a_second_count_says(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1_000)).await.unwrap();
    let seed: [u8; 32] = rand::random();
    println!("seed {seed:?}");
    let mut rng = StdRng::from_seed(seed);
    let first = date(2026, 3, 1);
    let after = |days: i64| first.checked_add(jiff::Span::new().days(days)).unwrap();
    // When it was recorded, for which day it counts, how much came in or went out.
    let mut moves: Vec<(Timestamp, Date, i128)> = vec![(f.now(), first, 1_000)];
    for n in 2..80 {
        f.sleep(rng.random_range(0..40_000));
        let today = f.now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let other = today.checked_add(jiff::Span::new().days(rng.random_range(-4..5))).unwrap();
        let day = if rng.random_bool(0.6) { Some(other) } else { None };
        let amount = rng.random_range(1..10_u128);
        let (out, mut transfer) = match rng.random_range(0..3) {
            0 => (true, f.transfer(n, ann, bank, amount)),
            1 => {
                let pending = f.pending(1000 + n, bank, ann, amount);
                f.post(&pending).await.unwrap();
                (false, Transfer::post_pending(f.tenant, TransferId::from_u128(n), pending.id))
            }
            _ => (false, f.transfer(n, bank, ann, amount)),
        };
        transfer.effective_on = day;
        f.post(&transfer).await.unwrap();
        let signed = i128::try_from(amount).unwrap();
        moves.push((f.now(), day.unwrap_or(today), if out { -signed } else { signed }));
    }
    for _ in 0..120 {
        let effective = after(rng.random_range(-6..45));
        let recorded = moves[rng.random_range(0..moves.len())].0;
        let known = |by: Timestamp| {
            let counted = moves.iter().filter(|(at, day, _)| *at <= by && *day <= effective);
            counted.map(|(.., amount)| amount).sum::<i128>()
        };
        let bitemporal = AsOf::Bitemporal { effective, recorded };
        for (as_of, expected) in
            [(bitemporal, known(recorded)), (AsOf::Effective(effective), known(f.now()))]
        {
            let balance = f.balance_as_of(ann, as_of).await;
            assert_eq!(balance.posted().to_string(), expected.to_string(), "{as_of:?}");
        }
    }
    f.assert_clean().await;
}
