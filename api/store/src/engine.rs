use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Which database engine is behind a [`Db`](crate::Db). Written as `sqlite` or `postgres`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite, in a file.
    Sqlite,
    /// PostgreSQL, over a socket.
    Postgres,
}

/// Neither `sqlite` nor `postgres`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an engine: use sqlite or postgres")]
pub struct UnknownEngine(String);

impl Display for Engine {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        [Self::Sqlite, Self::Postgres]
            .into_iter()
            .find(|engine| engine.to_string() == text)
            .ok_or_else(|| UnknownEngine(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            assert_eq!(engine.to_string().parse(), Ok(engine));
        }
        let unknown = "mysql".parse::<Engine>().map_err(|error| error.to_string());
        assert_eq!(unknown, Err("\"mysql\" is not an engine: use sqlite or postgres".to_owned()));
    }
}
