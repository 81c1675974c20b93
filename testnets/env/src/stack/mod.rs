//! The whole system on local networks: signer and server as processes of their own, as an operator
//! would run them, and a client for the HTTP API.

mod api;
mod config;
mod outside;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::{Error, Result, at};
use crate::{Binaries, Port, TestEnv, TestToken, Watched, binaries};

pub use api::{Api, ApiError};
pub use outside::Outside;

/// The signer's mnemonic in local stacks: a published vector of BIP-39. Not the developers' one,
/// whose EVM accounts anvil fills at genesis. Never put money behind it.
pub const STACK_MNEMONIC: &str =
    "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// The log's name in local stacks.
pub const ORIGIN: &str = "roadstead.local/log";

const READY_LIMIT: Duration = Duration::from_secs(60);

/// How a stack is run.
#[derive(Clone, Debug, Default)]
pub struct StackOptions {
    /// The database; a SQLite file in the stack's folder when absent.
    pub database_url: Option<String>,
    /// The server's port; a free one when absent.
    pub port: Option<u16>,
}

/// Signer and server on the networks of a [`TestEnv`].
#[derive(Debug)]
pub struct Stack {
    programs: &'static Binaries,
    folder: TempDir,
    port: Port,
    signer: Option<Watched>,
    server: Option<Watched>,
    /// The operator's key.
    pub operator_key: String,
    /// The test tokens that are registered: on EVM, on Solana.
    pub tokens: Vec<TestToken>,
}

impl Stack {
    /// Writes the configuration, makes the signer's keystore, starts both, and waits until the
    /// server is ready.
    ///
    /// # Errors
    /// [`Error`] with the end of the log of what did not start.
    pub async fn start(env: &TestEnv, options: &StackOptions) -> Result<Self> {
        let programs = binaries().await?;
        let folder = tempfile::Builder::new()
            .prefix("roadstead-stack-")
            .tempdir()
            .map_err(at("a temporary folder"))?;
        let port = match options.port {
            Some(number) => Port::fixed(number, "the server", "--port")?,
            None => Port::free()?,
        };
        let operator_key = format!("operator-{}", hex::encode(rand::random::<[u8; 16]>()));
        let mut tokens = Vec::new();
        if let Ok(evm) = env.evm() {
            tokens.push(evm.deploy_token().await?);
        }
        if let Ok(solana) = env.solana() {
            tokens.push(solana.deploy_token().await?);
        }
        let mut stack =
            Self { programs, folder, port, signer: None, server: None, operator_key, tokens };
        stack.write_files(env, options)?;
        stack.init_signer()?;
        stack.start_signer().await?;
        stack.start_server(&[]).await?;
        Ok(stack)
    }

    /// The stack's folder: database, statements, configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// A client with the operator's key.
    ///
    /// # Errors
    /// [`Error::Transport`] when no HTTP client can be made.
    pub fn operator(&self) -> Result<Api> {
        Api::new(&self.url(), &self.operator_key)
    }

    /// A client with a tenant's key.
    ///
    /// # Errors
    /// [`Error::Transport`] when no HTTP client can be made.
    pub fn tenant(&self, api_key: &str) -> Result<Api> {
        Api::new(&self.url(), api_key)
    }

    /// Where the bank's statements arrive.
    #[must_use]
    pub fn statements(&self) -> PathBuf {
        self.folder().join("statements")
    }

    /// What the server has written so far.
    #[must_use]
    pub fn server_log(&self) -> String {
        self.server.as_ref().map(Watched::log).unwrap_or_default()
    }

    /// What the signer has written so far.
    #[must_use]
    pub fn signer_log(&self) -> String {
        self.signer.as_ref().map(Watched::log).unwrap_or_default()
    }

    /// Kills the server at once, as `kill -9` does.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Kills the signer at once, as `kill -9` does.
    pub fn kill_signer(&mut self) {
        self.signer = None;
    }

