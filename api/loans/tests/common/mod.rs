#![expect(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, reason = "tests")]

pub mod world;

use api_loans::calendar::{BusinessDayRule, DayCount, Frequency, HolidayCalendar};
use api_loans::loan::{Amounts, Arrears, Body, Event, FeeTreatment, RepaymentMode, Restructuring};
use api_loans::terms::Component;
use api_loans::terms::{
    BusinessDays, Contract, Fee, Fees, Grace, InterestTreatment, Penalty, Product, RateStep, Terms,
    Waterfall, WaterfallBy,
};
use api_loans::{Money, Rate, Rounding};
use jiff::civil::{Date, date};
use proptest::prelude::*;
use uuid::Uuid;

pub fn rate(text: &str) -> Rate {
    Rate::parse(text).unwrap()
}

pub fn money(minor: i128) -> Money {
    Money::new(minor)
}

/// An annuity over 12 months at 12 %, 30E/360, no fees, no penalty.
pub fn plain_terms() -> Terms {
    Terms {
        currency: "CNY".to_owned(),
        product: Product::Annuity,
        rate: rate("0.12"),
        steps: Vec::new(),
        day_count: DayCount::Thirty360E,
        frequency: Frequency::Monthly { every: 1 },
        instalments: 12,
        grace: Grace::default(),
        business_days: BusinessDays::default(),
        rounding: Rounding::HalfUp,
        fees: Fees::default(),
        penalty: None,
        waterfall: Waterfall::default(),
    }
}

/// 12,000.00 lent on 2024-01-15.
pub fn plain_contract() -> Contract {
    let start = date(2024, 1, 15);
    Contract { terms: plain_terms(), principal: money(1_200_000), start, first_due: None }
}

pub fn event(seq: u64, effective: Date, body: Body) -> Event {
    Event { id: Uuid::from_u128(u128::from(seq)), seq, effective, body }
}

pub fn disbursed(contract: &Contract) -> Event {
    event(1, contract.start, Body::Disbursed)
}

pub fn repaid(seq: u64, on: Date, minor: i128, mode: RepaymentMode) -> Event {
    event(seq, on, Body::Repaid { amount: money(minor), mode })
}

pub fn products() -> impl Strategy<Value = Product> {
    prop_oneof![
        3 => Just(Product::Annuity),
        2 => Just(Product::EqualPrincipal),
        1 => Just(Product::InterestOnly),
        1 => Just(Product::Bullet),
        1 => (0i64..90).prop_map(|share| Product::Balloon {
            residual: Rate::new(rust_decimal::Decimal::new(share, 2)).unwrap(),
        }),
    ]
}

pub fn day_counts() -> impl Strategy<Value = DayCount> {
    prop::sample::select(vec![
        DayCount::Thirty360Us,
        DayCount::Thirty360E,
        DayCount::Act360,
        DayCount::Act365F,
        DayCount::ActActIsda,
        DayCount::ActActIcma,
    ])
}

pub fn frequencies() -> impl Strategy<Value = Frequency> {
    prop_oneof![
        3 => prop::sample::select(vec![1u8, 1, 2, 3]).prop_map(|every| Frequency::Monthly { every }),
        1 => (1u8..4).prop_map(|every| Frequency::Weekly { every }),
        1 => (5u16..60).prop_map(|every| Frequency::Days { every }),
    ]
}

fn fees() -> impl Strategy<Value = Fees> {
    let fee = || {
        (0i128..2_000, 0i64..200).prop_map(|(fixed, share)| Fee {
            fixed: Money::new(fixed),
            share: Rate::new(rust_decimal::Decimal::new(share, 4)).unwrap(),
        })
    };
    let none = Just(Fees::default());
    let some = (fee(), fee(), fee(), fee()).prop_map(|(upfront, instalment, late, prepayment)| {
        Fees { upfront, instalment, late, prepayment }
    });
    prop_oneof![none, some]
}

