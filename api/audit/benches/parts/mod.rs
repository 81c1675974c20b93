//! Parts of the benchmark: the floor of bare inserts, and a log of very many leaves.

pub(crate) mod floor;
pub(crate) mod large;

use std::time::{Duration, Instant};

/// Moves what was committed from SQLite's log into its file.
pub(crate) struct Checkpoints(Option<sqlx::SqliteConnection>);

impl Checkpoints {
    pub(crate) async fn new(url: &str) -> Self {
        use sqlx::ConnectOptions as _;
        let Some(file) = url.strip_prefix("sqlite:") else { return Self(None) };
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let options = options.synchronous(sqlx::sqlite::SqliteSynchronous::Full);
        Self(Some(options.connect().await.unwrap()))
    }

    /// Returns how long it took.
    pub(crate) async fn run(&mut self) -> Duration {
        use sqlx::Executor as _;
        let start = Instant::now();
        if let Some(connection) = &mut self.0 {
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
        }
        start.elapsed()
    }
}

/// The time that all threads of this process have had a processor.
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
