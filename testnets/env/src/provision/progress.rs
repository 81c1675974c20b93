use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written when nobody watches a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(20);
const TAIL_BYTES: u64 = 4_096;

/// Tells on standard error how a long step goes on, and keeps the whole output in a log file.
pub struct Progress {
    name: &'static str,
    log: PathBuf,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    pub(super) fn new(name: &'static str, log: PathBuf) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}");
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(120));
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { name, log, bar, started: Instant::now() }
    }

    /// Shows a message.
    pub(super) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(message.to_owned()),
            None => self.plain(message),
        }
    }

    /// Takes the display away.
    pub(super) fn finish(&self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => self.plain("done"),
        }
    }

    /// Runs a command to its end, showing the newest line of its output.
    pub(super) fn run(&self, command: &mut Command) -> Result<(), String> {
        let log = self.open_log().map_err(|error| format!("{}: {error}", self.log.display()))?;
        let shown = format!("{command:?}");
        let failed = |error: io::Error| format!("{shown}: {error}");
        let copy = log.try_clone().map_err(failed)?;
        let mut child =
            command.stdin(Stdio::null()).stdout(log).stderr(copy).spawn().map_err(failed)?;
        let mut said = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(100));
            if self.bar.is_some() || said.elapsed() > PLAIN_EVERY {
                said = Instant::now();
                self.say(tail(&self.log).lines().last().unwrap_or_default());
            }
        };
        if status.success() {
            return Ok(());
        }
        let tail = tail(&self.log);
        let lines: Vec<&str> = tail.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(12)).copied();
        Err(format!(
            "{shown} ended with {status}; the end of {}:\n{}",
            self.log.display(),
            last.collect::<Vec<_>>().join("\n")
        ))
    }

    fn open_log(&self) -> io::Result<File> {
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder)?;
        }
        File::options().create(true).append(true).open(&self.log)
    }

    fn plain(&self, message: &str) {
        let seconds = self.started.elapsed().as_secs();
        // Progress that cannot be shown is no reason to fail.
        let _ = writeln!(io::stderr(), "{}: {seconds} s: {message}", self.name);
    }
}

/// The last part of a file, as far as it is text.
fn tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim_end().to_owned()
}
