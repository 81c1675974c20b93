//! A tenant with a borrower in a test database, and a clock that the test sets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api_audit::AuditLog;
use api_care::{Address, Care, Decided, Port, Ports, SendState};
use api_ledger::{Floor, Ledger, Leg, NewAccount, Side, TenantId, Transfer, TransferId};
use api_loans::loan::RepaymentMode;
use api_loans::reminders::{Channel, Profile};
use api_loans::{Disburse, Loans, Money, NewProduct, Repay};
use api_store::test_db::TestDb;
use api_store::{Db, Engine, Tx, args};
use api_webhooks::{Policy, Sender, Vault};
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub(crate) const START: Date = date(2024, 1, 15);
/// Five days after the first due date, at 13:00 in Berlin.
pub(crate) const LATE: Date = date(2024, 2, 20);
pub(crate) const INSTALMENT: i128 = 106_619;
const LOCAL: Policy = Policy { allow_http: true, allow_private: true };

pub(crate) struct World {
    pub(crate) test_db: TestDb,
    pub(crate) ledger: Ledger,
    pub(crate) loans: Loans,
    pub(crate) audit: AuditLog,
    pub(crate) care: Care,
    pub(crate) tenant: TenantId,
    pub(crate) product: Uuid,
    clock: Arc<AtomicI64>,
}

fn wallet(customer: Uuid) -> String {
    format!("customer:{customer}")
}

/// Keys that are not in the database.
fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&"17".repeat(32)).unwrap())
}

fn noon(day: Date) -> Timestamp {
    day.at(12, 0, 0, 0).in_tz("UTC").unwrap().timestamp()
}

fn terms() -> serde_json::Value {
    serde_json::json!({ "currency": "CNY", "product": { "kind": "annuity" }, "rate": "0.12",
        "day_count": "30E/360", "frequency": { "unit": "monthly", "every": 1 }, "instalments": 12 })
}

