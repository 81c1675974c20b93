//! Callers that go away on the way, at every point where a call can be left: what became of it is found
//! out by sending the same id again, perhaps to another server.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::common::Fixture;
use crate::servers::another_server;
use api_ledger::*;
use api_store::Engine;
use tokio::task::JoinSet;

const CALLERS: u32 = 6;
/// More than anybody needs.
const CALLS_MAX: u32 = 200;
/// A caller is done when so many of its calls came to their end.
const UNCUT: u32 = 3;

on_both_engines! {
    an_unclear_outcome_is_settled_by_the_same_id
}

/// A call that is left after it had to wait `polls` times.
struct Cut<F> {
    call: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Cut<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => {
                self.polls -= 1;
                Poll::Pending
            }
        }
    }
}

async fn cut<F: Future>(polls: u32, call: F) -> Option<F::Output> {
    Cut { call: Box::pin(call), polls }.await
}

/// How the calls of a caller went.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    uncut: u32,
    /// Left, and what they asked for was not done.
    lost: u32,
    /// Left, and it was done nevertheless.
    done: u32,
}

/// Calls again and again, leaving each call later than the one `calls_each` before it, and settles each, by
/// turns where it was sent to and at `other`.
async fn caller(
    post: impl AsyncFn(Transfer) -> Result<Posted, PostError>,
    calls_each: u32,
    other: Ledger,
    leg: (TenantId, Leg),
) -> Calls {
    let mut calls = Calls::default();
    for number in 0..CALLS_MAX {
        let transfer = Transfer::new(leg.0, TransferId::generate(), vec![leg.1]);
        let answer = cut(number / calls_each, post(transfer.clone())).await;
        let settled = match number % 2 {
            0 => post(transfer).await.unwrap(),
            _ => other.post(&transfer).await.unwrap(),
        };
        match (answer, settled.outcome) {
            (Some(answer), again) => {
                assert_eq!(answer.unwrap().seq, settled.seq, "one answer");
                assert_eq!(again, Outcome::AlreadyApplied);
                calls.uncut += 1;
            }
            (None, Outcome::Executed) => calls.lost += 1,
            (None, Outcome::AlreadyApplied) => calls.done += 1,
        }
        if calls.uncut == UNCUT {
            break;
        }
    }
    calls
}

async fn an_unclear_outcome_is_settled_by_the_same_id(engine: Engine) {
    let f = Fixture::new(engine).await;
    let (bank, ann) = (f.bank().await, f.customer("ann").await);
    let servers = [f.another(), another_server(&f).await];
    let front = GroupCommit::start(servers[0].clone());
    let leg = Leg { debit: bank, credit: ann, amount: 1 };
    let (mut direct, mut shared) = (JoinSet::new(), JoinSet::new());
    for number in 0..CALLERS {
        let own = servers[number as usize % 2].clone();
        let other = servers[(number as usize + 1) % 2].clone();
        let (front, tenant) = (front.clone(), f.tenant);
        if number % 3 == 2 {
            let post = async move |transfer| front.post(transfer).await;
            // It waits once: for its answer.
            shared.spawn(caller(post, 8, other, (tenant, leg)));
        } else {
            let post = async move |transfer: Transfer| own.post(&transfer).await;
            direct.spawn(caller(post, 1, other, (tenant, leg)));
        }
    }
    let (mut left, mut total) = ([Calls::default(); 2], 0);
    for (sum, callers) in left.iter_mut().zip([direct, shared]) {
        for calls in callers.join_all().await {
            assert_eq!(calls.uncut, UNCUT, "{calls:?}");
            sum.uncut += calls.uncut;
            sum.lost += calls.lost;
            sum.done += calls.done;
            total += u128::from(calls.uncut + calls.lost + calls.done);
        }
    }
    println!("{engine:?}: left alone {:?}, in the group commit {:?}", left[0], left[1]);
    assert!(left[0].lost > 10, "calls were hardly cut before the commit: {left:?}");
    assert!(left[0].done > 0, "no call was cut in the commit: {left:?}");
    assert!(left[1].done > 0, "nobody left the group commit: {left:?}");
    assert_eq!(f.balance(ann).await.posted().or_zero(), total, "each once");
    for server in &servers {
        let mut tx = server.db().read().await.unwrap();
        let balance = server.balance(&mut tx, ann, AsOf::Now).await.unwrap();
        assert_eq!(balance.posted().or_zero(), total, "no server remembers what was taken back");
    }
    f.assert_clean().await;
}
