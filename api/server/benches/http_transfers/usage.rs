//! Processor time, from `/proc`: of this process, of the server, of the database's processes, and of
//! the whole machine.

use std::collections::{HashMap, HashSet};
use std::ops::Sub;

/// Microseconds in a clock tick of `/proc`, which has a hundred to the second on every Linux.
const TICK_US: u64 = 10_000;

/// Processor time since the processes began, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// This process: the load.
    pub(crate) load: u64,
    /// The server; SQLite is in it.
    pub(crate) server: u64,
    /// PostgreSQL's processes below this one.
    pub(crate) database: u64,
    /// All that ran on this machine, the kernel's own threads and strangers included.
    pub(crate) machine: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            load: self.load - before.load,
            server: self.server - before.server,
            database: self.database.saturating_sub(before.database),
            machine: self.machine - before.machine,
        }
    }
}

struct Process {
    name: String,
    parent: u32,
    us: u64,
}

/// What was used until now.
pub(crate) fn now() -> Usage {
    let processes = processes();
    let own = descendants(&processes, std::process::id());
    let of = |name: &str| {
        let own = own.iter().filter_map(|id| processes.get(id));
        own.filter(|process| process.name.starts_with(name)).map(|process| process.us).sum()
    };
    let load = processes.get(&std::process::id()).map_or(0, |process| process.us);
    Usage { load, server: of("roadstead"), database: of("postgres"), machine: machine() }
}

fn processes() -> HashMap<u32, Process> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A process may end between the two looks.
    ids.filter_map(|id: u32| Some((id, process(id)?))).collect()
}

/// proc(5): the name in parentheses, then state, parent, …; user and system time are numbers 14, 15.
fn process(id: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Process {
        name: head.split_once('(')?.1.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        us: (ticks(14)? + ticks(15)?) * TICK_US,
    })
}

fn descendants(processes: &HashMap<u32, Process>, ancestor: u32) -> HashSet<u32> {
    let mut found = HashSet::from([ancestor]);
    loop {
        let before = found.len();
        let new = processes.iter().filter(|(_, process)| found.contains(&process.parent));
        let new: Vec<u32> = new.map(|(id, _)| *id).collect();
        found.extend(new);
        if found.len() == before {
            found.remove(&ancestor);
            return found;
        }
    }
}

/// proc(5): user, nice, system, idle, iowait, irq, softirq, steal, … of all processors.
fn machine() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let first = stat.lines().next().unwrap().split_ascii_whitespace().skip(1);
    let ticks: Vec<u64> = first.map(|ticks| ticks.parse().unwrap()).collect();
    let idle = ticks[3] + ticks[4];
    (ticks.iter().take(8).sum::<u64>() - idle) * TICK_US
}