impl World {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with_mail(engine, None).await
    }

    pub(crate) async fn with_mail(engine: Engine, mail: Option<Arc<dyn Port>>) -> Self {
        let test_db = TestDb::new(engine).await.unwrap();
        let clock = Arc::new(AtomicI64::new(noon(LATE).as_microsecond()));
        let shown = Arc::clone(&clock);
        let ledger = Ledger::new(test_db.db.clone());
        let loans = Loans::with_clock(
            ledger.clone(),
            Arc::new(move || Timestamp::from_microsecond(shown.load(Ordering::SeqCst)).unwrap()),
        );
        let audit = AuditLog::open(&test_db.db, "test.example/log").await.unwrap();
        let ports = Ports {
            sender: Sender::new(LOCAL).unwrap(),
            vault: Some(vault()),
            mail,
            public_url: "https://wallet.example/".to_owned(),
        };
        let db = test_db.db.clone();
        let care = Care::new(db, ledger.clone(), loans.clone(), audit.clone(), wallet, ports);
        let tenant = TenantId::new(Uuid::now_v7());
        let mut tx = test_db.db.begin().await.unwrap();
        let sql = "INSERT INTO tenants (id, name, created_at) VALUES ($1, 'a bank', 1)";
        tx.execute(sql, args![tenant.get()]).await.unwrap();
        let terms = serde_json::from_value(terms()).unwrap();
        let new = NewProduct { id: Uuid::now_v7(), name: "plain".to_owned(), terms };
        let product = loans.create_product(&mut tx, tenant, &new).await.unwrap().id;
        tx.commit().await.unwrap();
        Self { test_db, ledger, loans, audit, care, tenant, product, clock }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.test_db.db
    }

    /// What a new process would open: nothing but the database is the same.
    pub(crate) fn restarted(&self, mail: Option<Arc<dyn Port>>) -> Care {
        let ports = Ports {
            sender: Sender::new(LOCAL).unwrap(),
            vault: Some(vault()),
            mail,
            public_url: "https://wallet.example".to_owned(),
        };
        let db = self.test_db.db.clone();
        Care::new(db, self.ledger.clone(), self.loans.clone(), self.audit.clone(), wallet, ports)
    }

    /// One without keys for the secrets of gateways.
    pub(crate) fn without_vault(&self) -> Care {
        let ports = Ports {
            sender: Sender::new(LOCAL).unwrap(),
            vault: None,
            mail: None,
            public_url: "https://wallet.example".to_owned(),
        };
        let db = self.test_db.db.clone();
        Care::new(db, self.ledger.clone(), self.loans.clone(), self.audit.clone(), wallet, ports)
    }

    pub(crate) fn move_clock(&self, by: SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.clock.fetch_add(micros, Ordering::SeqCst);
    }

    pub(crate) fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.as_microsecond(), Ordering::SeqCst);
    }

    pub(crate) fn set_day(&self, day: Date) {
        self.set_clock(noon(day));
    }

    /// A borrower with a loan of 12,000.00 whose first instalment is five days late.
    pub(crate) async fn borrower(&self) -> (Uuid, Uuid) {
        let customer = Uuid::now_v7();
        let mut tx = self.db().begin().await.unwrap();
        let loan = self.lend(&mut tx, customer).await;
        tx.commit().await.unwrap();
        (customer, loan)
    }

    pub(crate) async fn lend(&self, tx: &mut Tx, customer: Uuid) -> Uuid {
        let account = NewAccount::new(self.tenant, &wallet(customer), "CNY", Side::Credit);
        let to = self.ledger.open_account(tx, &account).await.unwrap();
        let request = Disburse {
            loan: Uuid::now_v7(),
            product: self.product,
            borrower: customer.to_string(),
            principal: Money::new(1_200_000),
            start: START,
            first_due: None,
            to,
            borrower_key: None,
        };
        self.loans.disburse(tx, self.tenant, &request).await.unwrap();
        request.loan
    }

    /// Pays the first instalment from the wallet.
    pub(crate) async fn pay(&self, customer: Uuid, loan: Uuid, on: Date) -> Uuid {
        let mut tx = self.db().begin().await.unwrap();
        let code = wallet(customer);
        let found = self.ledger.find_account(&mut tx, self.tenant, &code, "CNY").await.unwrap();
        let request = Repay {
            id: Uuid::now_v7(),
            loan,
            amount: Money::new(INSTALMENT),
            currency: "CNY".to_owned(),
            effective: on,
            mode: RepaymentMode::Hold,
            from: found.unwrap().0.id,
        };
        self.loans.repay(&mut tx, self.tenant, &request).await.unwrap();
        tx.commit().await.unwrap();
        request.id
    }

    /// Takes money out of a wallet, to nowhere in particular.
    pub(crate) async fn spend(&self, customer: Uuid, minor: u128, on: Date) {
        let mut tx = self.db().begin().await.unwrap();
        let shop =
            NewAccount::new(self.tenant, "shop", "CNY", Side::Credit).with_floor(Floor::None);
        let shop = self.ledger.open_account(&mut tx, &shop).await.unwrap();
        let code = wallet(customer);
        let found = self.ledger.find_account(&mut tx, self.tenant, &code, "CNY").await.unwrap();
        let leg = Leg { debit: found.unwrap().0.id, credit: shop, amount: minor };
        let transfer = Transfer::new(self.tenant, TransferId::generate(), vec![leg]);
        self.ledger.post_one_in(&mut tx, &transfer.with_effective_on(on)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Lets a borrower in Berlin be reached on these channels.
    pub(crate) async fn reach(&self, customer: Uuid, language: &str, channels: &[(Channel, &str)]) {
        let (care, tenant) = (&self.care, self.tenant);
        let mut tx = self.db().begin().await.unwrap();
        let settings = ("Europe/Berlin", language, "eu");
        care.set_contact(&mut tx, tenant, customer, settings).await.unwrap();
        for (channel, address) in channels {
            if *channel != Channel::InApp {
                let address = Address::new(*channel, address).unwrap();
                care.set_address(&mut tx, tenant, customer, *channel, &address).await.unwrap();
            }
            let proof = Some("form 3");
            care.consent(&mut tx, tenant, customer, *channel, true, proof).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// A gateway for text messages at this address; its id and its secret.
    pub(crate) async fn sms_gateway(&self, url: &str) -> (Uuid, api_webhooks::Secret) {
        let mut tx = self.db().begin().await.unwrap();
        let made = self.care.put_gateway(&mut tx, self.tenant, Channel::Sms, Some(url)).await;
        let (gateway, secret) = made.unwrap();
        tx.commit().await.unwrap();
        (gateway.id, secret)
    }

    pub(crate) async fn decisions(&self, customer: Uuid) -> Vec<Decided> {
        let mut tx = self.db().read().await.unwrap();
        let all = self.care.decisions(&mut tx, self.tenant, customer, None, 500).await;
        all.unwrap()
    }

    /// Where the newest message to a customer stands.
    pub(crate) async fn state(&self, customer: Uuid) -> SendState {
        let all = self.decisions(customer).await;
        all.iter().find_map(|one| one.sent.as_ref()).unwrap().state
    }

    /// A profile without caps, for many reminders to one borrower.
    pub(crate) async fn lift_caps(&self) {
        let mut tx = self.db().begin().await.unwrap();
        let eu = Profile::built_in("eu").unwrap();
        let profile = Profile { per_day: 9_000, per_week: 9_000, ..eu };
        self.loans.put_profile(&mut tx, self.tenant, &profile).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The bytes of the database's files, where it has some.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let file = self.test_db.url.strip_prefix("sqlite:").unwrap();
        let read =
            |end: &str| std::fs::read(Path::new(&format!("{file}{end}"))).unwrap_or_default();
        [read(""), read("-wal")].concat()
    }
}