fn business_days() -> impl Strategy<Value = BusinessDays> {
    let rules = prop::sample::select(vec![
        BusinessDayRule::None,
        BusinessDayRule::None,
        BusinessDayRule::Following,
        BusinessDayRule::ModifiedFollowing,
        BusinessDayRule::Preceding,
    ]);
    (rules, any::<bool>()).prop_map(|(rule, adjust_accrual)| BusinessDays {
        rule,
        adjust_accrual,
        calendar: HolidayCalendar::default(),
    })
}

fn penalties() -> impl Strategy<Value = Option<Penalty>> {
    prop::option::of((0i64..30, 0u16..10, any::<bool>()).prop_map(
        |(percent, grace_days, on_interest)| Penalty {
            rate: Rate::new(rust_decimal::Decimal::new(percent, 2)).unwrap(),
            grace_days,
            on_interest,
        },
    ))
}

fn waterfalls() -> impl Strategy<Value = Waterfall> {
    let orders = Just(Component::ALL.to_vec()).prop_shuffle();
    (orders, any::<bool>()).prop_map(|(order, by)| Waterfall {
        order: order.try_into().unwrap(),
        by: if by { WaterfallBy::DueDate } else { WaterfallBy::Component },
    })
}

fn treatments() -> impl Strategy<Value = InterestTreatment> {
    prop::sample::select(vec![
        InterestTreatment::Accrue,
        InterestTreatment::Capitalise,
        InterestTreatment::Waive,
    ])
}

pub fn contracts() -> impl Strategy<Value = Contract> {
    let shape = (products(), 0i64..4000, day_counts(), frequencies(), 1u32..40);
    let grace = (0u32..5, 0u32..5, treatments(), prop::option::of((2u32..12, 0i64..4000)));
    let money_part = (1_000i128..10_000_000, fees(), penalties(), waterfalls());
    let dates = (0i32..1500, prop::option::of(1i32..50), business_days());
    let rounding = prop::sample::select(vec![
        Rounding::HalfUp,
        Rounding::HalfEven,
        Rounding::Up,
        Rounding::Down,
    ]);
    (shape, grace, money_part, dates, rounding).prop_map(build_contract)
}

type Shape = (Product, i64, DayCount, Frequency, u32);
type GracePart = (u32, u32, InterestTreatment, Option<(u32, i64)>);
type MoneyPart = (i128, Fees, Option<Penalty>, Waterfall);
type Dates = (i32, Option<i32>, BusinessDays);

fn build_contract(
    (shape, grace, money_part, dates, rounding): (Shape, GracePart, MoneyPart, Dates, Rounding),
) -> Contract {
    let (product, basis_points, day_count, frequency, instalments) = shape;
    let (grace_principal, grace_interest, treatment, step) = grace;
    let (principal, fees, penalty, waterfall) = money_part;
    let (offset, first, business_days) = dates;
    let start = date(2021, 1, 1).checked_add(jiff::Span::new().days(offset)).unwrap();
    let bullet = product == Product::Bullet;
    let principal_grace = grace_principal.min(instalments - 1);
    let grace = Grace {
        principal: principal_grace,
        interest: grace_interest.min(principal_grace),
        treatment,
    };
    let per_ten_thousand = |value| Rate::new(rust_decimal::Decimal::new(value, 4)).unwrap();
    let steps = step
        .map(|(from_instalment, rate)| RateStep { from_instalment, rate: per_ten_thousand(rate) });
    let mut fees = fees;
    if principal < 10_000 {
        fees.upfront = Fee::default();
    }
    let terms = Terms {
        currency: "CNY".to_owned(),
        product,
        rate: per_ten_thousand(basis_points),
        steps: if bullet { Vec::new() } else { steps.into_iter().collect() },
        day_count,
        frequency,
        instalments,
        grace: if bullet { Grace::default() } else { grace },
        business_days,
        rounding,
        fees,
        penalty,
        waterfall,
    };
    let first_due = first.map(|days| start.checked_add(jiff::Span::new().days(days)).unwrap());
    Contract { terms, principal: Money::new(principal), start, first_due }
}

