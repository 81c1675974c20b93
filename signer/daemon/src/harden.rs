use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Closes the ways by which a secret leaves a process by accident: no core file, no attachment by
/// other processes of this user, no page in swap where the limit allows that, and new files for their
/// owner alone.
///
/// # Errors
/// The kernel's, when a core file cannot be ruled out. (That memory cannot be locked is only logged:
/// the seed rests encrypted there.)
pub fn harden() -> io::Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    Ok(())
}

/// Keeps the memory of this process out of swap, now and later, where `RLIMIT_MEMLOCK` allows it.
pub fn lock_memory() {
    use rustix::mm::MlockAllFlags;
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let unlimited = rustix::process::getrlimit(Resource::Memlock).current.is_none();
    if !unlimited {
        tracing::info!("RLIMIT_MEMLOCK is limited: memory is not locked");
    } else if let Err(error) = rustix::mm::mlockall(flags) {
        tracing::warn!(%error, "memory is not locked");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn promise_04_no_core_file_and_private_files() {
        harden().unwrap();
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
        let core = rustix::process::getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        assert_eq!(rustix::process::umask(Mode::from_raw_mode(0o077)).as_raw_mode(), 0o077);
    }
}
