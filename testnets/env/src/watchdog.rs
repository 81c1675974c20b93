use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, at};

/// Runs `"$@"` in the folder `$1` until it ends or until standard input closes, which the kernel
/// does when the parent is gone, however it went. Then the program is killed, the folder removed,
/// and the end of its log written to standard error.
const SCRIPT: &str = r#"
dir=$1; shift
mkdir -p -m 700 "$dir" || exit 1
exec 3<&0 </dev/null
"$@" 3<&- >"$dir/log" 2>&1 &
node=$!
trap '' PIPE
trap 'kill -9 "$node"' INT TERM HUP
(while read -r _; do :; done <&3; kill -9 "$node") 2>/dev/null &
reader=$!
while kill -0 "$node" 2>/dev/null; do wait "$node" 2>/dev/null; done
kill "$reader" 2>/dev/null
last=$(tail -n 15 "$dir/log" 2>/dev/null)
rm -rf "$dir"
printf '%s\n' "$last" >&2
"#;

/// How long a killed program and its folder may take to go.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A program that never outlives this process, and the scratch folder that goes with it.
pub struct Watched {
    name: &'static str,
    child: Child,
    folder: PathBuf,
}

impl Watched {
    /// Starts `program`. `arguments` gets the scratch folder, which exists once the program runs.
    ///
    /// # Errors
    /// [`Error::Io`] when no shell can be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self> {
        let folder = scratch_folder(name)?;
        let child = Command::new("sh")
            .args(["-c", SCRIPT, name])
            .arg(&folder)
            .arg(program)
            .args(arguments(&folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal goes to us alone; our end closes the pipe.
            .process_group(0)
            .spawn()
            .map_err(at("sh"))?;
        Ok(Self { name, child, folder })
    }

    /// The folder that lives as long as the program, its output in the file `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the program has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Fails if the program has ended by itself.
    ///
    /// # Errors
    /// [`Error::Stopped`] with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait().map_err(at(self.name))?;
        if ended.is_none() {
            return Ok(());
        }
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).map_err(at(self.name))?;
        }
        Err(Error::Stopped { name: self.name, log: log.trim().to_owned() })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let limit = Instant::now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Watched")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A name in the temporary folder that nobody has.
fn scratch_folder(name: &str) -> Result<PathBuf> {
    let unique = tempfile::Builder::new()
        .prefix(&format!("roadstead-{name}-"))
        .tempdir()
        .map_err(at(std::env::temp_dir()))?;
    // The shell removes it, also when we are killed.
    Ok(unique.keep())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shell(script: &str) -> Watched {
        Watched::start("test", Path::new("/bin/sh"), |_| vec!["-c".into(), script.into()]).unwrap()
    }

    fn wait_for(mut condition: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < limit, "still not so after 10 s");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn dropping_the_handle_ends_the_program_and_removes_its_folder() {
        let watched = shell("echo pid=$$; exec sleep 1000");
        wait_for(|| watched.log().contains("pid="));
        let pid: u32 = watched.log().trim().strip_prefix("pid=").unwrap().parse().unwrap();
        let folder = watched.folder().to_owned();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(watched);
        assert!(!folder.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_program_that_ends_by_itself_is_noticed_with_its_last_words() {
        let mut watched = shell("echo cannot bind >&2; exit 3");
        let mut failure = None;
        wait_for(|| {
            failure = watched.check().err();
            failure.is_some()
        });
        assert!(failure.unwrap().to_string().contains("cannot bind"));
        assert!(!watched.folder().exists());
    }
}