    /// Starts the server, with more environment variables, and waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Stopped`] with the end of its log; [`Error::Timeout`] when it does not get ready.
    pub async fn start_server(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let config = self.folder().join("roadstead.toml").display().to_string();
        let program = self.programs.roadstead.display().to_string();
        let variables: Vec<String> =
            environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let server = Watched::start("server", Path::new("/usr/bin/env"), |_| {
            variables
                .into_iter()
                .chain([program, "serve".into(), "--config".into(), config])
                .collect()
        })?;
        self.server = Some(server);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let api = self.operator()?;
        let limit = Instant::now() + READY_LIMIT;
        loop {
            if let Some(server) = &mut self.server {
                server.check()?;
            }
            match api.get("/health/ready").await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > limit => {
                    return Err(Error::Refused(format!(
                        "the server is not ready: {error}\n{}",
                        self.server_log()
                    )));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Starts the signer and waits for its socket.
    ///
    /// # Errors
    /// [`Error::Stopped`] with the end of its log.
    pub async fn start_signer(&mut self) -> Result<()> {
        let arguments = self.signer_arguments("serve");
        let mut signer = Watched::start("signer", &self.programs.signer, |_| arguments)?;
        let limit = Instant::now() + READY_LIMIT;
        while !signer.log().contains("ready ") {
            signer.check()?;
            if Instant::now() > limit {
                return Err(Error::Refused(format!("the signer is not ready: {}", signer.log())));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.signer = Some(signer);
        Ok(())
    }

    fn signer_arguments(&self, command: &str) -> Vec<String> {
        let file = |name: &str| self.folder().join(name).display().to_string();
        vec![
            "--config".into(),
            file("signer.toml"),
            command.into(),
            "--passphrase-file".into(),
            file("passphrase"),
        ]
    }

    /// Runs a command of the server's program on the stack's configuration.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn roadstead(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let config = self.folder().join("roadstead.toml");
        Command::new(&self.programs.roadstead)
            .args(arguments)
            .arg("--config")
            .arg(config)
            .output()
            .map_err(at("roadstead"))
    }

    /// The log's public key, as a C2SP verifier key, from the signer's own command.
    ///
    /// # Errors
    /// [`Error::Refused`] with the signer's words.
    pub fn log_key(&self) -> Result<String> {
        self.log_key_of(ORIGIN)
    }

    /// The public key of the log of this name: the newest, where there are several.
    ///
    /// # Errors
    /// [`Error::Refused`] with the signer's words.
    pub fn log_key_of(&self, origin: &str) -> Result<String> {
        let keys = self.log_keys_of(origin)?;
        keys.last().cloned().ok_or_else(|| Error::Refused(format!("no key of {origin}")))
    }

    /// The public keys of the log of this name, the oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with the signer's words.
    pub fn log_keys_of(&self, origin: &str) -> Result<Vec<String>> {
        let mut arguments = self.signer_arguments("log-key");
        arguments.extend(["--origin".into(), origin.into()]);
        let output = Command::new(&self.programs.signer)
            .args(arguments)
            .output()
            .map_err(at("roadstead-signer"))?;
        if !output.status.success() {
            return Err(Error::Refused(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_key = |line: &&str| line.starts_with(&format!("{origin}+"));
        Ok(words.lines().filter(is_key).map(str::to_owned).collect())
    }

    /// Runs the offline verifier with `--json`: its exit status and its answer.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn verify(&self, receipt: &Path, log_key: &str) -> Result<(bool, String)> {
        let output = Command::new(&self.programs.verify)
            .arg(receipt)
            .args(["--key", log_key, "--json"])
            .output()
            .map_err(at("roadstead-verify"))?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    fn write_files(&self, env: &TestEnv, options: &StackOptions) -> Result<()> {
        let write = |name: &str, text: &str, mode: u32| -> Result<()> {
            let file = self.folder().join(name);
            std::fs::write(&file, text).map_err(at(&file))?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))
                .map_err(at(&file))
        };
        std::fs::create_dir_all(self.statements()).map_err(at(self.statements()))?;
        write("operator.key", &self.operator_key, 0o600)?;
        write("passphrase", &hex::encode(rand::random::<[u8; 16]>()), 0o600)?;
        write("webhook.key", &hex::encode(rand::random::<[u8; 32]>()), 0o600)?;
        write("bitcoin.password", "roadstead", 0o600)?;
        write("signer.toml", config::SIGNER, 0o600)?;
        write("policy.toml", &config::policy(env, &self.tokens), 0o600)?;
        let server = config::server(self.folder(), self.port.number(), env, &self.tokens, options);
        write("roadstead.toml", &server, 0o600)
    }

    fn init_signer(&self) -> Result<()> {
        let mut arguments = self.signer_arguments("init");
        arguments.push("--import".into());
        let mut child = Command::new(&self.programs.signer)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at("roadstead-signer"))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{STACK_MNEMONIC}").map_err(at("roadstead-signer"))?;
        }
        let output = child.wait_with_output().map_err(at("roadstead-signer"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "roadstead-signer init: {}",
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}
