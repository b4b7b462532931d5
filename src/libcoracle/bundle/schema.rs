//! What config.json may contain (config.md and config-linux.md of the runtime specification, 1.3.0), as tables.
//!
//! Only the form of each value: its type, its range, its words, and whether it must be there. What values mean together
//! is the planner's business. Properties that are not listed are ignored, as the specification asks.

mod linux;
pub mod words;

pub use linux::RESOURCES;

use linux::{LINUX, MAPPINGS};

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    Bool,
    /// A whole number from one bound to the other.
    Number(i64, u64),
    /// Text without NUL bytes.
    Text,
    /// Text of a form of its own: says what is wrong with it.
    Form(fn(&str) -> Option<String>),
    /// One of these words.
    Word(&'static [&'static str]),
    List(&'static Shape),
    /// A list with at least one entry.
    Filled(&'static Shape),
    /// An object whose members are named by its author.
    Map(&'static Shape),
    Object(&'static [Field]),
}

/// A member of an object.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub need: Need,
}

/// Whether a member must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Optional,
    /// Says what is wrong when it is missing.
    Required(&'static str),
    /// Required unless the member `type` beside it is `p`.
    UnlessFifo,
}

/// A member that may be left out.
const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, need: Need::Optional }
}

/// A member that must be there.
const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, need: Need::Required("must be given") }
}

/// A member that must be there, and how callers know the message about its absence.
const fn must_or(name: &'static str, shape: Shape, missing: &'static str) -> Field {
    Field { name, shape, need: Need::Required(missing) }
}

use Shape::{Bool, Form, List, Map, Number, Object, Text, Word};

const U16: Shape = Number(0, u16::MAX as u64);
const U32: Shape = Number(0, u32::MAX as u64);
const U64: Shape = Number(0, u64::MAX);
const I32: Shape = Number(i32::MIN as i64, i32::MAX as u64);
const I64: Shape = Number(i64::MIN, i64::MAX as u64);
/// A user or group id; the largest number is what system calls take for "leave it as it is".
const ID: Shape = Number(0, u32::MAX as u64 - 1);
const TEXTS: Shape = List(&Text);

/// config.json.
pub const SPEC: Shape = Object(&[
    must("ociVersion", Form(version)),
    may("root", Object(&[must("path", Form(some_text)), may("readonly", Bool)])),
    may("mounts", List(&Object(MOUNT))),
    may("process", PROCESS),
    may("hostname", Text),
    may("domainname", Text),
    may("hooks", Object(HOOKS)),
    may("annotations", Map(&Text)),
    may("linux", Object(LINUX)),
]);

/// `mounts` by itself.
pub const MOUNTS: Shape = List(&Object(MOUNT));

const MOUNT: &[Field] = &[
    must("destination", Form(some_text)),
    may("type", Text),
    may("source", Text),
    may("options", TEXTS),
    may("uidMappings", MAPPINGS),
    may("gidMappings", MAPPINGS),
];

/// `process` of config.json, and what `exec --process` takes.
pub const PROCESS: Shape = Object(&[
    may("terminal", Bool),
    may("consoleSize", Object(&[must("height", U64), must("width", U64)])),
    may("user", Object(USER)),
    may("args", TEXTS),
    may("env", TEXTS),
    must_or("cwd", Text, "Cwd property must not be empty"),
    may("capabilities", Object(CAPABILITIES)),
    may("rlimits", List(&Object(RLIMIT))),
    may("noNewPrivileges", Bool),
    may("apparmorProfile", Text),
    may("oomScoreAdj", Number(-1000, 1000)),
    may("selinuxLabel", Text),
    may("ioPriority", Object(&[must("class", Word(IO_CLASSES)), must("priority", Number(0, 7))])),
    may("scheduler", Object(SCHEDULER)),
    may("execCPUAffinity", Object(&[may("initial", Form(cpus)), may("final", Form(cpus))])),
]);

const USER: &[Field] = &[must("uid", ID), must("gid", ID), may("umask", U32), may("additionalGids", List(&ID))];

const CAPABILITIES: &[Field] = &[
    may("bounding", TEXTS),
    may("effective", TEXTS),
    may("inheritable", TEXTS),
    may("permitted", TEXTS),
    may("ambient", TEXTS),
];

const RLIMIT: &[Field] = &[must("type", Word(RLIMITS)), must("soft", U64), must("hard", U64)];

const RLIMITS: &[&str] = &[
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

const IO_CLASSES: &[&str] = &["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

const SCHEDULER: &[Field] = &[
    must("policy", Word(POLICIES)),
    may("nice", I32),
    may("priority", I32),
    may("flags", List(&Word(SCHED_FLAGS))),
    may("runtime", U64),
    may("deadline", U64),
    may("period", U64),
];

const POLICIES: &[&str] =
    &["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

const SCHED_FLAGS: &[&str] = &[
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

const HOOK: Shape =
    List(&Object(&[must("path", Form(some_text)), may("args", TEXTS), may("env", TEXTS), may("timeout", I64)]));

const HOOKS: &[Field] = &[
    may("prestart", HOOK),
    may("createRuntime", HOOK),
    may("createContainer", HOOK),
    may("startContainer", HOOK),
    may("poststart", HOOK),
    may("poststop", HOOK),
];

fn some_text(text: &str) -> Option<String> {
    text.is_empty().then(|| "must not be empty".to_owned())
}

/// A version of the specification: Semantic Versioning 2.0.0, of the one major version there is.
fn version(text: &str) -> Option<String> {
    let (core, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let number = |part: &str| {
        part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.is_empty() && !part.starts_with('0'))
    };
    let (pre, build) = rest.split_once('+').map_or((rest, None), |(pre, build)| (pre, Some(build)));
    let identifiers = |list: &str, numbers: bool| {
        list.split('.').all(|part| {
            let digits = part.bytes().all(|b| b.is_ascii_digit());
            let word = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            word && !part.is_empty() && (!numbers || !digits || number(part))
        })
    };
    let semantic = core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.strip_prefix('-').is_none_or(|pre| identifiers(pre, true))
        && build.is_none_or(|build| identifiers(build, false));
    if !semantic {
        return Some(format!("{text:?} is no version number like 1.3.0"));
    }
    let major = core.split('.').next();
    (major != Some("1")).then(|| format!("version {text} of the runtime specification is not supported, only 1.x is"))
}

/// A list of CPUs such as `0-3,7`; an empty one is as good as none.
fn cpus(text: &str) -> Option<String> {
    let number = |part: &str| part.parse::<u32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    let valid = text.is_empty() || text.split(',').all(range);
    (!valid).then(|| format!("{text:?} is no list of CPUs like 0-3,7"))
}
