//! Deciding while what was decided before is written.

use super::{Applied, Book, Row};
use crate::Refusal;
use crate::transfer::Transfer;

/// Groups of transfers that are decided one after the other, not before their rows are asked for.
#[derive(Debug)]
pub(crate) struct Decisions<'a> {
    book: Book,
    groups: std::slice::Iter<'a, &'a [Transfer]>,
    applied: Vec<Result<Applied, Refusal>>,
}

impl<'a> Decisions<'a> {
    pub(crate) fn new(mut book: Book, groups: &'a [&'a [Transfer]]) -> Self {
        let transfers = groups.iter().map(|group| group.len()).sum();
        book.known.reserve(transfers);
        book.rows.reserve(transfers);
        Self { book, groups: groups.iter(), applied: Vec::with_capacity(transfers) }
    }

    /// The rows to write: `count` or more, or all, once everything is decided.
    pub(crate) fn rows(&mut self, count: usize) -> &[Row] {
        while self.book.rows.len() < count {
            let Some(group) = self.groups.next() else { break };
            self.applied.extend(self.book.apply_group(group));
        }
        &self.book.rows
    }

    /// Decides everything.
    pub(crate) fn all(&mut self) -> &Book {
        self.rows(usize::MAX);
        &self.book
    }

    /// What was decided so far for each transfer, and the book after it.
    pub(crate) fn into_parts(self) -> (Book, Vec<Result<Applied, Refusal>>) {
        (self.book, self.applied)
    }

    /// The time of this posting, in microseconds.
    pub(crate) const fn now(&self) -> i64 {
        self.book.now
    }
}
