use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::on_path;
use super::progress::Progress;
use crate::cache::{cache_dir, lock_file};
use crate::error::{Error, Result, at};

/// The steps of a build; an error is told to the user as it is.
pub(super) type Build = fn(&Path, &Progress) -> std::result::Result<Vec<PathBuf>, String>;

/// How a node program is made when the user has none.
pub(super) struct Recipe {
    /// The program, also the first half of the cache folder's name.
    pub(super) name: &'static str,
    /// The second half: whatever changes the program changes this.
    pub(super) version: String,
    /// Programs that the build calls, each with the Debian package that has it.
    pub(super) tools: &'static [(&'static str, &'static str)],
    /// What else to say when the build fails.
    pub(super) hint: &'static str,
    /// What the user is told to expect.
    pub(super) expect: &'static str,
    /// Builds in the given folder, which may hold the remains of an interrupted build, and returns
    /// the finished programs, the node first.
    pub(super) build: Build,
}

impl Recipe {
    /// The cached program, built first if it is not there. Other processes wait for the builder.
    pub(super) fn install(&self) -> Result<PathBuf> {
        self.install_in(&cache_dir()?)
    }

    pub(super) fn install_in(&self, cache: &Path) -> Result<PathBuf> {
        let id = format!("{}-{}", self.name, self.version);
        let home = cache.join(&id);
        let program = home.join(self.name);
        if program.exists() {
            return Ok(program);
        }
        let progress = Progress::new(self.name, cache.join("log").join(format!("{id}.log")));
        let lock = lock_file(&cache.join(format!("{id}.lock")))?;
        if lock.try_lock().is_err() {
            progress.say("another process is making it; waiting");
            lock.lock().map_err(at(cache))?;
        }
        if program.exists() {
            progress.finish();
            return Ok(program);
        }
        self.check_tools()?;
        progress.say(&format!("not on PATH; making it once ({})", self.expect));
        let work = cache.join("build").join(&id);
        fs::create_dir_all(&work).map_err(at(&work))?;
        let made = (self.build)(&work, &progress).map_err(|reason| self.error(reason))?;
        publish(&made, cache, &home)?;
        fs::remove_dir_all(&work).map_err(at(&work))?;
        progress.finish();
        Ok(program)
    }

    fn check_tools(&self) -> Result<()> {
        let missing: Vec<&str> = self
            .tools
            .iter()
            .filter(|(tool, _)| on_path(tool).is_none())
            .map(|(tool, _)| *tool)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.error(format!("it is not on PATH, and making it needs {}", missing.join(", "))))
    }

    fn error(&self, reason: String) -> Error {
        let packages: Vec<&str> = self.tools.iter().map(|(_, package)| *package).collect();
        let hint = format!(
            "install {} yourself, or what making it needs: apt-get install {} {}",
            self.name,
            packages.join(" "),
            self.hint
        );
        Error::Provision { name: self.name, reason, hint: hint.trim_end().to_owned() }
    }
}

/// Copies the programs to their place, all or none: what is there is always whole.
fn publish(programs: &[PathBuf], cache: &Path, home: &Path) -> Result<()> {
    let staging = tempfile::tempdir_in(cache).map_err(at(cache))?;
    for program in programs {
        let name = program.file_name().unwrap_or_default();
        let copy = staging.path().join(name);
        copy_durably(program, &copy).map_err(at(program))?;
    }
    fs::rename(staging.path(), home).map_err(at(home))?;
    // It is not there any more under its old name.
    let _ = staging.keep();
    Ok(())
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn recipe(build: Build) -> Recipe {
        Recipe {
            name: "echoer",
            version: "1".into(),
            tools: &[("sh", "dash")],
            hint: "libecho-dev",
            expect: "a moment",
            build,
        }
    }

    fn script(work: &Path, _: &Progress) -> std::result::Result<Vec<PathBuf>, String> {
        let path = work.join("echoer");
        // Each build leaves a line, so that the test can count them.
        let mut count = fs::read_to_string(work.join("../../count")).unwrap_or_default();
        count.push('x');
        fs::write(work.join("../../count"), count).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        fs::write(&path, "#!/bin/sh\necho made\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Ok(vec![path])
    }

    #[test]
    fn made_once_though_many_ask_at_once() {
        let cache = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| recipe(script).install_in(cache.path()).unwrap()))
                .collect();
            for made in asked {
                let output = Command::new(made.join().unwrap()).output().unwrap();
                assert_eq!(output.stdout, b"made\n");
            }
        });
        assert_eq!(fs::read_to_string(cache.path().join("count")).unwrap(), "x");
        assert!(!cache.path().join("build/echoer-1").exists());
    }

    #[test]
    fn a_failed_build_leaves_nothing_behind_and_says_what_to_install() {
        let cache = tempfile::tempdir().unwrap();
        let failing = recipe(|work, _| {
            fs::write(work.join("echoer"), "half").unwrap();
            Err("the compiler was not amused".into())
        });
        let error = failing.install_in(cache.path()).unwrap_err().to_string();
        assert!(error.contains("not amused") && error.contains("libecho-dev"), "{error}");
        assert!(!cache.path().join("echoer-1").exists());
        assert!(recipe(script).install_in(cache.path()).is_ok());
    }

    #[test]
    fn a_missing_tool_is_named_before_the_build_starts() {
        let cache = tempfile::tempdir().unwrap();
        let mut recipe = recipe(|_, _| Err("must not be called".into()));
        recipe.tools = &[("no-such-tool", "the-package")];
        let error = recipe.install_in(cache.path()).unwrap_err().to_string();
        assert!(error.contains("no-such-tool") && error.contains("the-package"), "{error}");
        assert!(!error.contains("must not be called"));
    }
}
