//! The chart of accounts, and the postings that the flows make. Each tenant has books of its own;
//! the operator's are the tenant [`HOUSE`].
//!
//! | account | side | what it counts |
//! |---|---|---|
//! | `customer:<id>` | credit | what a customer can spend |
//! | `custody` | debit | coins that the chains hold for this tenant |
//! | `bank` | debit | fiat money at the bank |
//! | `suspense` | credit | money whose owner is not known |
//! | `funding` | credit | coins that the operator put in |
//! | `fx:position` | credit | what the tenant bought of an asset and sold of a currency |
//! | `fx:rounding` | credit | what conversions rounded down |
//! | `fees:network` | debit | what transactions cost (house) |
//! | `fees:anchoring` | debit | what anchors cost (house) |
//!
//! The sum of all `custody` accounts of an asset is what our addresses hold of it.

use api_ledger::{
    AccountId, ConversionAccounts, Floor, Leg, NewAccount, Side, TenantId, Transfer, TransferId,
};
use api_store::Tx;
use chain_core::{Amount, Purpose};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::error::{Code, Error};
use crate::exchange::Price;
use crate::repo::exchange::AssetQuote;

/// The operator's own books.
pub(crate) const HOUSE: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001);

/// The account of what a customer can spend.
#[must_use]
pub(crate) fn customer_code(customer: Uuid) -> String {
    format!("customer:{customer}")
}

/// The first parts of the codes in a tenant's chart that belong to the flows: a tenant opens no
/// account of its own there. A flow that needs a new one adds it here first.
const FLOW_CODES: &[&str] = &[
    "customer", "custody", "bank", "suspense", "funding", "fees", "loans", "house", "system", "fx",
];

/// True for the codes of accounts that the flows keep.
#[must_use]
pub(crate) fn is_flow_code(code: &str) -> bool {
    code.split(':').next().is_some_and(|first| FLOW_CODES.contains(&first))
}

/// A ledger transfer's id from the business document and the step: the same step again is the same
/// transfer. It is one of those that tenants cannot use.
#[must_use]
pub(crate) fn transfer_id(document: Uuid, step: &str) -> TransferId {
    let digest = Sha256::new().chain_update(document.as_bytes()).chain_update(step).finalize();
    let mut hash = [0; 12];
    hash.copy_from_slice(&digest[..12]);
    TransferId::reserved(hash)
}

impl App {
    async fn ledger_account(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        code: &str,
        asset: &str,
        side: Side,
        floor: Floor,
    ) -> Result<AccountId, Error> {
        if !is_flow_code(code) {
            return Err(Error::internal(format!("{code:?} is not among the codes of the flows")));
        }
        let account = NewAccount::new(TenantId::new(tenant), code, asset, side).with_floor(floor);
        Ok(self.ledger.open_account(tx, &account).await?)
    }

