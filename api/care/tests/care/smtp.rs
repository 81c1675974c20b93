//! A real SMTP server: aiosmtpd from PyPI, pinned, put into the cache at first use.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api_care::{Port, Smtp, SmtpConfig, SmtpTls};
use serde_json::Value;
use tempfile::TempDir;

const PACKAGES: [&str; 3] = ["aiosmtpd==1.4.6", "atpublic==6.0.1", "attrs==25.3.0"];
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/care");
const LIMIT: Duration = Duration::from_secs(30);

/// The folder with the packages; several processes may ask for it at once.
fn packages() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap();
    let cache = Path::new(&home).join(".cache/roadstead");
    let folder = cache.join("aiosmtpd-1.4.6");
    if folder.exists() {
        return folder;
    }
    std::fs::create_dir_all(&cache).unwrap();
    let fresh = TempDir::new_in(&cache).unwrap();
    let pip =
        ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--target"];
    let done = Command::new("python3").args(pip).arg(fresh.path()).args(PACKAGES).output().unwrap();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "pip could not install {PACKAGES:?}: {words}");
    // Another process may have been faster.
    let _ = std::fs::rename(fresh.keep(), &folder);
    folder
}

/// The server's process; it ends with the test.
pub(crate) struct MailServer {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    tls: bool,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl MailServer {
    pub(crate) fn start() -> Self {
        Self::launch(false)
    }

    /// One that wants STARTTLS, with a certificate of its own.
    pub(crate) fn start_tls() -> Self {
        Self::launch(true)
    }

    fn launch(tls: bool) -> Self {
        let mut server = Self { folder: TempDir::new().unwrap(), child: None, port: 0, tls };
        server.mode("ok");
        if tls {
            server.certify();
        }
        server.up();
        server
    }

    fn certify(&self) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(self.file("key.pem"))
            .arg("-out")
            .arg(self.file("cert.pem"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How it behaves from now on; see `smtpd.py`.
    pub(crate) fn mode(&self, mode: &str) {
        std::fs::write(self.file("mode"), mode).unwrap();
    }

    /// Starts it, again on the port that it had.
    pub(crate) fn up(&mut self) {
        let mut command = Command::new("python3");
        command.arg(format!("{SCRIPTS}/smtpd.py")).arg(self.folder.path());
        if self.tls {
            command.arg(self.file("cert.pem")).arg(self.file("key.pem"));
        }
        command.env("PYTHONPATH", packages()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.port = line.trim().parse().unwrap();
        self.child = Some(child);
        std::fs::write(self.file("port"), self.port.to_string()).unwrap();
    }

    /// Stops it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A port to it.
    pub(crate) fn port(&self, tls: SmtpTls) -> Arc<dyn Port> {
        let ca = std::fs::read(self.file("cert.pem")).ok();
        let config = SmtpConfig {
            host: "localhost".to_owned(),
            port: self.port,
            tls,
            ca_pem: ca,
            credentials: None,
            from: "First Harbour Bank <loans@bank.example>".to_owned(),
        };
        Arc::new(Smtp::new(config).unwrap())
    }

    /// The mails so far, in the order of arrival, as another implementation reads them.
    pub(crate) fn mails(&self) -> Vec<Value> {
        let numbers = (1..).map(|number| self.file(&format!("{number}.eml")));
        numbers.take_while(|file| file.exists()).map(|file| read(&file)).collect()
    }

    /// How many connections were made, and how many were ended by `QUIT`.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let lines = |name| std::fs::read_to_string(self.file(name)).unwrap_or_default();
        (lines("connections").lines().count(), lines("quits").lines().count())
    }

    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Value> {
        let limit = Instant::now() + LIMIT;
        loop {
            let mails = self.mails();
            if mails.len() >= count {
                return mails;
            }
            assert!(Instant::now() < limit, "{} of {count} mails", mails.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn read(file: &Path) -> Value {
    let script = format!("{SCRIPTS}/readmail.py");
    let output = Command::new("python3").arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
