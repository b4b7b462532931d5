//! The maps of the container's user namespace, written by this process or by the programs that may.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use coracle_plan::id_maps::{IdMaps, Writer, lines};
use nix::unistd::Pid;
use oci_spec::runtime::LinuxIdMapping;

use crate::error::{Context, Error, Kind, Result};

/// Writes the maps of the new user namespace process `pid` is in.
///
/// # Errors
/// The file the kernel did not take, or what the program said.
pub fn write(pid: Pid, maps: &IdMaps) -> Result<()> {
    if maps.deny_setgroups {
        put(pid, "setgroups", "deny")?;
    }
    for (file, maps, writer) in [("uid_map", &maps.uids, maps.uid_writer), ("gid_map", &maps.gids, maps.gid_writer)] {
        match writer {
            Writer::Own => put(pid, file, &lines(maps, "\n"))?,
            Writer::Program(name) => by_program(name, pid, maps)?,
        }
    }
    Ok(())
}

/// In one write: the kernel takes a map whole, and once.
fn put(pid: Pid, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    let put = || OpenOptions::new().write(true).open(&path)?.write_all(text.as_bytes());
    let shown = if text.len() > 100 { format!("{} lines", text.lines().count()) } else { text.replace('\n', ", ") };
    put().context(|| format!("write {shown} to {path}"))
}

fn by_program(name: &str, pid: Pid, maps: &[LinuxIdMapping]) -> Result<()> {
    let mut command = Command::new(name);
    command.arg(pid.to_string()).stdin(Stdio::null());
    for map in maps {
        command.args([map.container_id(), map.host_id(), map.size()].map(|number| number.to_string()));
    }
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let text = format!("write {}: {name} is not in $PATH", lines(maps, ", "));
            Error::new(Kind::Permission, text).with_hint("install it (package uidmap), or map only your own id")
        }
        _ => Error::new(Kind::InvalidState, format!("execute {name}: {error}")),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    let text = format!("write {}: {name} ended with {}: {said}", lines(maps, ", "), output.status);
    Err(Error::new(Kind::Permission, text).with_hint("/etc/subuid and /etc/subgid say what a user may map"))
}

/// Compares the maps of the namespace process `pid` has joined with those configured.
///
/// # Errors
/// [`Kind::InvalidConfig`] with the field that says something else.
pub fn check(pid: Pid, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<()> {
    for (file, field, wanted) in [("uid_map", "uidMappings", uids), ("gid_map", "gidMappings", gids)] {
        let path = format!("/proc/{pid}/{file}");
        let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
        let has: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        if !wanted.is_empty() && has != lines(wanted, "\n").lines().collect::<Vec<_>>() {
            let has = has.join(", ");
            let text = format!("config.json /linux/{field}: the user namespace given by path has other ones: {has}");
            return Err(Error::new(Kind::InvalidConfig, text));
        }
    }
    Ok(())
}
