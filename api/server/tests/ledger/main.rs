//! The ledger over HTTP, on SQLite and on PostgreSQL, against the real server without any chain.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout, reason = "tests")]

mod accounts;
mod docs;
mod keys;
mod outages;
mod queue;
#[path = "../support/mod.rs"]
mod support;
mod tenancy;
mod transfers;
mod webhooks;
mod world;

/// A test on each engine of a function `fn name(world: &World)`.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&crate::world::World::new(api_store::Engine::Sqlite));
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(&crate::world::World::new(api_store::Engine::Postgres));
            })*
        }
    };
}
pub(crate) use on_both_engines;
