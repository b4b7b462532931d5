//! The program, its arguments and its environment.

use std::collections::HashSet;
use std::ffi::CString;

use coracle_sys::exec::CArray;
use oci_spec::runtime::Process;

use crate::Result;
use crate::invalid::{Invalid, c_string};
use crate::step::Step;

/// The last steps of a process that start its program.
pub struct Program {
    /// Only when the environment names no home directory.
    pub find_home: Option<Step>,
    pub find: Step,
    pub exec: Step,
}

/// What `process` executes, with the variables `extra` added to its environment.
///
/// # Errors
/// A variable that is not `NAME=VALUE`; a NUL byte anywhere.
pub fn program(process: &Process, extra: &[String]) -> Result<Program> {
    let args = process.args().as_deref().unwrap_or_default();
    let argv = args.iter().enumerate().map(|(i, arg)| c_string(&format!("/process/args/{i}"), arg.as_str()));
    let argv: Vec<CString> = argv.collect::<Result<_>>()?;
    let mut env = variables(process.env().as_deref().unwrap_or_default(), extra)?;
    let candidates = candidates(args.first().map_or("", String::as_str), &env)?;
    let home = env.iter().position(|entry| entry.as_bytes().starts_with(b"HOME="));
    // Missing and empty are the same: a program that trusts it would work in / or fail.
    let missing = home.is_none_or(|i| env[i].as_bytes() == b"HOME=");
    let home = missing.then(|| {
        let entry = c"HOME=/".to_owned();
        match home {
            Some(i) => env[i] = entry,
            None => env.push(entry),
        }
        home.unwrap_or(env.len() - 1)
    });
    let name = argv.first().cloned().unwrap_or_default();
    Ok(Program {
        find_home: home.map(|_| Step::FindHome { uid: process.user().uid() }),
        find: Step::FindExecutable { name: name.clone(), candidates },
        exec: Step::Exec { name, argv: CArray::new(argv), envp: CArray::new(env), home },
    })
}

/// The environment: of equal names the last is kept, in its place.
fn variables(env: &[String], extra: &[String]) -> Result<Vec<CString>> {
    let own = env.iter().enumerate().map(|(i, entry)| (format!("/process/env/{i}"), entry));
    let all: Vec<(String, &String)> =
        own.chain(extra.iter().map(|entry| (String::from("/process/env"), entry))).collect();
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for (pointer, entry) in all.iter().rev() {
        match entry.split_once('=') {
            None => return Err(Invalid::new(pointer, format!("\"{entry}\" has no =, as NAME=VALUE has"))),
            Some(("", _)) => return Err(Invalid::new(pointer, format!("\"{entry}\" has no name"))),
            Some((name, _)) if !seen.insert(name) => drop(c_string(pointer, entry.as_str())?),
            Some(_) => kept.push(c_string(pointer, entry.as_str())?),
        }
    }
    kept.reverse();
    Ok(kept)
}

/// Where execvp(3) would look for `name`: itself if it has a slash, else below each directory of PATH.
fn candidates(name: &str, env: &[CString]) -> Result<Vec<CString>> {
    let at = "/process/args/0";
    if name.contains('/') {
        return Ok(vec![c_string(at, name)?]);
    }
    if name.is_empty() {
        return Ok(Vec::new());
    }
    let path = env.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH=")).unwrap_or(b"/bin:/usr/bin");
    let joined = |dir: &[u8]| [if dir.is_empty() { b"." } else { dir }, b"/", name.as_bytes()].concat();
    path.split(|byte| *byte == b':').map(|dir| c_string(at, joined(dir))).collect()
}
