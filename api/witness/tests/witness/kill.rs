//! The real program, killed again and again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::log::{HONEST, Log};

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead-witness"));
    command.arg("--folder").arg(folder);
    command
}

/// Starts it; answers the address that it says it listens on.
fn start(folder: &Path) -> (Child, String) {
    let mut child = command(folder)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit("http://").next().unwrap().to_owned();
    (child, address)
}

/// The status and the body, or nothing if the witness died meanwhile.
fn post(address: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Its size, by asking it for an older one.
fn size(address: &str) -> u64 {
    let (status, body) = post(address, &HONEST.body(0, 1)).unwrap();
    if status == 200 { 1 } else { body.trim().parse().unwrap() }
}

#[test]
fn promise_39_a_killed_witness_never_takes_back_what_it_cosigned() {
    let folder = tempfile::TempDir::new().unwrap();
    assert!(
        command(folder.path()).args(["init", "witness.example/w1"]).status().unwrap().success()
    );
    let added = command(folder.path()).args(["add-log", &HONEST.verifier_key()]).status().unwrap();
    assert!(added.success());
    let mut cosigned = 0;
    for round in 0..12_u64 {
        let (mut child, address) = start(folder.path());
        let remembered = size(&address);
        // It may know one more, whose answer the kill swallowed; never less.
        assert!(remembered >= cosigned, "round {round}: {remembered} after {cosigned}");
        let fork = Log { fork: 0, ..HONEST };
        let (status, _) = post(&address, &fork.body(remembered, remembered)).unwrap();
        assert_eq!(status, 409, "a fork at {remembered} in round {round}");
        cosigned = remembered;
        let end = Instant::now() + Duration::from_millis(40 + 13 * round);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        while let Some((status, _)) = post(&address, &HONEST.body(cosigned, cosigned + 1)) {
            assert_eq!(status, 200);
            cosigned += 1;
        }
        killer.join().unwrap();
    }
    assert!(cosigned > 24, "{cosigned}");
    let status = command(folder.path()).arg("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("log.example/test "), "{status}");
}
