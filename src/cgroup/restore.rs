//! Control files as they were, for when a change to several of them fails half way.

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::write::{Write, apply};

/// What to write to undo writes, directory by directory.
#[derive(Debug, Default)]
pub(crate) struct Before<'a>(Vec<(&'a Dir, Vec<Write>)>);

impl<'a> Before<'a> {
    /// Remembers the files of `dir` that `writes` are going to change.
    pub fn remember(&mut self, dir: &'a Dir, writes: &[Write]) {
        let undo = writes.iter().rev().filter_map(|write| {
            let (Write { file, value, .. }, current) = write.current(dir)?;
            Some(Write::new(file.clone(), old(file, value, &current)?).later_if_refused())
        });
        self.0.push((dir, undo.collect()));
    }

    /// The `outcome` of the writes; if they failed, what was remembered is written back first.
    pub fn unless(self, outcome: Result<()>) -> Result<()> {
        let Err(first) = outcome else { return Ok(()) };
        let back = |(dir, undo): &(&Dir, Vec<Write>)| apply(dir, undo).map_err(Error::from).err();
        // What cannot be put back in one place does not stop the others.
        let failed: Vec<String> = self.0.iter().rev().filter_map(back).map(|error| error.to_string()).collect();
        if failed.is_empty() { Err(first) } else { Err(first.with(&format!("; back again: {}", failed.join("; ")))) }
    }
}

/// What to write to `file`, which reads `current`, after `value` was written to it; `None` if that is not known or not
/// needed.
fn old(file: &str, value: &str, current: &str) -> Option<String> {
    if file.starts_with("cgroup.") {
        // Commands, not values.
        return None;
    }
    if file == "memory.oom_control" {
        return current.lines().find_map(|line| line.strip_prefix("oom_kill_disable ")).map(str::to_owned);
    }
    let (key, rest) = value.split_once(' ').unwrap_or((value, ""));
    let named = |line: &&str| line.split_once(' ').is_some_and(|(name, _)| name == key);
    if let Some(line) = current.lines().find(named) {
        return Some(line.to_owned());
    }
    if crate::stats::device(key).is_some() {
        // The file has no line for this device yet.
        return match rest.split_once('=') {
            Some((name, _)) => Some(format!("{key} {name}=max")),
            None if file.starts_with("blkio.") => Some(format!("{key} 0")),
            None => Some(format!("{key} default")),
        };
    }
    let first = current.lines().next().unwrap_or_default();
    (first != value).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        // file, value written, content before → value to write back
        let cases = [
            ("pids.max", "7", "max\n", Some("max")),
            ("pids.max", "7", "7\n", None),
            ("cpu.max", "5000 20000", "max 100000\n", Some("max 100000")),
            ("cpuset.cpus", "0", "\n", Some("")),
            ("cpuset.cpus", "0", "", Some("")),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", Some("0")),
            ("io.max", "8:0 rbps=7", "8:16 rbps=1 wbps=max\n", Some("8:0 rbps=max")),
            ("io.max", "8:0 rbps=7", "8:0 rbps=1 wbps=max\n", Some("8:0 rbps=1 wbps=max")),
            ("io.bfq.weight", "300", "default 100\n8:0 50\n", Some("default 100")),
            ("io.bfq.weight", "8:0 300", "default 100\n8:0 50\n", Some("8:0 50")),
            ("io.bfq.weight", "8:0 300", "default 100\n", Some("8:0 default")),
            ("blkio.throttle.read_bps_device", "8:0 7", "8:0 1\n", Some("8:0 1")),
            ("blkio.throttle.read_bps_device", "8:0 7", "", Some("8:0 0")),
            ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 2\n", Some("eth0 2")),
            (
                "rdma.max",
                "mlx hca_handle=2",
                "mlx hca_handle=max hca_object=4\n",
                Some("mlx hca_handle=max hca_object=4"),
            ),
            ("cgroup.subtree_control", "+pids", "memory\n", None),
        ];
        for (file, value, current, want) in cases {
            assert_eq!(old(file, value, current).as_deref(), want, "{file} {value}");
        }
    }
}
