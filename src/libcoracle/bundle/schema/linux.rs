//! The object `linux` (config-linux.md).

use super::Shape::{Bool, Filled, Form, List, Map, Number, Object, Text, Word};
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

const NAMESPACES: &[&str] = &["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

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

const MEMORY_MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];

const MEMORY_FLAGS: &[&str] = &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

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

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: &[&str] =
    &["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GT", "SCMP_CMP_GE", "SCMP_CMP_MASKED_EQ"];

const FILTER_FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

const ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_NATIVE",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];
