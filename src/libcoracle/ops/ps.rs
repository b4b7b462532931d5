//! `ps`: the processes of a container, as the host sees them.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::pause::access;
use crate::error::{Context, Error, Kind, Result};
use crate::id::ContainerId;
use crate::store::Root;

/// The processes of the container `id`, those of nested cgroups included; none when it has stopped.
///
/// # Errors
/// [`Kind::NotFound`] if there is no such container.
pub fn ps(root: &Root, id: &ContainerId) -> Result<Vec<i32>> {
    let state = root.entry(id)?.existing()?;
    let pids = coracle_cgroup::open(&state.cgroup)?.pids().map_err(|error| access(error.into()))?;
    // Without a cgroup of its own the one process known to be the container's is its first.
    let init = state.init.alive()?.filter(|_| pids.is_empty()).map(|_| state.init.pid);
    Ok(pids.into_iter().map(nix::unistd::Pid::as_raw).chain(init).collect())
}

/// What the host's ps(1) says with `args` about the processes `pids`: its header, and their lines.
///
/// It is found by the caller's `$PATH` and sees the host: nothing of the container has a say in what is executed.
///
/// # Errors
/// When there is no ps, when it fails, or when its output has no column of process ids.
pub fn table(pids: &[i32], args: &[OsString]) -> Result<String> {
    let mut command = Command::new("ps");
    if args.is_empty() {
        command.arg("-ef");
    }
    let output = command.args(args).stdin(Stdio::null()).output().context(|| "execute ps")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let problem = format!("execute ps: {}: {text}{said}", output.status);
        return Err(Error::new(Kind::InvalidState, problem.trim_end()));
    }
    select(&text, pids)
}

/// The header of `table`, and the lines whose process is in `pids`.
fn select(table: &str, pids: &[i32]) -> Result<String> {
    let wrong = |text: String| Error::new(Kind::InvalidState, text);
    let header = table.lines().next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| wrong("couldn't find PID field in ps output".to_owned()))?;
    let mut text = format!("{header}\n");
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let field = line.split_whitespace().nth(column).unwrap_or_default();
        let pid: i32 = field.parse().map_err(|_| wrong(format!("unable to parse pid: {field:?} in {line:?}")))?;
        if pids.contains(&pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_container() {
        let cases: [(&str, &[i32], std::result::Result<&str, &str>); 8] = [
            ("UID PID CMD\nroot 1 init\nroot 12 a b\n", &[12], Ok("UID PID CMD\nroot 12 a b\n")),
            ("  PID CMD\n   12 a\n  121 b\n", &[12, 13], Ok("  PID CMD\n   12 a\n")),
            ("PID\n1\n2\n3\n", &[3, 1], Ok("PID\n1\n3\n")),
            ("UID PID\nroot 1\n\n", &[], Ok("UID PID\n")),
            ("UID PPID\nroot 1\n", &[1], Err("couldn't find PID field in ps output")),
            ("", &[1], Err("couldn't find PID field in ps output")),
            ("UID PID\nroot x\n", &[1], Err("unable to parse pid: \"x\" in \"root x\"")),
            ("UID PID\nroot\n", &[1], Err("unable to parse pid: \"\" in \"root\"")),
        ];
        for (table, pids, want) in cases {
            let got = select(table, pids).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{table:?}");
        }
    }
}
