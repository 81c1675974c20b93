//! The command, as a user types it, on real nodes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use testnets::{Port, PortPair, provision};

const EVM: &str = "0x000000000000000000000000000000000000bEEF";
const BITCOIN: &str = "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk";
const SOLANA: &str = "7EqQdEULxWcraVx3mXKFjc84LhCkMGZCkRuDpvcMwJeK";

/// A user with a cache folder of their own, so that tests do not meet, and the usual node programs.
struct User {
    home: TempDir,
    path: String,
}

impl User {
    fn new() -> Self {
        let user = Self::without_anvil();
        symlink(provision::anvil().unwrap(), user.home.path().join("bin/anvil")).unwrap();
        user
    }

    fn without_anvil() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink(provision::bitcoind().unwrap(), bin.join("bitcoind")).unwrap();
        // Ours does not go by PATH: it is found in the cache.
        let solana = provision::solana().unwrap();
        let cached = solana.path().parent().unwrap();
        symlink(cached, home.path().join(cached.file_name().unwrap())).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { home, path }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead-testnets"));
        command
            .args(arguments)
            .env("ROADSTEAD_CACHE", self.home.path())
            .env("PATH", &self.path)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn complains(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Free ports, as arguments of `up`.
    fn ports() -> Vec<String> {
        let (evm, bitcoin) = (Port::free().unwrap(), Port::free().unwrap());
        let solana = PortPair::free().unwrap();
        let pairs = [("evm", evm), ("bitcoin", bitcoin), ("solana", solana.rpc)];
        let arguments = pairs
            .iter()
            .flat_map(|(name, port)| [format!("--{name}-port"), port.number().to_string()]);
        arguments.collect()
    }
}

/// Also a failed test leaves nothing running.
impl Drop for User {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

fn up(user: &User) -> Value {
    let ports = User::ports();
    let arguments: Vec<&str> = ["up"].into_iter().chain(ports.iter().map(String::as_str)).collect();
    user.json(&arguments)
}

fn port_of(state: &Value, network: &str) -> u16 {
    let url = state[network]["rpc_url"].as_str().unwrap();
    url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap()
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(15);
    while !condition() {
        assert!(Instant::now() < limit, "{what}: not so after 15 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_day_with_the_networks() {
    let user = User::new();
    assert_eq!(user.json(&["status"])["running"], false);
    let state = up(&user);
    assert_eq!(state["evm"]["chain"], "eip155:31337");
    // Again does no harm, and the table names every network.
    let table = user.says(&["up"]);
    for word in ["evm", "bitcoin", "solana", "bip122:0f9188f13cb7b2c7", "test test"] {
        assert!(table.contains(word), "{table}");
    }
    assert_eq!(user.json(&["status"])["bitcoin"]["chain"], state["bitcoin"]["chain"]);

    let sent = user.json(&["faucet", EVM, "1.5"]);
    assert_eq!(sent["amount"], "1500000000000000000");
    assert_eq!(user.json(&["faucet", EVM, "2", "--asset", "RTT"])["amount"], "2000000");
    assert_eq!(user.json(&["faucet", BITCOIN, "0.5"])["network"], "bitcoin");
    assert!(user.says(&["faucet", SOLANA, "2"]).contains("2 SOL"));
    assert_eq!(user.json(&["faucet", SOLANA, "7.5", "--asset", "RTT"])["amount"], "7500000");
    let height = user.json(&["mine", "bitcoin", "3"])["height"].as_u64().unwrap();
    assert!(user.json(&["reorg", "btc", "2"])["height"].as_u64().unwrap() > height);
    user.says(&["mine", "evm", "3"]);
    assert_eq!(user.json(&["reorg", "evm", "2"])["dropped"], false);
    user.says(&["reorg", "evm", "2", "--drop"]);
    user.says(&["mine", "solana", "3"]);

    assert!(user.complains(&["reorg", "solana", "1"]).contains("cannot be reorganised"));
    assert!(user.complains(&["faucet", "nonsense", "1"]).contains("not an address"));
    assert!(user.complains(&["faucet", BITCOIN, "0.123456789"]).contains("8 decimal places"));
    assert!(user.complains(&["faucet", BITCOIN, "1", "--asset", "RTT"]).contains("has no"));

    assert_eq!(user.json(&["down"])["was_running"], true);
    for network in ["evm", "bitcoin", "solana"] {
        assert!(!is_open(port_of(&state, network)), "{network}");
    }
    assert!(user.complains(&["mine", "evm", "1"]).contains("cargo testnets up"));
    assert_eq!(user.json(&["down"])["was_running"], false);
}

#[test]
fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let user = User::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for flag in ["--evm-port", "--bitcoin-port", "--solana-port"] {
        let mut arguments = vec!["up".to_owned()];
        arguments.extend(User::ports().chunks(2).filter(|pair| pair[0] != flag).flatten().cloned());
        arguments.extend([flag.to_owned(), port.clone()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let complaint = user.complains(&arguments);
        assert!(complaint.contains(&port) && complaint.contains(flag), "{complaint}");
    }
    assert_eq!(user.json(&["status"])["running"], false);
}

#[test]
fn killing_the_background_process_leaves_nothing() {
    let user = User::new();
    let state = up(&user);
    let ports = ["evm", "bitcoin", "solana"].map(|network| port_of(&state, network));
    assert!(ports.iter().all(|port| is_open(*port)));
    let pid = state["pid"].to_string();
    let folders = || {
        let environments = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = environments
            .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
        lines
            .filter(|line| {
                line.contains("roadstead-bitcoind-")
                    && line.contains(&format!("rpcport={}", ports[1]))
            })
            .collect::<Vec<_>>()
    };
    let command = folders().pop().unwrap();
    let folder = command.split('\0').find_map(|part| part.strip_prefix("-datadir=")).unwrap();
    assert!(Path::new(folder).exists());
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    wait_until("nodes gone", || !ports.iter().any(|port| is_open(*port)));
    wait_until("folder gone", || !Path::new(folder).exists());
    wait_until("processes gone", || folders().is_empty());
    assert_eq!(user.json(&["status"])["running"], false);
    // What it left behind does not stand in the way.
    assert_eq!(up(&user)["running"], true);
}

#[test]
fn a_node_that_is_missing_is_installed_once() {
    let user = User::without_anvil();
    let output = user.command(&["install", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let anvil = said["anvil"].as_str().unwrap();
    let version = Command::new(anvil).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("anvil"), "{anvil}");
    assert!(said["bitcoind"].as_str().unwrap().ends_with("bin/bitcoind"));
    assert_eq!(user.json(&["install"]), said);
    if anvil.starts_with(user.home.path().to_str().unwrap()) {
        assert!(String::from_utf8(output.stderr).unwrap().contains("making it once"));
        assert!(!user.home.path().join("build/anvil-1.7.1").exists());
    }
}

#[test]
fn without_the_tools_it_says_what_to_install() {
    let user = User::without_anvil();
    let mut command = user.command(&["install"]);
    command.env("PATH", user.home.path().join("bin"));
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("apt-get install npm"), "{complaint}");
}
