//! Schedules, annual rates and day counts against calculators that are not ours: the committed
//! answers of `golden/generate.py`, and the same script run again.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use api_loans::calendar::{DayCount, Frequency, Reference};
use api_loans::cost::{AnnualRateRule, annual_rate};
use api_loans::schedule::Schedule;
use api_loans::terms::{Contract, Fee, Product, Terms};
use api_loans::{Money, Rate};
use common::{plain_terms, rate};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    schedules: Vec<Case>,
    day_counts: Vec<Days>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    start: Date,
    principal: Money,
    rate: Rate,
    instalments: u32,
    frequency: Frequency,
    day_count: DayCount,
    upfront: Money,
    level: Option<i128>,
    #[serde(default)]
    interest: Vec<i128>,
    last: Option<i128>,
    residual: Option<Rate>,
    residual_minor: Option<i128>,
    first_interest: Option<i128>,
    xirr: Option<String>,
    reg_z: Option<String>,
    aprc: Option<String>,
}

#[derive(Deserialize)]
struct Days {
    start: Date,
    end: Date,
    years: BTreeMap<String, String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden() -> Golden {
    serde_json::from_str(&std::fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap()
}

impl Case {
    fn contract(&self) -> Contract {
        let mut terms = Terms {
            product: match self.residual {
                Some(residual) => Product::Balloon { residual },
                None => Product::Annuity,
            },
            rate: self.rate,
            day_count: self.day_count,
            frequency: self.frequency,
            instalments: self.instalments,
            ..plain_terms()
        };
        terms.fees.upfront = Fee { fixed: self.upfront, share: Rate::ZERO };
        Contract { terms, principal: self.principal, start: self.start, first_due: None }
    }
}

/// Every line to the minor unit: the level instalment, each interest, the last instalment.
#[test]
fn promise_33_schedules_agree_with_outside_calculators_to_the_minor_unit() {
    let golden = golden();
    assert!(golden.schedules.len() >= 500);
    for case in &golden.schedules {
        let schedule = Schedule::build(&case.contract()).unwrap();
        let lines = &schedule.instalments;
        let total = |index: usize| lines[index].total().unwrap().minor();
        if let Some(level) = case.level {
            assert_eq!(total(0), level, "{} {} {}", case.kind, case.start, case.principal);
        }
        if let Some(interest) = case.first_interest {
            assert_eq!(lines[0].interest.minor(), interest);
            let residual = case.residual_minor.unwrap();
            let tolerance = i128::from(case.instalments) * 40;
            let last = lines.last().unwrap();
            let off = (last.principal.minor() + last.interest.minor() - residual - total(0)).abs();
            assert!(off <= tolerance, "the last instalment holds the residual: {off}");
        } else {
            let interest: Vec<i128> = lines.iter().map(|line| line.interest.minor()).collect();
            assert_eq!(interest, case.interest, "{} {}", case.start, case.principal);
            assert_eq!(total(lines.len() - 1), case.last.unwrap());
        }
    }
}

#[test]
fn annual_rates_agree_with_outside_calculators() {
    let rules = [AnnualRateRule::Xirr, AnnualRateRule::UsRegZ, AnnualRateRule::EuAprc];
    let mut compared = 0;
    for case in golden().schedules {
        let schedule = Schedule::build(&case.contract()).unwrap();
        for (rule, expected) in rules.iter().zip([&case.xirr, &case.reg_z, &case.aprc]) {
            let Some(expected) = expected else { continue };
            let found = annual_rate(&schedule, case.frequency, *rule).unwrap();
            let off = (found - Decimal::from_str(expected).unwrap()).abs();
            let message =
                format!("{rule:?} {} {}: {found}, not {expected}", case.start, case.principal);
            assert!(off <= Decimal::new(2, 7), "{message}");
            compared += 1;
        }
    }
    assert!(compared >= 1200, "{compared}");
}

#[test]
fn day_counts_agree_with_quantlib() {
    let frequency = Frequency::Monthly { every: 1 };
    let mut compared = 0;
    for row in golden().day_counts {
        for (name, expected) in &row.years {
            let count: DayCount = serde_json::from_value(name.as_str().into()).unwrap();
            let years =
                count.years(row.start, row.end, Reference { end: row.end, frequency }).unwrap();
            let found = Decimal::from(years.numerator()) / Decimal::from(years.denominator());
            let off = (found - Decimal::from_str(expected).unwrap()).abs();
            assert!(
                off < Decimal::new(1, 10),
                "{name} {} {}: {found}, not {expected}",
                row.start,
                row.end
            );
            compared += 1;
        }
    }
    assert!(compared > 2000);
}

/// The directive's own example: 6,000 lent, repaid in one sum after a year and a half with 20 % on
/// top, is 13 %; and 1,000 against 1,200 after 18 months, its first one, is 12.92 %.
#[test]
fn the_directives_example_holds() {
    let mut terms = plain_terms();
    terms.product = Product::Bullet;
    terms.instalments = 18;
    terms.rate = rate("0.13333333");
    let start = jiff::civil::date(2023, 1, 15);
    let contract = Contract { terms, principal: Money::new(100_000), start, first_due: None };
    let schedule = Schedule::build(&contract).unwrap();
    assert_eq!(schedule.total_payable, Money::new(120_000));
    let found = annual_rate(&schedule, contract.terms.frequency, AnnualRateRule::EuAprc).unwrap();
    assert_eq!(found.round_dp(4), Decimal::new(1292, 4));
}

/// Runs the generator again in a virtual environment of its own and compares with the committed
/// file, so that nobody can have written it by hand.
#[test]
fn the_committed_answers_are_the_calculators() {
    match regenerate() {
        Ok(fresh) => {
            let committed = std::fs::read_to_string(folder().join("golden.json")).unwrap();
            assert!(fresh == committed, "golden.json is not what generate.py prints");
        }
        Err(reason) => {
            eprintln!("not run: {reason}");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        }
    }
}

fn regenerate() -> Result<String, String> {
    let cache = std::env::var_os("ROADSTEAD_CACHE").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/roadstead"))
    });
    let venv = cache.ok_or("no cache folder")?.join("loans-py");
    let python = venv.join("bin/python");
    let imports = "import amortization, numpy_financial, pyxirr, QuantLib";
    if run(Command::new(&python).args(["-c", imports])).is_err() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let requirements = folder().join("requirements.txt");
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(requirements))?;
    }
    run(Command::new(&python).arg(folder().join("generate.py")))
}

fn run(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !done.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)));
    }
    String::from_utf8(done.stdout).map_err(|error| error.to_string())
}
