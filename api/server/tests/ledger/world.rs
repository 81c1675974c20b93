//! A tenant of a server that all tests of one engine share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use api_store::Engine;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Server};

/// A tenant of its own.
pub(crate) struct World {
    pub(crate) server: &'static Server,
    pub(crate) tenant: Client,
}

fn server(engine: Engine) -> &'static Server {
    static SERVERS: [OnceLock<Server>; 2] = [OnceLock::new(), OnceLock::new()];
    let [sqlite, postgres] = &SERVERS;
    match engine {
        Engine::Sqlite => sqlite.get_or_init(|| Server::start(engine)),
        Engine::Postgres => postgres.get_or_init(|| Server::start(engine)),
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A name that nothing else has.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", NUMBERS.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn uuid() -> String {
    Uuid::now_v7().to_string()
}

impl World {
    pub(crate) fn new(engine: Engine) -> Self {
        let server = server(engine);
        Self { server, tenant: server.tenant(&unique("tenant")) }
    }

    /// On a server of the test's own.
    pub(crate) fn of(server: Server) -> Self {
        let tenant = server.tenant(&unique("tenant"));
        Self::with_key(server, &tenant.key)
    }

    /// A tenant that is there already.
    pub(crate) fn with_key(server: Server, key: &str) -> Self {
        // Its process ends with ours.
        let server: &'static Server = Box::leak(Box::new(server));
        Self { server, tenant: Client::new(server.address, key) }
    }

    /// Opens an account in euros; returns its id.
    pub(crate) fn account(&self, code: &str, side: &str, floor: &str) -> String {
        self.account_in("EUR", code, side, floor)
    }

    pub(crate) fn account_in(&self, asset: &str, code: &str, side: &str, floor: &str) -> String {
        let new = json!({ "code": code, "asset": asset, "side": side, "floor": floor });
        id(&self.tenant.post("/v1/ledger/accounts", &new).expect(201))
    }

    /// The bank, without floor, and a customer with this much.
    pub(crate) fn bank_and_customer(&self, amount: u64) -> (String, String) {
        let bank = self.account("assets:bank", "debit", "none");
        let ann = self.account("liabilities:ann", "credit", "0");
        if amount > 0 {
            self.post(&transfer(&bank, &ann, amount)).expect(201);
        }
        (bank, ann)
    }

    pub(crate) fn post(&self, body: &Value) -> crate::support::Answer {
        self.tenant.post("/v1/ledger/transfers", body)
    }

    /// Posts what must be refused; returns status and code.
    #[track_caller]
    pub(crate) fn refused(&self, body: &Value) -> (u16, String) {
        let answer = self.post(body);
        let (status, code) = answer.refusal();
        (status, code.to_owned())
    }

    pub(crate) fn balance(&self, account: &str, query: &str) -> Value {
        let path = format!("/v1/ledger/accounts/{account}/balance{query}");
        self.tenant.get(&path).expect(200)
    }

    #[track_caller]
    pub(crate) fn assert_balance(&self, account: &str, posted: &str, out: &str, available: &str) {
        let balance = self.balance(account, "");
        let parts = ["posted", "pending_out", "available"].map(|part| &balance[part]);
        assert_eq!(parts, [posted, out, available], "{balance}");
    }
}

pub(crate) fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

pub(crate) fn leg(debit: &str, credit: &str, amount: u64) -> Value {
    json!({ "debit": debit, "credit": credit, "amount": amount.to_string() })
}

/// A transfer of one leg under a new id.
pub(crate) fn transfer(debit: &str, credit: &str, amount: u64) -> Value {
    json!({ "id": uuid(), "legs": [leg(debit, credit, amount)] })
}

pub(crate) fn pending(debit: &str, credit: &str, amount: u64) -> Value {
    json!({ "id": uuid(), "kind": "pending", "legs": [leg(debit, credit, amount)] })
}

/// A transfer of this kind about an earlier one.
pub(crate) fn about(kind: &str, target: &Value) -> Value {
    json!({ "id": uuid(), "kind": kind, "target": target["id"] })
}
