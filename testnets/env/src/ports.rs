use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cache::{cache_dir, lock_file};
use crate::error::{Error, Result};

/// Below the range from which the kernel takes ports for outgoing connections.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;
const COUNT: u32 = 12_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A TCP port on loopback that no other user of this crate takes while the value lives.
///
/// The bare look-up of a free port is a race: two test processes may be given the same one. So each
/// port has a lock file, held by its process and released by the kernel when the process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: Option<File>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// [`Error::NoPort`] when all are taken; [`Error::Io`] when the lock folder cannot be written.
    pub fn free() -> Result<Self> {
        let folder = cache_dir()?.join("ports");
        for _ in 0..COUNT {
            if let Some(port) = Self::try_take(next_candidate(), &folder)? {
                return Ok(port);
            }
        }
        Err(Error::NoPort { from: FIRST, to: LAST })
    }

    /// The port that the user asked for.
    ///
    /// # Errors
    /// [`Error::PortTaken`], naming `what` it is for and the `flag` that changes it.
    pub fn fixed(number: u16, what: &'static str, flag: &'static str) -> Result<Self> {
        if bindable(number) {
            Ok(Self { number, _lock: None })
        } else {
            Err(Error::PortTaken { port: number, what, flag })
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    fn try_take(number: u16, folder: &Path) -> Result<Option<Self>> {
        let lock = lock_file(&folder.join(number.to_string()))?;
        match lock.try_lock() {
            Ok(()) if bindable(number) => Ok(Some(Self { number, _lock: Some(lock) })),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { path: folder.join(number.to_string()), source })
            }
        }
    }
}

/// Two neighbouring ports: Solana clients expect the web socket one above the RPC port.
#[derive(Debug)]
pub struct PortPair {
    /// For requests.
    pub rpc: Port,
    /// For subscriptions.
    pub ws: Port,
}

impl PortPair {
    /// A free pair.
    ///
    /// # Errors
    /// As [`Port::free`].
    pub fn free() -> Result<Self> {
        let folder = cache_dir()?.join("ports");
        for _ in 0..COUNT {
            let rpc = Port::free()?;
            let above = rpc.number.saturating_add(1);
            if let Some(ws) = Port::try_take(above, &folder)? {
                return Ok(Self { rpc, ws });
            }
        }
        Err(Error::NoPort { from: FIRST, to: LAST })
    }
}

fn next_candidate() -> u16 {
    // Another start for each process, so that they seldom meet.
    let start = std::process::id().wrapping_mul(37);
    let step = NEXT.fetch_add(1, Ordering::Relaxed);
    let offset = start.wrapping_add(step).checked_rem(COUNT).unwrap_or(0);
    u16::try_from(offset).map_or(FIRST, |offset| FIRST.saturating_add(offset))
}

fn bindable(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn ports_handed_out_are_different_and_free() {
        let ports: Vec<Port> = (0..20).map(|_| Port::free().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
        assert!(numbers.iter().all(|number| bindable(*number)));
    }

    #[test]
    fn a_pair_is_two_neighbours() {
        let pair = PortPair::free().unwrap();
        assert_eq!(pair.rpc.number() + 1, pair.ws.number());
    }

    #[test]
    fn a_port_in_use_is_passed_over_and_refused_by_number() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let error = Port::fixed(taken, "EVM", "--evm-port").unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("--evm-port"), "{error}");
    }
}
