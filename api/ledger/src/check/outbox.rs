//! The outbox: each commit is told once to each of its tenants, as so many events as it has transfers,
//! and the places of a tenant's events have no gaps.

use std::collections::HashMap;

use api_store::Tx;

use super::{PAGE, Stop, found};
use crate::repo;

/// A commit and a book.
type Part = (i64, i64);

/// Compares the outbox with the commits while these are read. Both come in nearly the same order, so
/// little has to be kept.
#[derive(Default)]
pub(super) struct Outbox {
    /// Transfers of the commit that is read, by book.
    counts: HashMap<i64, i64>,
    /// What the legs say and the outbox did not yet.
    untold: HashMap<Part, i64>,
    /// The reverse.
    told: HashMap<Part, i64>,
    /// The last row that was read.
    row: i64,
    /// The last commit of which it told.
    commit: i64,
    is_over: bool,
}

impl Outbox {
    /// The commit that is read has a transfer in this book.
    pub(super) fn transfer(&mut self, book: i64) {
        let count = self.counts.entry(book).or_default();
        *count = count.saturating_add(1);
    }

    /// All legs of `commit` were read.
    pub(super) async fn end_commit(&mut self, tx: &mut Tx, commit: i64) -> Result<(), Stop> {
        for (book, count) in std::mem::take(&mut self.counts) {
            match self.told.remove(&(commit, book)) {
                Some(told) => same_count((commit, book), count, told)?,
                None => drop(self.untold.insert((commit, book), count)),
            }
        }
        while !self.untold.is_empty() && self.commit <= commit && !self.is_over {
            self.page(tx).await?;
        }
        Ok(())
    }

    async fn page(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        let page = repo::outbox_rows(tx, self.row, PAGE).await?;
        self.is_over = page.is_empty();
        for (row, kind, commit, book, count) in page {
            self.row = row;
            match (kind.as_str(), commit, book) {
                (_, None, _) if count == 1 => {}
                ("ledger", Some(commit), Some(book)) => self.tell((commit, book), count)?,
                _ => {
                    return found(
                        format!("event row {row}"),
                        "its kind, commit and count do not fit",
                    );
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, part: Part, told: i64) -> Result<(), Stop> {
        self.commit = self.commit.max(part.0);
        match self.untold.remove(&part) {
            Some(count) => same_count(part, count, told),
            None if self.told.insert(part, told).is_none() => Ok(()),
            None => found(place(part), "it is told twice"),
        }
    }

    /// All legs were read.
    pub(super) async fn end(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        while !self.is_over {
            self.page(tx).await?;
        }
        if let Some(part) = self.untold.keys().min() {
            return found(place(*part), "it is not told");
        }
        match self.told.keys().min() {
            Some(part) => found(place(*part), "it is told again, or there is no such commit"),
            None => places(tx).await,
        }
    }
}

fn place((commit, book): Part) -> String {
    format!("events of commit {commit} in book {book}")
}

fn same_count(part: Part, count: i64, told: i64) -> Result<(), Stop> {
    if count == told {
        return Ok(());
    }
    found(place(part), format!("{told} are told of {count} transfers"))
}

/// Each tenant's events have all places from one to the end.
async fn places(tx: &mut Tx) -> Result<(), Stop> {
    let heads = repo::event_heads(tx).await?;
    let mut next: HashMap<&str, i64> =
        heads.iter().map(|(tenant, _)| (tenant.as_str(), 1)).collect();
    let mut after = (String::new(), 0);
    loop {
        let page = repo::places_page(tx, (&after.0, after.1), PAGE).await?;
        let Some((tenant, position, _)) = page.last() else { break };
        after = (tenant.clone(), *position);
        for (tenant, position, count) in &page {
            let Some(next) = next.get_mut(tenant.as_str()) else {
                return found(format!("events of {tenant}"), "it has no head");
            };
            if next != position {
                let what = format!("place {position} where {next} was expected");
                return found(format!("events of {tenant}"), what);
            }
            *next = next.saturating_add(*count);
        }
    }
    let wrong = |(tenant, head): &&(String, i64)| next.get(tenant.as_str()) != Some(head);
    match heads.iter().find(wrong) {
        Some((tenant, head)) => {
            found(format!("events of {tenant}"), format!("{head} is not the next place"))
        }
        None => Ok(()),
    }
}