    /// The account of what a customer can spend; opened at first use.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn customer_account(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        customer: Uuid,
        asset: &str,
    ) -> Result<AccountId, Error> {
        self.ledger_account(tx, tenant, &customer_code(customer), asset, Side::Credit, Floor::Zero)
            .await
    }

    async fn custody_account(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        asset: &str,
    ) -> Result<AccountId, Error> {
        // The house pays fees before it is funded; reconciliation shows that as a shortfall.
        let floor = if tenant == HOUSE { Floor::None } else { Floor::Zero };
        self.ledger_account(tx, tenant, "custody", asset, Side::Debit, floor).await
    }

    async fn bank_account(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        currency: &str,
    ) -> Result<AccountId, Error> {
        self.ledger_account(tx, tenant, "bank", currency, Side::Debit, Floor::None).await
    }

    /// Books a deposit that is final: to the customer, or, at an address of the operator's own, as
    /// the operator's funding.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn book_deposit(
        &self,
        tx: &mut Tx,
        deposit: Uuid,
        tenant: Uuid,
        customer: Option<Uuid>,
        asset: &str,
        amount: Amount,
    ) -> Result<(), Error> {
        let custody = self.custody_account(tx, tenant, asset).await?;
        let owner = match customer {
            Some(customer) => self.customer_account(tx, tenant, customer, asset).await?,
            None => {
                self.ledger_account(tx, tenant, "funding", asset, Side::Credit, Floor::Zero).await?
            }
        };
        self.move_money(
            tx,
            tenant,
            transfer_id(deposit, "deposit"),
            custody,
            owner,
            amount,
            "deposit",
            deposit,
        )
        .await
    }

    /// Holds a withdrawal's amount on the customer's account.
    ///
    /// # Errors
    /// [`Error`] of the ledger: `insufficient_funds` when it is not available.
    pub async fn hold_withdrawal(
        &self,
        tx: &mut Tx,
        withdrawal: Uuid,
        tenant: Uuid,
        customer: Uuid,
        asset: &str,
        amount: Amount,
    ) -> Result<(), Error> {
        let debit = self.customer_account(tx, tenant, customer, asset).await?;
        let credit = self.custody_account(tx, tenant, asset).await?;
        let legs = vec![Leg { debit, credit, amount: amount.minor() }];
        let hold =
            Transfer::pending(TenantId::new(tenant), transfer_id(withdrawal, "hold"), legs, None)
                .with_code("withdrawal")
                .with_reference(&withdrawal.to_string());
        self.ledger.post_one_in(tx, &hold).await?;
        Ok(())
    }

    /// Ends a withdrawal's hold: posted when the chain paid, voided when it is known that it did not
    /// and will not.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn end_hold(
        &self,
        tx: &mut Tx,
        withdrawal: Uuid,
        tenant: Uuid,
        paid: bool,
    ) -> Result<(), Error> {
        let tenant = TenantId::new(tenant);
        let hold = transfer_id(withdrawal, "hold");
        let end = if paid {
            Transfer::post_pending(tenant, transfer_id(withdrawal, "post"), hold)
        } else {
            Transfer::void_pending(tenant, transfer_id(withdrawal, "void"), hold)
        };
        let end = end.with_code("withdrawal").with_reference(&withdrawal.to_string());
        self.ledger.post_one_in(tx, &end).await?;
        Ok(())
    }

    /// Books what a transaction cost, which the house pays.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn book_fee(
        &self,
        tx: &mut Tx,
        intent: Uuid,
        purpose: Purpose,
        native: &str,
        fee: Amount,
    ) -> Result<(), Error> {
        if fee.is_zero() {
            return Ok(());
        }
        let code = if purpose == Purpose::Anchor { "fees:anchoring" } else { "fees:network" };
        let expense =
            self.ledger_account(tx, HOUSE, code, native, Side::Debit, Floor::Zero).await?;
        let custody = self.custody_account(tx, HOUSE, native).await?;
        self.move_money(
            tx,
            HOUSE,
            transfer_id(intent, "fee"),
            expense,
            custody,
            fee,
            "network_fee",
            intent,
        )
        .await
    }

    /// Books money that arrived at the bank: to the customer, or to suspense when nobody is named.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn book_topup(
        &self,
        tx: &mut Tx,
        line: Uuid,
        tenant: Uuid,
        customer: Option<Uuid>,
        currency: &str,
        amount: Amount,
    ) -> Result<(), Error> {
        let bank = self.bank_account(tx, tenant, currency).await?;
        let owner = match customer {
            Some(customer) => self.customer_account(tx, tenant, customer, currency).await?,
            None => {
                self.ledger_account(tx, tenant, "suspense", currency, Side::Credit, Floor::Zero)
                    .await?
            }
        };
        self.move_money(tx, tenant, transfer_id(line, "topup"), bank, owner, amount, "topup", line)
            .await
    }

    /// Books a customer's chain asset against a currency, at the quote's price.
    ///
    /// # Errors
    /// [`Error`] of the ledger: `insufficient_funds` when the asset is not there.
    pub(crate) async fn book_conversion(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        customer: Uuid,
        quote: &AssetQuote,
    ) -> Result<(), Error> {
        let (asset, currency) = (&quote.asset, &quote.currency);
        let (credit, any) = (Side::Credit, Floor::None);
        let accounts = ConversionAccounts {
            seller: self.customer_account(tx, tenant, customer, asset).await?,
            position_sold: self
                .ledger_account(tx, tenant, "fx:position", asset, credit, any)
                .await?,
            position_bought: self
                .ledger_account(tx, tenant, "fx:position", currency, credit, any)
                .await?,
            buyer: self.customer_account(tx, tenant, customer, currency).await?,
            rounding: self
                .ledger_account(tx, tenant, "fx:rounding", currency, credit, Floor::Zero)
                .await?,
        };
        let expires = jiff::Timestamp::from_millisecond(quote.expires_at);
        let price = Price { numerator: quote.numerator, denominator: quote.denominator };
        let price = price.quote(quote.id, expires.map_err(Error::internal)?);
        let transfer = price
            .convert(TenantId::new(tenant), &accounts, quote.sold)
            .map_err(|error| Error::refuse(Code::InvalidAmount, error.to_string()))?;
        self.ledger.post_one_in(tx, &transfer).await?;
        Ok(())
    }

    /// Gives money that waits in `from`'s suspense account to a customer. When the customer is
    /// another tenant's, the money at the bank goes with it.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn book_match(
        &self,
        tx: &mut Tx,
        line: Uuid,
        from: Uuid,
        (tenant, customer): (Uuid, Uuid),
        currency: &str,
        amount: Amount,
    ) -> Result<(), Error> {
        let suspense =
            self.ledger_account(tx, from, "suspense", currency, Side::Credit, Floor::Zero).await?;
        let owner = self.customer_account(tx, tenant, customer, currency).await?;
        if from == tenant {
            let id = transfer_id(line, "match");
            return self
                .move_money(tx, tenant, id, suspense, owner, amount, "topup_match", line)
                .await;
        }
        let bank = self.bank_account(tx, from, currency).await?;
        let id = transfer_id(line, "match:out");
        self.move_money(tx, from, id, suspense, bank, amount, "topup_match", line).await?;
        let bank = self.bank_account(tx, tenant, currency).await?;
        let id = transfer_id(line, "match:in");
        self.move_money(tx, tenant, id, bank, owner, amount, "topup_match", line).await
    }

    /// Moves money between two customers of one tenant.
    ///
    /// # Errors
    /// [`Error`] of the ledger.
    pub async fn book_internal(
        &self,
        tx: &mut Tx,
        transfer: Uuid,
        tenant: Uuid,
        (from, to): (Uuid, Uuid),
        asset: &str,
        amount: Amount,
    ) -> Result<(), Error> {
        let debit = self.customer_account(tx, tenant, from, asset).await?;
        let credit = self.customer_account(tx, tenant, to, asset).await?;
        self.move_money(
            tx,
            tenant,
            transfer_id(transfer, "internal"),
            debit,
            credit,
            amount,
            "internal",
            transfer,
        )
        .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "private: one place that shapes every simple posting"
    )]
    async fn move_money(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        id: TransferId,
        debit: AccountId,
        credit: AccountId,
        amount: Amount,
        code: &str,
        document: Uuid,
    ) -> Result<(), Error> {
        let legs = vec![Leg { debit, credit, amount: amount.minor() }];
        let transfer = Transfer::new(TenantId::new(tenant), id, legs)
            .with_code(code)
            .with_reference(&document.to_string());
        self.ledger.post_one_in(tx, &transfer).await?;
        Ok(())
    }
}
