//! What the demo prints: a timeline while it runs, one line of JSON at the end.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

/// The timeline and what goes into the closing line.
pub(crate) struct Report {
    started: Instant,
    step: Option<(&'static str, Instant)>,
    seconds: Map<String, Value>,
    facts: Map<String, Value>,
    quiet: bool,
    spinner: Option<ProgressBar>,
}

impl Report {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            started: Instant::now(),
            step: None,
            seconds: Map::new(),
            facts: Map::new(),
            quiet,
            spinner: None,
        }
    }

    /// Begins a step; the one before is done.
    pub(crate) fn step(&mut self, name: &'static str, words: &str) {
        self.end_step();
        self.step = Some((name, Instant::now()));
        self.say(&format!("{:>6.1} s  {words}", self.started.elapsed().as_secs_f64()));
        if !self.quiet && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("          {spinner} {msg} {elapsed}");
            let spinner = ProgressBar::new_spinner().with_message("working");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(std::time::Duration::from_millis(120));
            self.spinner = Some(spinner);
        }
    }

    /// A line below the step that is under way.
    pub(crate) fn detail(&self, words: &str) {
        self.say(&format!("            {words}"));
    }

    /// A line of the timeline.
    pub(crate) fn say(&self, words: &str) {
        if self.quiet {
            return;
        }
        let print = || {
            let _ = writeln!(std::io::stdout(), "{words}");
        };
        match &self.spinner {
            Some(spinner) => spinner.suspend(print),
            None => print(),
        }
    }

    /// Keeps a fact for the closing line, at a path such as `anchors.bitcoin`.
    pub(crate) fn fact(&mut self, path: &str, value: Value) {
        insert(&mut self.facts, path, value);
    }

    /// Notes why the run failed.
    pub(crate) fn fail(&mut self, reason: &str) {
        let step = self.step.map_or("start", |(name, _)| name);
        self.facts.insert("error".into(), json!({ "step": step, "reason": reason }));
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        let _ = writeln!(std::io::stderr(), "demo failed at {step}: {reason}");
    }

    /// Prints the closing line.
    pub(crate) fn finish(&mut self) {
        self.end_step();
        self.seconds.insert("total".into(), seconds(self.started));
        let mut line = Map::new();
        line.insert("ok".into(), json!(!self.facts.contains_key("error")));
        line.append(&mut self.facts);
        line.insert("seconds".into(), Value::Object(std::mem::take(&mut self.seconds)));
        let _ = writeln!(std::io::stdout(), "{}", Value::Object(line));
    }

    fn end_step(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        if let Some((name, started)) = self.step.take() {
            self.seconds.insert(name.into(), seconds(started));
        }
    }
}

/// With one decimal.
fn seconds(since: Instant) -> Value {
    let tenths = since.elapsed().as_millis() / 100;
    serde_json::from_str(&format!("{}.{}", tenths / 10, tenths % 10)).unwrap_or(Value::Null)
}

fn insert(facts: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            facts.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let entry = facts.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}
