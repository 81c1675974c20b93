//! Velocity limits: what memory says is what all legs say, and a long window costs no more than a short
//! one.

use std::sync::Arc;
use std::time::Duration;

use crate::common::Fixture;
use api_ledger::*;
use api_store::{Engine, args};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

on_both_engines! {
    usage_is_what_a_second_count_says
    a_long_window_costs_the_legs_since_the_last_posting
    the_last_limit_removed_leaves_no_limited_account
    a_limit_set_while_the_last_is_removed_holds
    who_sets_a_limit_and_who_removes_it_do_not_wait_for_each_other
}

async fn limit(f: &Fixture, account: AccountId, limit: VelocityLimit) {
    let mut tx = f.begin().await;
    f.ledger.set_limit(&mut tx, account, &limit).await.unwrap();
    tx.commit().await.unwrap();
}

/// What left an account: when, how many transfers, how much.
type Outflow = (i64, u32, u128);

/// A second count, which knows nothing of legs.
#[derive(Default)]
struct Naive {
    limits: Vec<VelocityLimit>,
    outflows: Vec<Outflow>,
}

impl Naive {
    fn allows(&self, now: i64, amount: u128) -> bool {
        self.limits.iter().all(|limit| {
            let begin = now - i64::from(limit.window_secs);
            let counted = self.outflows.iter().filter(|(time, ..)| *time > begin);
            let (count, sum) = counted
                .fold((1, amount), |(count, sum), (_, more, much)| (count + more, sum + much));
            limit.count_max.is_none_or(|max| count <= max)
                && limit.sum_max.is_none_or(|max| sum <= max)
        })
    }
}

async fn usage_is_what_a_second_count_says(engine: Engine) {
    let mut f = Fixture::new(engine).await;
    let (bank, ann, bob) = (f.bank().await, f.customer("ann").await, f.customer("bob").await);
    f.post(&f.transfer(1, bank, ann, 1_000_000)).await.unwrap();
    let mut naive = Naive::default();
    for (window_secs, count_max, sum_max) in
        [(20, Some(4), None), (100, None, Some(120)), (3000, Some(30), Some(900))]
    {
        let new = VelocityLimit { window_secs, count_max, sum_max };
        limit(&f, ann, new).await;
        naive.limits.push(new);
    }
    let seed: [u8; 32] = rand::random();
    println!("seed {seed:?}");
    let mut rng = StdRng::from_seed(seed);
    let (mut refused, mut accepted) = (0, 0);
    for n in 2..150 {
        f.sleep(rng.random_range(0..12));
        let amount = rng.random_range(1..20);
        let id = TransferId::from_u128(n);
        let leg = |debit, credit| Leg { debit, credit, amount };
        let (transfer, out) = match rng.random_range(0..7) {
            0 => (f.transfer(n, bank, ann, amount), 0),
            1 => (f.pending(n, ann, bank, amount), amount),
            2 => {
                let legs = vec![leg(ann, bank), leg(bank, ann), leg(ann, bob)];
                (Transfer::new(f.tenant, id, legs), 2 * amount)
            }
            3 => {
                // What came in goes out again.
                let deposit = f.transfer(1000 + n, bank, ann, amount);
                f.post(&deposit).await.unwrap();
                (Transfer::reverse(f.tenant, id, deposit.id), amount)
            }
            _ => (f.transfer(n, ann, bob, amount), amount),
        };
        let now = f.now().as_second();
        let allowed = out == 0 || naive.allows(now, out);
        let expected = if allowed { Ok(()) } else { Err(Refusal::VelocityExceeded) };
        let is_kept = rng.random_ratio(7, 10);
        let result = if is_kept && rng.random_bool(0.7) {
            f.post(&transfer).await.map(drop)
        } else {
            // In a transaction of a caller's, who may think better of it.
            let mut tx = f.begin().await;
            let result = f.ledger.post_one_in(&mut tx, &transfer).await;
            let again = f.ledger.post_one_in(&mut tx, &f.transfer(9000 + n, ann, bob, 1)).await;
            let both = allowed && out > 0;
            let mut with = Naive { limits: naive.limits.clone(), outflows: naive.outflows.clone() };
            with.outflows.extend(both.then_some((now, 1, out)));
            assert_eq!(again.is_ok(), with.allows(now, 1), "after {transfer:?}");
            if is_kept {
                tx.commit().await.unwrap();
                naive.outflows.extend(again.is_ok().then_some((now, 1, 1)));
            } else {
                tx.rollback().await.unwrap();
            }
            match result {
                Ok(_) => Ok(()),
                Err(PostError::Refused(refusal)) => Err(refusal),
                Err(PostError::Ledger(error)) => panic!("{error}"),
            }
        };
        let result = result.map_err(|refusal| refusal.cause().clone());
        assert_eq!(result, expected, "{transfer:?}");
        accepted += u32::from(allowed && out > 0);
        refused += u32::from(!allowed);
        if allowed && out > 0 && is_kept {
            naive.outflows.push((now, 1, out));
        }
        if rng.random_ratio(1, 20) {
            f.ledger = f.another();
        }
    }
    assert!(refused > 5 && accepted > 20, "{refused} refused, {accepted} accepted");
    f.assert_clean().await;
}

