//! Promise 15 over crashes: whatever the moment, a signature that left is remembered.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use signer_client::SignerClient;
use signer_daemon::Engine;
use signer_daemon::journal::{Contents, JournalError};
use signer_protocol::{RefusalCode, SignRequest, Signed, Signer, SignerError};

use crate::common::*;

const BINARY: &str = env!("CARGO_BIN_EXE_roadstead-signer");

/// A running `roadstead-signer`, killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the signer, under strace with this injection if there is one, and waits until it is ready
/// or gone.
pub(crate) fn serve(place: &Place, inject: Option<&str>) -> Running {
    let config = place.path("signer.toml").display().to_string();
    let passphrase = place.path("passphrase").display().to_string();
    let mut command = match inject {
        Some(inject) => {
            let mut strace = Command::new("strace");
            let trace = inject.split(':').next().unwrap().replace("inject=", "trace=");
            // With -D the signer itself is our child, and dies when we kill it.
            strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", inject, BINARY]);
            strace
        }
        None => Command::new(BINARY),
    };
    command.args(["--config", &config, "serve", "--passphrase-file", &passphrase]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Running(child)
}

fn ask(place: &Place, request: &SignRequest) -> Result<Signed, SignerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = SignerClient::new(&place.config.socket, None);
    runtime.block_on(client.sign(request))
}

#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn strace_works() -> bool {
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = traced.is_ok_and(|status| status.success());
    assert!(works || std::env::var_os("CI").is_none(), "CI has strace");
    if !works {
        eprintln!("not run: no strace");
    }
    works
}

/// Kills the signer at its N-th call for every N, and checks what a restart remembers.
fn kill_at_each(syscall: &str) {
    if !strace_works() {
        return;
    }
    let (mut killed, mut released) = (0, 0);
    for number in 1..20 {
        let place = Place::new();
        let mut engine = place.engine();
        let request = evm_withdrawal(&mut engine, 1, 0, 1_000);
        let conflicting = evm_withdrawal(&mut engine, 2, 0, 1_000);
        drop(engine);
        let inject = format!("inject={syscall}:signal=KILL:when={number}");
        let first = {
            let _running = serve(&place, Some(&inject));
            ask(&place, &request).ok()
        };
        let _running = serve(&place, None);
        match &first {
            Some(first) => {
                let refused = ask(&place, &conflicting);
                let Err(SignerError::Refused(refusal)) = refused else { panic!("{refused:?}") };
                assert_eq!(refusal.code, RefusalCode::Conflict, "{syscall} {number}");
                let again = ask(&place, &request).unwrap();
                assert_eq!(again.signatures, first.signatures, "{syscall} {number}");
                released += 1;
            }
            None => {
                killed += 1;
                // It may be remembered or not; but one of the two alone.
                let both = [ask(&place, &request), ask(&place, &conflicting)];
                assert_eq!(both.iter().filter(|answer| answer.is_ok()).count(), 1);
            }
        }
        if released > 0 {
            break;
        }
    }
    assert!(killed >= 1 && released == 1, "{syscall}: killed {killed} times");
}

#[test]
fn promise_15_killed_at_each_fsync() {
    kill_at_each("fsync");
}

#[test]
fn promise_15_killed_at_each_rename() {
    kill_at_each("/^rename");
}

#[test]
fn promise_15_killed_at_each_write() {
    kill_at_each("write");
}

#[test]
fn promise_16_when_the_disk_fails_nothing_is_signed_any_more() {
    if !strace_works() {
        return;
    }
    let place = Place::new();
    let mut engine = place.engine();
    let requests: Vec<_> =
        (0..3).map(|id| evm_withdrawal(&mut engine, 1 + id, id as u64, 1_000)).collect();
    drop(engine);
    // The first fsync is the journal's opening; the second, and that one alone, fails.
    let running = serve(&place, Some("inject=fsync:error=EIO:when=2"));
    for request in &requests {
        let refused = ask(&place, request);
        let Err(SignerError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.code, RefusalCode::Unavailable);
    }
    drop(running);
    let _running = serve(&place, None);
    for request in &requests {
        ask(&place, request).unwrap();
    }
}

#[test]
fn promise_15_a_journal_cut_at_any_byte_forgets_nothing_that_left() {
    let place = Place::new();
    let mut engine = place.engine();
    let request = evm_withdrawal(&mut engine, 1, 0, 1_000);
    let before = std::fs::metadata(place.config.journal()).unwrap().len() as usize;
    let mark = place.config.high_water_dir.join("high-water.json");
    let old_mark = std::fs::read(&mark).unwrap();
    let signed = sign(&mut engine, &request).unwrap();
    let conflicting = evm_withdrawal(&mut engine, 2, 0, 1_000);
    let whole = std::fs::read(place.config.journal()).unwrap();
    let new_mark = std::fs::read(&mark).unwrap();
    drop(engine);
    let reopened = |cut: usize, mark_then: &[u8]| -> Engine {
        std::fs::write(place.config.journal(), &whole[..cut]).unwrap();
        std::fs::write(&mark, mark_then).unwrap();
        place.engine()
    };
    for cut in (before..whole.len()).step_by(97).chain([whole.len() - 1]) {
        // The signature left, so the mark was moved; a cut journal is then an old copy.
        let mut engine = reopened(cut, &new_mark);
        assert_eq!(refused(&mut engine, &conflicting), RefusalCode::JournalRolledBack);
        // The crash came before: no signature left, and the slot is free.
        let mut engine = reopened(cut, &old_mark);
        sign(&mut engine, &conflicting).unwrap();
    }
    for mark in [&old_mark, &new_mark] {
        let mut engine = reopened(whole.len(), mark);
        assert_eq!(refused(&mut engine, &conflicting), RefusalCode::Conflict);
        assert_eq!(sign(&mut engine, &request).unwrap().signatures, signed.signatures);
    }
}

#[test]
fn a_changed_journal_is_not_believed() {
    let place = Place::new();
    let mut engine = place.engine();
    for request in three(&mut engine) {
        sign(&mut engine, &request).unwrap();
    }
    let whole = std::fs::read(place.config.journal()).unwrap();
    assert_eq!(Contents::parse(&whole).unwrap().head(), engine.head());
    for position in (0..whole.len() - 1).step_by(13) {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        let read = Contents::parse(&changed);
        assert!(matches!(read, Err(JournalError::Damaged(_))), "byte {position}");
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for left_out in 0..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(left_out);
        assert!(Contents::parse(&fewer.concat()).is_err(), "line {left_out} left out");
    }
    let mut swapped = lines;
    swapped.swap(1, 2);
    assert!(Contents::parse(&swapped.concat()).is_err());
}