pub fn restructurings() -> impl Strategy<Value = Restructuring> {
    let arrears = prop::sample::select(vec![Arrears::Keep, Arrears::ReAge, Arrears::Capitalise]);
    let forgiven = (0i128..5_000, 0i128..500, 0i128..50, 0i128..50).prop_map(
        |(principal, interest, fee, penalty)| Amounts {
            principal: Money::new(principal),
            interest: Money::new(interest),
            fee: Money::new(fee),
            penalty: Money::new(penalty),
        },
    );
    let forgive = prop_oneof![3 => Just(Amounts::default()), 1 => forgiven];
    (0u32..5, treatments(), any::<bool>(), 0u32..6, arrears, prop::option::of(0i64..4000), forgive)
        .prop_map(|(pause, interest, fees, extend, arrears, rate, forgive)| Restructuring {
            pause,
            interest,
            fees: if fees { FeeTreatment::Charge } else { FeeTreatment::Waive },
            extend,
            arrears,
            rate: rate.map(|value| Rate::new(rust_decimal::Decimal::new(value, 4)).unwrap()),
            forgive,
            probation_days: 365,
        })
}

/// What to try next with a loan: the day after the start, and what.
#[derive(Clone, Debug)]
pub enum Step {
    Repay(i32, i128, RepaymentMode),
    Refund(i32, i128),
    Fee(i32, i128),
    Waive(i32, Amounts),
    Change(i32, Restructuring),
    ReverseOne(usize, i32),
    ChargeOff(i32),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let modes = || {
        prop::sample::select(vec![
            RepaymentMode::Hold,
            RepaymentMode::Hold,
            RepaymentMode::ShorterTerm,
            RepaymentMode::SmallerInstalments,
            RepaymentMode::Settle,
        ])
    };
    let day = || 0i32..900;
    let waived = (0i128..300, 0i128..300).prop_map(|(interest, penalty)| Amounts {
        interest: Money::new(interest),
        penalty: Money::new(penalty),
        ..Amounts::default()
    });
    let step = prop_oneof![
        8 => (day(), 1i128..600_000, modes()).prop_map(|(on, by, how)| Step::Repay(on, by, how)),
        2 => (day(), 1i128..5_000).prop_map(|(on, by)| Step::Refund(on, by)),
        1 => (day(), 1i128..5_000).prop_map(|(on, by)| Step::Fee(on, by)),
        1 => (day(), waived).prop_map(|(on, amounts)| Step::Waive(on, amounts)),
        3 => (day(), restructurings()).prop_map(|(on, change)| Step::Change(on, change)),
        2 => (any::<prop::sample::Index>(), day()).prop_map(|(of, on)| Step::ReverseOne(of.index(64), on)),
        1 => (day(),).prop_map(|(on,)| Step::ChargeOff(on)),
    ];
    prop::collection::vec(step, 0..14)
}

impl Step {
    /// The event, given those before it.
    pub fn event(&self, contract: &Contract, events: &[Event]) -> Event {
        let seq = u64::try_from(events.len()).unwrap() + 1;
        let on = |days: i32| contract.start.checked_add(jiff::Span::new().days(days)).unwrap();
        match self {
            Self::Repay(day, amount, mode) => repaid(seq, on(*day), *amount, *mode),
            Self::Refund(day, amount) => {
                let body = Body::Refunded { amount: money(*amount), reason: "too much".to_owned() };
                event(seq, on(*day), body)
            }
            Self::Fee(day, amount) => {
                let body = Body::FeeCharged { amount: money(*amount), reason: "letter".to_owned() };
                event(seq, on(*day), body)
            }
            Self::Waive(day, amounts) => {
                let body = Body::Waived { amounts: *amounts, reason: "goodwill".to_owned() };
                event(seq, on(*day), body)
            }
            Self::Change(day, change) => {
                let body = Body::Restructured { change: *change, preview: String::new() };
                event(seq, on(*day), body)
            }
            Self::ReverseOne(index, day) => {
                let target = events.get(index % events.len()).unwrap().id;
                let body = Body::Reversed { event: target, reason: "bounced".to_owned() };
                event(seq, on(*day), body)
            }
            Self::ChargeOff(day) => event(seq, on(*day), Body::ChargedOff),
        }
    }
}