async fn a_long_window_costs_the_legs_since_the_last_posting(engine: Engine) {
    let mut f = Fixture::new(engine).await;
    f.ledger = f.ledger.clone().with_tail(TailOptions::default());
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 1_000_000)).await.unwrap();
    let window = VelocityLimit { window_secs: u32::MAX, count_max: Some(5_020), sum_max: None };
    limit(&f, ann, window).await;
    for batch in 0..5_u128 {
        f.sleep(1);
        let ids = batch * 1000 + 2..batch * 1000 + 1002;
        let transfers: Vec<Transfer> = ids.map(|id| f.transfer(id, ann, bank, 1)).collect();
        let results = f.ledger.post_batch(&transfers).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
    }
    f.post(&f.transfer(6000, ann, bank, 1)).await.unwrap();
    let read = |ledger: &Ledger| ledger.legs_read_for_limits();
    let all = read(&f.ledger);
    assert!(all <= 5_010, "each leg was read once, and some twice: {all}");
    for id in 6001..=6008 {
        let before = read(&f.ledger);
        f.sleep(1);
        f.post(&f.transfer(id, ann, bank, 1)).await.unwrap();
        assert_eq!(read(&f.ledger) - before, 2, "the known leg and the new one");
    }
    // A server that has just been started reads all once.
    let other = f.another();
    other.post(&f.transfer(6009, ann, bank, 1)).await.unwrap();
    assert_eq!(read(&other), 5_010);
    other.post(&f.transfer(6010, ann, bank, 1)).await.unwrap();
    assert_eq!(read(&other), 5_012);
    // A caller's transaction uses what is there and adds nothing.
    let mut tx = f.begin().await;
    for id in 6011..=6019 {
        f.ledger.post_one_in(&mut tx, &f.transfer(id, ann, bank, 1)).await.unwrap();
    }
    let refused = f.ledger.post_one_in(&mut tx, &f.transfer(6020, ann, bank, 1)).await;
    assert!(matches!(refused, Err(PostError::Refused(Refusal::VelocityExceeded))), "{refused:?}");
    tx.rollback().await.unwrap();
    let before = read(&f.ledger);
    f.post(&f.transfer(6011, ann, bank, 1)).await.unwrap();
    assert_eq!(read(&f.ledger) - before, 4, "three since the known one, and that");
    f.assert_clean().await;
}

async fn is_limited(f: &Fixture, account: AccountId) -> bool {
    let mut tx = f.begin().await;
    let sql = "SELECT CAST(flags & 8 AS BIGINT) FROM ledger_balances WHERE account = $1";
    let (flag,): (i64,) = tx.fetch_one(sql, args![account.get()]).await.unwrap();
    flag != 0
}

async fn the_last_limit_removed_leaves_no_limited_account(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    for window_secs in [60, 3600] {
        limit(&f, ann, VelocityLimit { window_secs, count_max: Some(1), sum_max: None }).await;
    }
    f.post(&f.transfer(2, ann, bank, 1)).await.unwrap();
    assert_eq!(f.post(&f.transfer(3, ann, bank, 1)).await, Err(Refusal::VelocityExceeded));
    for (window_secs, limited) in [(60, true), (60, true), (3600, false), (3600, false)] {
        assert!(is_limited(&f, ann).await || !limited);
        let mut tx = f.begin().await;
        f.another().remove_limit(&mut tx, ann, window_secs).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(is_limited(&f, ann).await, limited);
        let result = f.post(&f.transfer(3, ann, bank, 1)).await.map(drop);
        assert_eq!(result, if limited { Err(Refusal::VelocityExceeded) } else { Ok(()) });
    }
    let read = f.ledger.legs_read_for_limits();
    f.post(&f.transfer(4, ann, bank, 1)).await.unwrap();
    assert_eq!(f.ledger.legs_read_for_limits(), read, "the memory of the account knows it too");
    f.assert_clean().await;
}

async fn a_limit_set_while_the_last_is_removed_holds(engine: Engine) {
    let f = Arc::new(Fixture::new(engine).await);
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    limit(&f, ann, VelocityLimit { window_secs: 60, count_max: Some(1), sum_max: None }).await;
    let mut tx = f.begin().await;
    let new = VelocityLimit { window_secs: 90, count_max: Some(0), sum_max: None };
    f.ledger.set_limit(&mut tx, ann, &new).await.unwrap();
    let removing = tokio::spawn({
        let f = Arc::clone(&f);
        async move {
            let mut tx = f.begin().await;
            f.ledger.remove_limit(&mut tx, ann, 60).await.unwrap();
            tx.commit().await.unwrap();
        }
    });
    // Long enough for the other to come as far as it can.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!removing.is_finished(), "it waits for the account");
    tx.commit().await.unwrap();
    removing.await.unwrap();
    assert_eq!(f.post(&f.transfer(2, ann, bank, 1)).await, Err(Refusal::VelocityExceeded));
}

async fn who_sets_a_limit_and_who_removes_it_do_not_wait_for_each_other(engine: Engine) {
    let f = Arc::new(Fixture::new(engine).await);
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    f.post(&f.transfer(1, bank, ann, 100)).await.unwrap();
    let loose = VelocityLimit { window_secs: 60, count_max: Some(9), sum_max: None };
    limit(&f, ann, loose).await;
    let mut tx = f.begin().await;
    assert!(f.ledger.set_frozen(&mut tx, ann, true).await.unwrap());
    let setting = tokio::spawn({
        let f = Arc::clone(&f);
        async move { limit(&f, ann, VelocityLimit { count_max: Some(0), ..loose }).await }
    });
    // Long enough for the other to come as far as it can: it must not have the limit already.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!setting.is_finished(), "it waits for the account");
    f.ledger.remove_limit(&mut tx, ann, 60).await.unwrap();
    assert!(f.ledger.set_frozen(&mut tx, ann, false).await.unwrap());
    tx.commit().await.unwrap();
    setting.await.unwrap();
    assert_eq!(f.post(&f.transfer(2, ann, bank, 1)).await, Err(Refusal::VelocityExceeded));
}
