//! Capabilities by number (capabilities(7)).

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use Capability as C;

/// Every capability, at its number.
pub const ALL: [Capability; 41] = [
    C::Chown,
    C::DacOverride,
    C::DacReadSearch,
    C::Fowner,
    C::Fsetid,
    C::Kill,
    C::Setgid,
    C::Setuid,
    C::Setpcap,
    C::LinuxImmutable,
    C::NetBindService,
    C::NetBroadcast,
    C::NetAdmin,
    C::NetRaw,
    C::IpcLock,
    C::IpcOwner,
    C::SysModule,
    C::SysRawio,
    C::SysChroot,
    C::SysPtrace,
    C::SysPacct,
    C::SysAdmin,
    C::SysBoot,
    C::SysNice,
    C::SysResource,
    C::SysTime,
    C::SysTtyConfig,
    C::Mknod,
    C::Lease,
    C::AuditWrite,
    C::AuditControl,
    C::Setfcap,
    C::MacOverride,
    C::MacAdmin,
    C::Syslog,
    C::WakeAlarm,
    C::BlockSuspend,
    C::AuditRead,
    C::Perfmon,
    C::Bpf,
    C::CheckpointRestore,
];

/// The number of CAP_SYS_ADMIN.
pub const SYS_ADMIN: u32 = 21;

/// Five sets, bit n being capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// The sets of `capabilities`; what is not named is empty.
pub fn sets(capabilities: Option<&LinuxCapabilities>) -> Sets {
    let Some(c) = capabilities else { return Sets::default() };
    Sets {
        bounding: mask(c.bounding()),
        effective: mask(c.effective()),
        permitted: mask(c.permitted()),
        inheritable: mask(c.inheritable()),
        ambient: mask(c.ambient()),
    }
}

fn mask(set: &Option<Capabilities>) -> u64 {
    let number = |cap: &Capability| ALL.iter().position(|known| known == cap);
    set.iter().flatten().filter_map(number).fold(0, |mask, n| mask | 1 << n)
}
