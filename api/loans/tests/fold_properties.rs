//! Random loans, random events, backdating included: what must hold at every moment.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use api_loans::loan::{Account, Body, Books, Event, check_append, fold, preview};
use api_loans::schedule::Schedule;
use api_loans::terms::{Component, Contract};
use api_loans::{LoanError, Money};
use common::{Step, contracts, disbursed, restructurings, steps};
use jiff::civil::Date;
use proptest::prelude::*;
use uuid::Uuid;

/// The events that the engine accepts, in the order of recording.
fn accepted(contract: &Contract, steps: &[Step]) -> Vec<Event> {
    let mut events = vec![disbursed(contract)];
    for step in steps {
        let event = step.event(contract, &events);
        match check_append(contract, &events, &event) {
            Ok(()) => {
                events.push(event);
                // What was paid back stays covered, or the event is refused, as the service does.
                let last = events.iter().map(|event| event.effective).max().unwrap();
                if matches!(fold(contract, &events, last), Err(LoanError::RefundsTooMuch)) {
                    events.pop();
                }
            }
            Err(LoanError::Conservation(equation)) => panic!("{equation}"),
            Err(LoanError::Overflow) => panic!("overflow"),
            Err(_) => {}
        }
    }
    events
}

fn day(contract: &Contract, days: i32) -> Date {
    contract.start.checked_add(jiff::Span::new().days(days)).unwrap()
}

