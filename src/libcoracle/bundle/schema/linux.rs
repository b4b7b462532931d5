//! The object `linux` (config-linux.md).

use super::Shape::{Bool, Filled, Form, List, Map, Number, Object, Text, Word};
use super::words::{ACTIONS, ARCHITECTURES, FILTER_FLAGS, MEMORY_FLAGS, MEMORY_MODES, NAMESPACES, OPERATORS};
use super::{Field, I64, ID, Need, Shape, TEXTS, U16, U32, U64, may, must, must_or, some_text};

pub(super) const LINUX: &[Field] = &[
    may("namespaces", List(&Object(&[must("type", Word(NAMESPACES)), may("path", Text)]))),
    may("uidMappings", MAPPINGS),
    may("gidMappings", MAPPINGS),
    may("timeOffsets", Map(&Object(&[may("secs", I64), may("nanosecs", Number(0, 999_999_999))]))),
    may("devices", List(&Object(DEVICE))),
    may("netDevices", Map(&Object(&[may("name", Text)]))),
    may("cgroupsPath", Text),
    may("resources", RESOURCES),
    may("intelRdt", Object(INTEL_RDT)),
    may("memoryPolicy", Object(MEMORY_POLICY)),
    may("sysctl", Map(&Text)),
    may("seccomp", Object(SECCOMP)),
    may("rootfsPropagation", Text),
    may("maskedPaths", TEXTS),
    may("readonlyPaths", TEXTS),
    may("mountLabel", Text),
    may("personality", Object(&[must("domain", Word(&["LINUX", "LINUX32"])), may("flags", TEXTS)])),
];

pub(super) const MAPPINGS: Shape =
    List(&Object(&[must("containerID", ID), must("hostID", ID), must("size", Number(1, u32::MAX as u64))]));

/// What the kernel's device numbers hold: 12 and 20 bits.
const DEVICE: &[Field] = &[
    must("type", Word(&["c", "b", "u", "p"])),
    must("path", Form(some_text)),
    Field { name: "major", shape: Number(0, 0xfff), need: Need::UnlessFifo },
    Field { name: "minor", shape: Number(0, 0xf_ffff), need: Need::UnlessFifo },
    may("fileMode", U32),
    may("uid", ID),
    may("gid", ID),
];

/// `linux.resources` of config.json, and what `update --resources` takes.
pub const RESOURCES: Shape = Object(&[
    may("devices", List(&Object(DEVICE_RULE))),
    may("memory", Object(MEMORY)),
    may("cpu", Object(CPU)),
    may("pids", Object(&[may("limit", I64)])),
    may("blockIO", Object(BLOCK_IO)),
    may("hugepageLimits", List(&Object(&[must("pageSize", Text), must("limit", U64)]))),
    may("network", Object(&[may("classID", U32), may("priorities", List(&Object(PRIORITY)))])),
    may("rdma", Map(&Object(&[may("hcaHandles", U32), may("hcaObjects", U32)]))),
    may("unified", Map(&Text)),
]);

const DEVICE_RULE: &[Field] = &[
    must("allow", Bool),
    may("type", Word(&["a", "b", "c", ""])),
    may("major", Number(-1, u32::MAX as u64)),
    may("minor", Number(-1, u32::MAX as u64)),
    may("access", Text),
];

const MEMORY: &[Field] = &[
    may("limit", I64),
    may("reservation", I64),
    may("swap", I64),
    may("kernel", I64),
    may("kernelTCP", I64),
    may("swappiness", Number(0, 100)),
    may("disableOOMKiller", Bool),
    may("useHierarchy", Bool),
    may("checkBeforeUpdate", Bool),
];

const CPU: &[Field] = &[
    may("shares", U64),
    may("quota", I64),
    may("burst", U64),
    may("period", U64),
    may("realtimeRuntime", I64),
    may("realtimePeriod", U64),
    may("cpus", Text),
    may("mems", Text),
    may("idle", I64),
];

const BLOCK_IO: &[Field] = &[
    may("weight", U16),
    may("leafWeight", U16),
    may(
        "weightDevice",
        List(&Object(&[must("major", I64), must("minor", I64), may("weight", U16), may("leafWeight", U16)])),
    ),
    may("throttleReadBpsDevice", THROTTLE),
    may("throttleWriteBpsDevice", THROTTLE),
    may("throttleReadIOPSDevice", THROTTLE),
    may("throttleWriteIOPSDevice", THROTTLE),
];

const THROTTLE: Shape = List(&Object(&[must("major", I64), must("minor", I64), must("rate", U64)]));

const PRIORITY: &[Field] = &[must("name", Form(some_text)), must("priority", U32)];

const INTEL_RDT: &[Field] = &[
    may("closID", Text),
    may("schemata", TEXTS),
    may("l3CacheSchema", Text),
    may("memBwSchema", Text),
    may("enableMonitoring", Bool),
];

const MEMORY_POLICY: &[Field] =
    &[must("mode", Word(MEMORY_MODES)), may("nodes", Text), may("flags", List(&Word(MEMORY_FLAGS)))];

const SECCOMP: &[Field] = &[
    must("defaultAction", Word(ACTIONS)),
    may("defaultErrnoRet", U32),
    may("architectures", List(&Word(ARCHITECTURES))),
    may("flags", List(&Word(FILTER_FLAGS))),
    may("listenerPath", Text),
    may("listenerMetadata", Text),
    may("syscalls", List(&Object(SYSCALL))),
];

const SYSCALL: &[Field] = &[
    must_or("names", Filled(&Text), "must name at least one system call"),
    must("action", Word(ACTIONS)),
    may("errnoRet", U32),
    may("args", List(&Object(ARGUMENT))),
];

const ARGUMENT: &[Field] =
    &[must("index", Number(0, 5)), must("value", U64), may("valueTwo", U64), must("op", Word(OPERATORS))];
