//! Annotations that change what the runtime does: those of crun (crun(1), Extensions to OCI) that have a meaning here.
//!
//! They reach the host as much as the rest of config.json does, but unlike it they may have come from the labels of an
//! image; so the caller passes them on only where the file is its own or root's.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Result;
use crate::invalid::Invalid;

const KEEP_GROUPS: &str = "run.oci.keep_original_groups";
const HOOKS_STDOUT: &str = "run.oci.hooks.stdout";
const HOOKS_STDERR: &str = "run.oci.hooks.stderr";
const CONTEXT_TYPE: &str = "run.oci.mount_context_type";
const PIDFD_RECEIVER: &str = "run.oci.pidfd_receiver";
const STRICT: &str = "run.oci.seccomp_fail_unknown_syscall";
const PROGRAM: &str = "run.oci.seccomp_bpf_data";
/// Containers that ask for a virtual machine or for WebAssembly must not run without.
const HANDLER: &str = "run.oci.handler";

/// Annotations of crun that the configuration has fields for, or that would load code into the runtime.
const REFUSED: [(&str, &str); 3] = [
    ("run.oci.seccomp.receiver", "not supported; linux.seccomp.listenerPath says where the listener goes"),
    ("run.oci.seccomp.plugins", "no plugin is loaded; an agent at linux.seccomp.listenerPath can answer"),
    ("run.oci.timens_offset", "not supported; linux.timeOffsets has the offsets"),
];

/// What all of them begin with.
pub const PREFIX: &str = "run.oci.";

/// The annotations that are obeyed, sorted.
pub const KEYS: [&str; 7] = [HOOKS_STDERR, HOOKS_STDOUT, KEEP_GROUPS, CONTEXT_TYPE, PIDFD_RECEIVER, PROGRAM, STRICT];

/// The names of the mount option that gives a SELinux label (mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS).
const CONTEXTS: [&str; 4] = ["context", "defcontext", "fscontext", "rootcontext"];

/// The largest program the kernel takes, in bytes: BPF_MAXINSNS instructions of eight (bpf(2), seccomp(2)).
const LONGEST_PROGRAM: usize = 4096 * 8;

/// What the annotations ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// The program keeps the supplementary groups of the runtime's caller, whatever the configuration says.
    pub keep_groups: bool,
    /// Where what hooks print goes: to the end of these files.
    pub hooks_stdout: Option<PathBuf>,
    pub hooks_stderr: Option<PathBuf>,
    /// The mount option `linux.mountLabel` is given by.
    pub context: Option<&'static str>,
    /// A listening UNIX stream socket that gets a pidfd of the container's process.
    pub pidfd_receiver: Option<PathBuf>,
    /// A system call that is not known is an error, not passed over.
    pub strict_seccomp: bool,
    /// The seccomp filter, ready for the kernel, instead of the one of the configuration.
    pub seccomp_program: Option<Vec<u8>>,
}

impl Extras {
    /// Reads those annotations that are meant for the runtime; `get` finds one by its key.
    ///
    /// # Errors
    /// A value without meaning, and a handler, of which there is none.
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Extras> {
        let path = |key: &str| get(key).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(handler) = get(HANDLER).filter(|handler| !handler.is_empty()) {
            return Err(invalid(HANDLER, format!("there is no handler {handler}")));
        }
        if let Some((key, problem)) = REFUSED.into_iter().find(|(key, _)| get(key).is_some()) {
            return Err(invalid(key, problem));
        }
        let context = get(CONTEXT_TYPE).map(|name| {
            let known = CONTEXTS.into_iter().find(|known| *known == name);
            known.ok_or_else(|| invalid(CONTEXT_TYPE, format!("\"{name}\" is none of {}", CONTEXTS.join(", "))))
        });
        Ok(Extras {
            keep_groups: get(KEEP_GROUPS).is_some_and(|value| value != "0"),
            hooks_stdout: path(HOOKS_STDOUT),
            hooks_stderr: path(HOOKS_STDERR),
            context: context.transpose()?,
            pidfd_receiver: path(PIDFD_RECEIVER),
            strict_seccomp: get(STRICT).is_some_and(|value| value != "0"),
            seccomp_program: get(PROGRAM).map(program).transpose()?,
        })
    }
}

fn program(text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text.trim()).map_err(|error| invalid(PROGRAM, format!("no base64: {error}")))?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(8) || bytes.len() > LONGEST_PROGRAM {
        let problem = format!("{} bytes are no program: 1 to 4096 instructions of 8 bytes are", bytes.len());
        return Err(invalid(PROGRAM, problem));
    }
    Ok(bytes)
}

fn invalid(key: &str, problem: impl Into<String>) -> Invalid {
    Invalid::new(format!("/annotations/{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Extras> {
        Extras::of(|key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn values() {
        assert_eq!(of(&[("a.b", "c"), ("run.oci.systemd.subgroup", "x")]), Ok(Extras::default()));
        assert!(of(&[(KEEP_GROUPS, "1")]).unwrap().keep_groups);
        assert!(!of(&[(KEEP_GROUPS, "0")]).unwrap().keep_groups);
        assert_eq!(of(&[(CONTEXT_TYPE, "rootcontext")]).unwrap().context, Some("rootcontext"));
        assert_eq!(of(&[(PROGRAM, "BgAAAAAA/38=")]).unwrap().seccomp_program.map(|bytes| bytes.len()), Some(8));
        assert_eq!(of(&[(HOOKS_STDOUT, "/log")]).unwrap().hooks_stdout, Some("/log".into()));
        let wrong = [(CONTEXT_TYPE, "content"), (PROGRAM, "BgAA"), (PROGRAM, "?"), (PROGRAM, ""), (HANDLER, "krun")];
        for pair in wrong.into_iter().chain(REFUSED) {
            assert!(of(&[pair]).is_err(), "{pair:?}");
        }
        assert!(KEYS.is_sorted() && KEYS.iter().all(|key| key.starts_with(PREFIX)));
    }
}