fn paid(loan: &api_loans::loan::Loan, component: Component) -> Money {
    Money::sum(loan.lines().iter().map(|line| line.slot(component).paid)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn promise_33_repayments_sum_to_principal_interest_and_fees(
        contract in contracts(), steps in steps(), until in 0i32..2000,
    ) {
        let events = accepted(&contract, &steps);
        let loan = fold(&contract, &events, day(&contract, until)).unwrap();
        let upfront = contract.terms.fees.upfront.on(contract.principal, contract.terms.rounding).unwrap();
        let allocated = Money::sum(Component::ALL.map(|component| paid(&loan, component))).unwrap();
        let received = loan.received().plus(upfront).unwrap();
        let kept = loan.held().unwrap().plus(loan.refunded()).unwrap();
        prop_assert_eq!(allocated.plus(kept).unwrap(), received);

        let slots = |part: fn(&api_loans::loan::Slot) -> Money| {
            Money::sum(loan.lines().iter().map(|line| part(line.slot(Component::Principal)))).unwrap()
        };
        let accounted = Money::sum([
            slots(|slot| slot.paid),
            slots(|slot| slot.forgiven),
            slots(|slot| slot.written_off),
            loan.outstanding().unwrap().principal,
        ]).unwrap();
        prop_assert_eq!(accounted, contract.principal.plus(loan.capitalised()).unwrap());
    }

    /// Posting only the difference, event by event and day by day, ends in the same books as
    /// folding once; and the order of the events in the store does not matter.
    #[test]
    fn promise_33_posted_differences_equal_the_fold(
        contract in contracts(), steps in steps(), until in 900i32..2000, seed: u64,
    ) {
        let events = accepted(&contract, &steps);
        let last = day(&contract, until);
        let mut posted = Books::default();
        for count in 1..=events.len() {
            let known = &events[..count];
            let as_of = known.iter().map(|event| event.effective).max().unwrap();
            let books = fold(&contract, known, as_of).unwrap().books().unwrap();
            let difference = books.since(&posted).unwrap();
            posted = Books::from_totals(posted.totals().chain(difference.totals())).unwrap();
        }
        let at_end = fold(&contract, &events, last).unwrap();
        let difference = at_end.books().unwrap().since(&posted).unwrap();
        posted = Books::from_totals(posted.totals().chain(difference.totals())).unwrap();
        prop_assert!(at_end.books().unwrap().since(&posted).unwrap().is_empty());

        let replayed = fold(&contract, &events, last).unwrap();
        prop_assert!(replayed.books().unwrap().since(&posted).unwrap().is_empty(), "replay");
        let mut shuffled = events.clone();
        let turns = usize::try_from(seed % 7).unwrap() % shuffled.len();
        shuffled.rotate_left(turns);
        let other = fold(&contract, &shuffled, last).unwrap();
        prop_assert_eq!(other.allocations(), at_end.allocations());
        for component in Component::ALL {
            let balance = posted.balance(Account::Receivable(component)).unwrap();
            prop_assert_eq!(balance, at_end.outstanding().unwrap().of(component));
            prop_assert!(!balance.is_negative());
        }
        let suspense = posted.balance(Account::Suspense).unwrap();
        let upfront = contract.terms.fees.upfront.on(contract.principal, contract.terms.rounding).unwrap();
        let lent = contract.principal.minus(upfront).unwrap();
        // What was paid out less what came in, and what is held of it.
        let kept = at_end.held().unwrap().plus(at_end.refunded()).unwrap();
        let expected = at_end.received().minus(kept).unwrap().minus(lent).unwrap();
        prop_assert_eq!(suspense, expected);
    }

    /// Without events after the disbursement the fold bills exactly the schedule.
    #[test]
    fn promise_33_the_fold_bills_the_schedule(contract in contracts()) {
        let schedule = Schedule::build(&contract).unwrap();
        let far = schedule.instalments.last().unwrap().due;
        let mut terms = contract.clone();
        terms.terms.penalty = None;
        terms.terms.fees.late = Default::default();
        let loan = fold(&terms, &[disbursed(&contract)], far).unwrap();
        let billed: Vec<_> = loan.lines().iter().filter(|line| line.number > 0).collect();
        prop_assert_eq!(billed.len(), schedule.instalments.len());
        for (line, planned) in billed.iter().zip(&schedule.instalments) {
            prop_assert_eq!(line.due, planned.due);
            prop_assert_eq!(line.slot(Component::Principal).owed, planned.principal);
            prop_assert_eq!(line.slot(Component::Interest).owed, planned.interest);
            prop_assert_eq!(line.slot(Component::Fee).owed, planned.fee);
        }
        let principal = Money::sum(schedule.instalments.iter().map(|line| line.principal)).unwrap();
        let capitalised = Money::sum(schedule.instalments.iter().map(|line| line.capitalised)).unwrap();
        prop_assert_eq!(principal, contract.principal.plus(capitalised).unwrap());
    }

    /// Interest accrues day by day, never falls, and ends at what is billed.
    #[test]
    fn promise_33_accrual_is_idempotent_and_monotone(contract in contracts()) {
        let events = [disbursed(&contract)];
        let mut last = Money::ZERO;
        for days in 0..120 {
            let on = day(&contract, days);
            let once = fold(&contract, &events, on).unwrap().books().unwrap();
            let twice = fold(&contract, &events, on).unwrap().books().unwrap();
            prop_assert!(twice.since(&once).unwrap().is_empty());
            let earned = Money::ZERO.minus(once.balance(Account::Income(Component::Interest)).unwrap()).unwrap();
            prop_assert!(earned >= last, "day {days}: {earned} after {last}");
            last = earned;
        }
    }

    #[test]
    fn a_deferral_conserves(
        contract in contracts(), steps in steps(), change in restructurings(), on in 0i32..900,
    ) {
        let events = accepted(&contract, &steps);
        match preview(&contract, &events, Uuid::nil(), &change, day(&contract, on)) {
            Ok(preview) => {
                prop_assert_eq!(preview.hash().unwrap(), preview.hash().unwrap());
                prop_assert!(!preview.after.interest_to_come.is_negative());
            }
            Err(error) => prop_assert!(
                !matches!(error, LoanError::Conservation(_) | LoanError::Overflow), "{error}"
            ),
        }
    }

    /// A reversed payment leaves the loan as if it had never been made.
    #[test]
    fn a_reversal_undoes(contract in contracts(), steps in steps(), on in 0i32..900, amount in 1i128..500_000) {
        let events = accepted(&contract, &steps);
        let seq = u64::try_from(events.len()).unwrap() + 1;
        let payment = common::repaid(seq, day(&contract, on), amount, Default::default());
        let body = Body::Reversed { event: payment.id, reason: "bounced".to_owned() };
        let reversal = common::event(seq + 1, day(&contract, on + 3), body);
        let with = [events.clone(), vec![payment, reversal]].concat();
        let end = day(&contract, 1500);
        let (before, after) = (fold(&contract, &events, end).unwrap(), fold(&contract, &with, end).unwrap());
        prop_assert!(after.books().unwrap().since(&before.books().unwrap()).unwrap().is_empty());
        prop_assert_eq!(after.held().unwrap(), before.held().unwrap());
    }
}
