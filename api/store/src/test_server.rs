//! A PostgreSQL server of one test's own, which the test may kill and start again. Like the shared one
//! it ends with the process, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;

use crate::test_db::{as_ordinary_user, postgres_programs, setup_error};
use crate::{Db, StoreError};

/// Starts after a crash wait for the old processes to go.
const SCRIPT: &str = r#"
    trap '' INT TERM
    start() {
        for attempt in $(seq 100); do
            "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=50 \
                >>"$dir/log" 2>&1 </dev/null &
            pid=$!
            for try in $(seq 600); do
                "$bin/pg_isready" -q -h "$dir" && { echo "ready $pid"; return; }
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.05
            done
            sleep 0.1
        done
        tail -n 20 "$dir/log"
        echo failed
    }
    "$bin/initdb" -D "$dir/data" -U roadstead -A trust -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1 \
        || { cat "$dir/log"; echo failed; rm -rf "$dir"; exit 1; }
    start
    while read -r word; do
        case $word in
            kill) kill -KILL "$pid" && wait "$pid"; echo killed ;;
            start) start ;;
        esac
    done
    kill -INT "$pid" 2>/dev/null && wait "$pid"
    rm -rf "$dir"
"#;

/// A server with one migrated database.
#[derive(Debug)]
pub struct TestServer {
    /// The folder of its socket, its data (`data`) and what it said (`log`).
    pub folder: PathBuf,
    watchdog: Child,
    said: BufReader<ChildStdout>,
}

impl TestServer {
    /// Starts the server, with its data below `parent`.
    ///
    /// # Errors
    /// [`StoreError::TestDb`] when PostgreSQL's programs are not installed or do not start.
    pub async fn start(parent: &std::path::Path) -> Result<Self, StoreError> {
        let folder = TempDir::with_prefix_in("pg-", parent).map_err(setup_error)?.keep();
        let mut command = as_ordinary_user(&folder).map_err(setup_error)?;
        command.arg("sh").arg("-c").arg(SCRIPT);
        command.env("bin", postgres_programs().map_err(setup_error)?).env("dir", &folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watchdog = command.spawn().map_err(setup_error)?;
        let said = watchdog.stdout.take().ok_or_else(|| setup_error("no standard output"))?;
        let mut server = Self { folder, watchdog, said: BufReader::new(said) };
        server.wait_for("ready")?;
        let mut admin = server.options("postgres").connect().await?;
        admin.execute("CREATE DATABASE test").await?;
        server.db().await?.migrate().await?;
        Ok(server)
    }

    /// The URL of the database, over the server's socket.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://roadstead@localhost/test?host={folder}")
    }

    /// A new pool of connections.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn db(&self) -> Result<Db, StoreError> {
        Db::connect_postgres(self.options("test")).await
    }

    /// Kills the postmaster: nothing is written or told any more, by any of its processes.
    ///
    /// # Errors
    /// [`StoreError::TestDb`].
    pub fn kill(&mut self) -> Result<(), StoreError> {
        self.say("kill")?;
        self.wait_for("killed")
    }

    /// Starts it again after [`TestServer::kill`], and waits until it has recovered.
    ///
    /// # Errors
    /// [`StoreError::TestDb`].
    pub fn restart(&mut self) -> Result<(), StoreError> {
        // Backends of the killed server notice it within moments.
        std::thread::sleep(Duration::from_millis(100));
        self.say("start")?;
        self.wait_for("ready")
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.folder)
            .username("roadstead")
            .database(database)
    }

    fn say(&mut self, word: &str) -> Result<(), StoreError> {
        let stdin = self.watchdog.stdin.as_mut().ok_or_else(|| setup_error("no standard input"))?;
        writeln!(stdin, "{word}").map_err(setup_error)
    }

    fn wait_for(&mut self, word: &str) -> Result<(), StoreError> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).map_err(setup_error)?;
            if line.starts_with(word) {
                return Ok(());
            }
            all += &line;
            if read == 0 || line.starts_with("failed") {
                return Err(setup_error(format!("PostgreSQL: {all}")));
            }
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // It stops the server and removes the folder.
        let _ = self.watchdog.wait();
    }
}
