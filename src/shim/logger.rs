//! Loggers: programs that are given what a container writes (`binary://` URLs, runtime/v2/README.md of containerd,
//! "Logging"). They read standard output from descriptor 3, standard error from 4, and close 5 when they are ready.

use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use coracle_sys::fds::{STDIO, dup_to};

use crate::error::{Doing, Error, Result};
use crate::io::Whose;

const SCHEME: &str = "binary://";
/// How this program is called to become a logger.
pub const BECOME: &str = "become-logger";
/// Where a logger looks for standard output, standard error, and the pipe to close.
const WANTED: [RawFd; 3] = [3, 4, 5];

pub fn is_url(name: &str) -> bool {
    name.starts_with(SCHEME)
}

/// Starts the logger that `url` names, and waits until it is ready. Returns where to write to, output and errors.
pub fn start(url: &str, whose: &Whose<'_>) -> Result<(OwnedFd, OwnedFd)> {
    let what = || format!("start logger {url}");
    let pipe = || std::io::pipe().doing(what);
    let ((out_reader, out), (err_reader, err), (mut ready, not_ready)) = (pipe()?, pipe()?, pipe()?);
    let mut words = words(url)?;
    let program = words.remove(0);
    // Standard descriptors are the only ones that can be passed without unsafe code; that program moves them.
    let mut command = Command::new(std::env::current_exe().doing(what)?);
    command.args([BECOME, &program]).args(&words);
    command.env("CONTAINER_ID", whose.container).env("CONTAINER_NAMESPACE", whose.namespace);
    command.stdin(Stdio::from(out_reader)).stdout(Stdio::from(err_reader)).stderr(Stdio::from(not_ready));
    // Its end is nobody's business: whoever waits for children takes note of it.
    whose.children.spawn(&mut command).doing(what)?;
    drop(command);
    let mut said = String::new();
    ready.read_to_string(&mut said).doing(what)?;
    if said.is_empty() { Ok((out.into(), err.into())) } else { Err(Error::new(format!("{}: {said}", what()))) }
}

/// Turns this process into the logger `words`, with the descriptors where it looks for them. Only returns when it cannot,
/// which [`start`] is told.
pub fn become_logger(words: impl IntoIterator<Item = String>) -> Result<()> {
    let mut words = words.into_iter();
    let program = words.next().ok_or_else(|| Error::invalid("start logger: no program"))?;
    for (from, to) in STDIO.iter().zip(WANTED) {
        dup_to(*from, to).doing(|| "start logger".into())?;
    }
    let mut command = Command::new(&program);
    let why = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).exec();
    let told = format!("execute {program}: {why}");
    std::fs::write(format!("/proc/self/fd/{}", WANTED[2]), &told).doing(|| told)
}

/// The program and its arguments: `binary:///bin/logger?key=value&flag` is `/bin/logger key value flag`.
fn words(url: &str) -> Result<Vec<String>> {
    let rest = url.strip_prefix(SCHEME).unwrap_or(url);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut words = vec![unescape(path)];
    if !words[0].starts_with('/') {
        return Err(Error::invalid(format!("start logger {url}: the path must be absolute")));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        words.push(unescape(&key.replace('+', " ")));
        if !value.is_empty() {
            words.push(unescape(&value.replace('+', " ")));
        }
    }
    Ok(words)
}

/// Undoes the `%20` spelling of URLs.
fn unescape(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(code) => {
                plain.push(code);
                rest = &tail[2..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_programs_with_arguments() {
        assert_eq!(words("binary:///bin/l").unwrap(), ["/bin/l"]);
        assert_eq!(words("binary:///b%20n/l?a=1%202&b&c=x+y").unwrap(), ["/b n/l", "a", "1 2", "b", "c", "x y"]);
        assert!(words("binary://l").is_err());
    }
}
