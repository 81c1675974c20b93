use std::collections::BTreeSet;
use std::fmt;

use api_ledger::Event;

/// The most types in one choice.
pub const TYPES_MAX: usize = 32;
const CHARS_MAX: usize = 64;
/// Stands at the end of a choice for everything below it.
const ALL_BELOW: &str = ".*";

/// A choice of event types: all of them, or those named, such as `ledger.transfer`, or `ledger.*` for
/// every type that begins with `ledger.`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EventTypes(BTreeSet<String>);

/// Why a choice of event types cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypesError {
    /// Standard Webhooks: full-stop delimited groups of letters, digits and `_`.
    #[error("`{0}` is no type of event; it looks like `ledger.transfer` or `ledger.*`")]
    Syntax(String),
    /// More than [`TYPES_MAX`].
    #[error("at most {TYPES_MAX} types of events can be chosen")]
    TooMany,
}

impl EventTypes {
    /// These types; all when there are none.
    ///
    /// # Errors
    /// [`TypesError`].
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, TypesError> {
        let mut chosen = BTreeSet::new();
        for name in names {
            if !is_type(name.strip_suffix(ALL_BELOW).unwrap_or(name)) {
                return Err(TypesError::Syntax(name.chars().take(CHARS_MAX).collect()));
            }
            chosen.insert(name.to_owned());
            if chosen.len() > TYPES_MAX {
                return Err(TypesError::TooMany);
            }
        }
        Ok(Self(chosen))
    }

    /// True when nothing is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The names as they were given, in alphabetical order; none for all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// True when this event is among them.
    #[must_use]
    pub fn contains(&self, event: &Event) -> bool {
        self.contains_type(&event.kind)
    }

    /// True when events of this type are among them.
    #[must_use]
    pub fn contains_type(&self, kind: &str) -> bool {
        self.is_all() || self.0.iter().any(|name| covers(name, kind))
    }
}

/// As [`EventTypes::parse`] reads them, separated by commas.
impl fmt::Display for EventTypes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

fn covers(name: &str, kind: &str) -> bool {
    match name.strip_suffix(ALL_BELOW) {
        Some(group) => kind.strip_prefix(group).is_some_and(|rest| rest.starts_with('.')),
        None => name == kind,
    }
}

fn is_type(name: &str) -> bool {
    let is_group = |group: &str| {
        !group.is_empty() && group.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
    };
    name.len() <= CHARS_MAX && name.split('.').all(is_group)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_choice_has_what_it_names_and_what_is_below_it() {
        let some = EventTypes::parse(["ledger.pending", "loan.*"]).unwrap();
        for (kind, wanted) in [
            ("ledger.pending", true),
            ("ledger.post_pending", false),
            ("ledger.pending.late", false),
            ("loan.repaid", true),
            ("loan.day.closed", true),
            ("loan", false),
            ("loans.repaid", false),
        ] {
            assert_eq!(some.contains_type(kind), wanted, "{kind}");
        }
        let all = EventTypes::parse([]).unwrap();
        assert!(all.is_all() && all.contains_type("anything.at_all"));
    }

    #[test]
    fn a_choice_is_read_back_as_it_was_written() {
        let some = EventTypes::parse(["b.*", "a", "b.*"]).unwrap();
        assert_eq!(some.to_string(), "a,b.*");
        assert_eq!(EventTypes::parse(some.to_string().split(',')).unwrap(), some);
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let long = "a".repeat(65);
        for name in ["", ".", "a.", ".a", "a..b", "*", "a*", "a.*.b", "a b", "a,b", "ä", &long] {
            assert!(matches!(EventTypes::parse([name]), Err(TypesError::Syntax(_))), "{name}");
        }
        let many: Vec<String> = (0..=TYPES_MAX).map(|number| format!("t{number}")).collect();
        assert_eq!(EventTypes::parse(many.iter().map(String::as_str)), Err(TypesError::TooMany));
    }
}
