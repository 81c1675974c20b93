use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::fold::Loan;
use crate::terms::Component;
use crate::{LoanError, Money};

/// An account of the loan books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Money on its way between a customer and the loan books; what stays is owed to the customer.
    Suspense,
    /// What borrowers owe: principal, interest, fees, penalty.
    Receivable(Component),
    /// What the lender earns: interest, fees, penalty.
    Income(Component),
    /// What was forgiven.
    Forgiveness,
    /// What was written off, net of recoveries.
    ChargeOff,
}

/// A kind of movement between two accounts of the loan books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Principal is lent.
    Lent,
    /// Interest, a fee or a penalty is earned.
    Earned(Component),
    /// A payment is allocated.
    Paid(Component),
    /// A receivable becomes principal.
    Capitalised(Component),
    /// A receivable is forgiven.
    Forgiven(Component),
    /// A receivable is written off.
    WrittenOff(Component),
}

impl Flow {
    /// The account that is debited and the one that is credited.
    #[must_use]
    pub const fn accounts(self) -> (Account, Account) {
        use Account::{ChargeOff, Forgiveness, Income, Receivable, Suspense};
        match self {
            Self::Lent => (Receivable(Component::Principal), Suspense),
            Self::Earned(component) => (Receivable(component), Income(component)),
            Self::Paid(component) => (Suspense, Receivable(component)),
            Self::Capitalised(component) => {
                (Receivable(Component::Principal), Receivable(component))
            }
            Self::Forgiven(component) => (Forgiveness, Receivable(component)),
            Self::WrittenOff(component) => (ChargeOff, Receivable(component)),
        }
    }
}

impl Flow {
    /// Its name in stored totals: `lent`, `paid.interest`, ….
    #[must_use]
    pub fn name(self) -> String {
        let (kind, component) = match self {
            Self::Lent => return "lent".to_owned(),
            Self::Earned(component) => ("earned", component),
            Self::Paid(component) => ("paid", component),
            Self::Capitalised(component) => ("capitalised", component),
            Self::Forgiven(component) => ("forgiven", component),
            Self::WrittenOff(component) => ("written_off", component),
        };
        format!("{kind}.{}", component.name())
    }

    /// The flow with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let Some((kind, component)) = name.split_once('.') else {
            return (name == "lent").then_some(Self::Lent);
        };
        let component = Component::ALL.into_iter().find(|known| known.name() == component)?;
        Some(match kind {
            "earned" => Self::Earned(component),
            "paid" => Self::Paid(component),
            "capitalised" => Self::Capitalised(component),
            "forgiven" => Self::Forgiven(component),
            "written_off" => Self::WrittenOff(component),
            _ => return None,
        })
    }
}

/// How much each flow has moved since the disbursement. What is to be posted is the difference of
/// two books: the one that the fold gives now and the one that is posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books(BTreeMap<Flow, Money>);

impl Books {
    /// Books with these totals.
    ///
    /// # Errors
    /// [`LoanError::Overflow`] when the amounts of one flow do not fit in 128 bits.
    pub fn from_totals(totals: impl IntoIterator<Item = (Flow, Money)>) -> Result<Self, LoanError> {
        let mut books = Self::default();
        for (flow, amount) in totals {
            books.add(flow, amount)?;
        }
        Ok(books)
    }

    fn add(&mut self, flow: Flow, amount: Money) -> Result<(), LoanError> {
        if !amount.is_zero() {
            let total = self.0.entry(flow).or_default();
            *total = total.plus(amount)?;
        }
        Ok(())
    }

    /// The flows that have moved something, and how much.
    pub fn totals(&self) -> impl Iterator<Item = (Flow, Money)> + '_ {
        self.0.iter().map(|(flow, amount)| (*flow, *amount)).filter(|(_, amount)| !amount.is_zero())
    }

    /// What is to be posted on top of `posted`; a negative amount moves the other way.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn since(&self, posted: &Self) -> Result<Self, LoanError> {
        let mut difference = self.clone();
        for (flow, amount) in posted.totals() {
            difference.add(flow, Money::ZERO.minus(amount)?)?;
        }
        difference.0.retain(|_, amount| !amount.is_zero());
        Ok(difference)
    }

    /// True when nothing is to be posted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.totals().next().is_none()
    }

    /// The balance of an account, debits less credits.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn balance(&self, account: Account) -> Result<Money, LoanError> {
        let mut balance = Money::ZERO;
        for (flow, amount) in self.totals() {
            let (debit, credit) = flow.accounts();
            if debit == account {
                balance = balance.plus(amount)?;
            }
            if credit == account {
                balance = balance.minus(amount)?;
            }
        }
        Ok(balance)
    }
}

impl Serialize for Books {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.totals().map(|(flow, amount)| (flow.name(), amount)))
    }
}

impl<'de> Deserialize<'de> for Books {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, Money>::deserialize(deserializer)?;
        let mut totals = BTreeMap::new();
        for (name, amount) in named {
            let flow = Flow::from_name(&name);
            totals.insert(flow.ok_or_else(|| de::Error::custom("no such flow"))?, amount);
        }
        Ok(Self(totals))
    }
}

impl Loan {
    /// The books that this loan should have by now.
    ///
    /// # Errors
    /// [`LoanError::Overflow`].
    pub fn books(&self) -> Result<Books, LoanError> {
        let mut books = Books::default();
        books.add(Flow::Lent, self.disbursed)?;
        let interest = self.accrued_past.plus(self.accruing()?)?;
        books.add(Flow::Earned(Component::Interest), interest)?;
        let capitalised = Flow::Capitalised(Component::Interest);
        books.add(capitalised, self.capitalised_interest)?;
        let extras = self.extras()?;
        for component in [Component::Fee, Component::Penalty] {
            let moved = extras.get(component.index()).copied().unwrap_or_default();
            books.add(Flow::Earned(component), moved)?;
        }
        for line in &self.lines {
            for component in Component::ALL {
                let slot = line.slot(component);
                if matches!(component, Component::Fee | Component::Penalty) {
                    books.add(Flow::Earned(component), slot.owed.minus(slot.moved)?)?;
                }
                books.add(Flow::Paid(component), slot.paid)?;
                books.add(Flow::Capitalised(component), slot.capitalised)?;
                books.add(Flow::Forgiven(component), slot.forgiven)?;
                books.add(Flow::WrittenOff(component), slot.written_off)?;
            }
        }
        Ok(books)
    }
}
