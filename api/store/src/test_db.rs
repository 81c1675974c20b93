//! Databases for tests: a SQLite file in a temporary folder, or a database of its own on a
//! PostgreSQL server that this process starts once and that ends with it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Db, Engine, StoreError};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A migrated database for one test.
#[derive(Debug)]
pub struct TestDb {
    /// The handle.
    pub db: Db,
    /// A URL that [`Db::connect`] takes, for another process.
    pub url: String,
    _folder: Option<TempDir>,
}

impl TestDb {
    /// A new database of `engine`, with the schema in place.
    ///
    /// # Errors
    /// [`StoreError::TestDb`] when PostgreSQL's programs are not installed or do not start.
    pub async fn new(engine: Engine) -> Result<Self, StoreError> {
        let test_db = match engine {
            Engine::Sqlite => Self::sqlite().await?,
            Engine::Postgres => Self::postgres().await?,
        };
        test_db.db.migrate().await?;
        Ok(test_db)
    }

    async fn sqlite() -> Result<Self, StoreError> {
        let folder = TempDir::new().map_err(setup_error)?;
        let test_db = Self::open_in(folder.path()).await?;
        Ok(Self { _folder: Some(folder), ..test_db })
    }

    /// A new SQLite database in this folder, which the caller keeps.
    ///
    /// # Errors
    /// [`StoreError`] of the database.
    pub async fn sqlite_in(folder: &Path) -> Result<Self, StoreError> {
        let test_db = Self::open_in(folder).await?;
        test_db.db.migrate().await?;
        Ok(test_db)
    }

    async fn open_in(folder: &Path) -> Result<Self, StoreError> {
        let file = folder.join("test.db");
        let url = format!("sqlite:{}", file.display());
        Ok(Self { db: Db::open_sqlite(&file).await?, url, _folder: None })
    }

    async fn postgres() -> Result<Self, StoreError> {
        // Starting a server blocks for a second: not on the test's own threads.
        let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start));
        let server = server.await.map_err(setup_error)?.as_ref();
        let server = server.map_err(|reason| StoreError::TestDb(reason.clone()))?;
        let name = format!("t{}", Uuid::new_v4().simple());
        let mut admin = server.options("postgres").connect().await?;
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        admin.close().await?;
        let url = format!(
            "postgres://roadstead@localhost/{name}?host={}",
            server.sockets.display().to_string().replace('/', "%2F"),
        );
        Ok(Self { db: Db::connect_postgres(server.options(&name)).await?, url, _folder: None })
    }
}

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// A PostgreSQL server under a shell that waits on a pipe from this process: when the process ends,
/// however it ends, the pipe closes, and the shell stops the server and removes its folder.
struct Server {
    sockets: PathBuf,
    _watchdog: Child,
}

const WATCHDOG: &str = r#"
    cleanup() { [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null && wait "$pid"; rm -rf "$dir"; }
    trap '' INT TERM
    "$bin/initdb" -D "$dir/data" -U roadstead -A trust -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1 \
        || { cat "$dir/log"; echo failed; rm -rf "$dir"; exit 1; }
    "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=200 \
        -c wal_level=replica $ROADSTEAD_TEST_POSTGRES_OPTIONS >>"$dir/log" 2>&1 </dev/null &
    pid=$!
    tries=0
    until "$bin/pg_isready" -q -h "$dir"; do
        tries=$((tries + 1))
        kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 600 ] || { cat "$dir/log"; echo failed; rm -rf "$dir"; exit 1; }
        sleep 0.05
    done
    echo ready
    read -r _
    cleanup
"#;

impl Server {
    fn start() -> Result<Self, String> {
        let bin = postgres_programs()?;
        let folder =
            TempDir::with_prefix("roadstead-pg-").map_err(|error| error.to_string())?.keep();
        let mut command = as_ordinary_user(&folder)?;
        command.arg("sh").arg("-c").arg(WATCHDOG);
        command.env("bin", bin).env("dir", &folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watchdog =
            command.spawn().map_err(|error| format!("cannot start a shell: {error}"))?;
        wait_until_ready(&mut watchdog)?;
        Ok(Self { sockets: folder, _watchdog: watchdog })
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.sockets)
            .username("roadstead")
            .database(database)
    }
}

fn wait_until_ready(watchdog: &mut Child) -> Result<(), String> {
    let mut said = String::new();
    let mut stdout = watchdog.stdout.take().ok_or("no standard output")?;
    let deadline = Instant::now() + START_TIMEOUT;
    let mut byte = [0];
    while !said.ends_with("ready\n") {
        let read = stdout.read(&mut byte).map_err(|error| error.to_string())?;
        if read == 0 || Instant::now() > deadline {
            return Err(format!("PostgreSQL did not start: {said}"));
        }
        said.push(char::from(byte[0]));
    }
    Ok(())
}

/// `initdb` refuses root: as root, run it as the user `postgres`, who then owns `folder`.
pub(crate) fn as_ordinary_user(folder: &Path) -> Result<Command, String> {
    let whoami = Command::new("id").arg("-u").output().map_err(|error| error.to_string())?;
    if String::from_utf8_lossy(&whoami.stdout).trim() != "0" {
        return Ok(Command::new("env"));
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find(|user| {
            Command::new("chown")
                .arg(user)
                .arg(folder)
                .output()
                .is_ok_and(|done| done.status.success())
        })
        .ok_or("there is neither a user postgres nor a user nobody to run PostgreSQL as")?;
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg("--clear-groups").arg("--");
    Ok(command)
}

pub(crate) fn postgres_programs() -> Result<PathBuf, String> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders
        .into_iter()
        .find(|folder| {
            ["initdb", "postgres", "pg_isready"].iter().all(|name| folder.join(name).exists())
        })
        .ok_or_else(|| "PostgreSQL is not installed: install the package postgresql".to_owned())
}

pub(crate) fn setup_error(error: impl std::fmt::Display) -> StoreError {
    StoreError::TestDb(error.to_string())
}
