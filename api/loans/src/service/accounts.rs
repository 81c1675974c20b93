use api_ledger::{AccountId, Floor, Ledger, Leg, NewAccount, Side, TenantId};
use api_store::Tx;
use serde::{Deserialize, Serialize};

use super::ServiceError;
use crate::loan::{Account, Books};
use crate::terms::Component;
use crate::{LoanError, Money};

/// The ledger accounts of a tenant's loan books in one currency. All loans in it share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Accounts {
    suspense: AccountId,
    /// Money received that matches no loan yet.
    unmatched: AccountId,
    receivable: [AccountId; 4],
    /// Fees, penalty, interest: principal earns nothing.
    income: [AccountId; 3],
    forgiveness: AccountId,
    charge_off: AccountId,
}

impl Accounts {
    /// Opens them where they are absent.
    pub(super) async fn open(
        ledger: &Ledger,
        tx: &mut Tx,
        tenant: TenantId,
        currency: &str,
    ) -> Result<Self, ServiceError> {
        let [fee, penalty, interest, principal] = Component::ALL;
        let mut receivable = Vec::with_capacity(4);
        for component in [fee, penalty, interest, principal] {
            let code = format!("loans:receivable:{}", component.name());
            receivable.push(open(ledger, tx, tenant, &code, currency, Side::Debit).await?);
        }
        let mut income = Vec::with_capacity(3);
        for component in [fee, penalty, interest] {
            let code = format!("loans:income:{}", component.name());
            income.push(open(ledger, tx, tenant, &code, currency, Side::Credit).await?);
        }
        let whole = |_| LoanError::Terms("accounts");
        Ok(Self {
            unmatched: open_unmatched(ledger, tx, tenant, currency).await?,
            suspense: open(ledger, tx, tenant, "loans:suspense", currency, Side::Credit).await?,
            receivable: receivable.try_into().map_err(whole)?,
            income: income.try_into().map_err(|_| LoanError::Terms("accounts"))?,
            forgiveness: open(ledger, tx, tenant, "loans:forgiveness", currency, Side::Debit)
                .await?,
            charge_off: open(ledger, tx, tenant, "loans:charge-off", currency, Side::Debit).await?,
        })
    }

    /// The account through which money reaches and leaves the loan books.
    pub(super) const fn suspense(&self) -> AccountId {
        self.suspense
    }

    pub(super) const fn unmatched(&self) -> AccountId {
        self.unmatched
    }

    fn id(&self, account: Account) -> Result<AccountId, LoanError> {
        let found = match account {
            Account::Suspense => Some(&self.suspense),
            Account::Receivable(component) => self.receivable.get(component.index()),
            Account::Income(component) => self.income.get(component.index()),
            Account::Forgiveness => Some(&self.forgiveness),
            Account::ChargeOff => Some(&self.charge_off),
        };
        found.copied().ok_or(LoanError::Conservation("principal earns nothing"))
    }

    /// The legs that post `difference`; a negative flow goes the other way.
    pub(super) fn legs(&self, difference: &Books) -> Result<Vec<Leg>, LoanError> {
        let mut legs = Vec::new();
        for (flow, amount) in difference.totals() {
            let (debit, credit) = flow.accounts();
            legs.extend(leg(self.id(debit)?, self.id(credit)?, amount));
        }
        Ok(legs)
    }
}

/// A leg from `credit` to `debit`, or back when the amount is negative; none for zero.
pub(super) fn leg(debit: AccountId, credit: AccountId, amount: Money) -> Option<Leg> {
    let (debit, credit) = if amount.is_negative() { (credit, debit) } else { (debit, credit) };
    let amount = amount.minor().unsigned_abs();
    (amount > 0).then_some(Leg { debit, credit, amount })
}

/// It never goes below zero: only what was received can be given to a loan or back.
async fn open_unmatched(
    ledger: &Ledger,
    tx: &mut Tx,
    tenant: TenantId,
    currency: &str,
) -> Result<AccountId, ServiceError> {
    let account = NewAccount::new(tenant, "loans:unmatched", currency, Side::Credit);
    Ok(ledger.open_account(tx, &account).await?)
}

async fn open(
    ledger: &Ledger,
    tx: &mut Tx,
    tenant: TenantId,
    code: &str,
    currency: &str,
    side: Side,
) -> Result<AccountId, ServiceError> {
    let account = NewAccount::new(tenant, code, currency, side).with_floor(Floor::None);
    Ok(ledger.open_account(tx, &account).await?)
}
