//! Capabilities by number (capabilities(7)).

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use crate::Result;
use crate::host::Host;
use crate::invalid::Invalid;
use crate::step::Step;

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
pub const NET_ADMIN: u32 = 12;

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

/// The steps of the capability sets: what to drop from the bounding set before the user changes, and the sets after.
pub struct Steps {
    pub bounding: Step,
    pub sets: Sets,
}

/// What of the sets asked for can be had; the rest is named in one warning. In a new or joined user namespace a
/// process has every capability that the kernel knows, elsewhere those of the runtime.
///
/// # Errors
/// Sets that the kernel would refuse: effective beyond permitted, inheritable beyond bounding (capset(2)).
pub fn granted(asked: Sets, host: &Host, in_userns: bool, warnings: &mut Vec<String>) -> Result<Steps> {
    let known = u64::MAX >> (63 - host.last_capability.min(63));
    let (own, present) = if in_userns { (known, known) } else { (host.capabilities & known, host.bounding & known) };
    let sets = Sets {
        bounding: asked.bounding & present,
        effective: asked.effective & own,
        permitted: asked.permitted & own,
        inheritable: asked.inheritable & own,
        ambient: asked.ambient & own,
    };
    let all = |s: &Sets| s.bounding | s.effective | s.permitted | s.inheritable | s.ambient;
    let lost = (asked.bounding & !sets.bounding) | (all(&asked) & !own);
    if lost != 0 {
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{}]", names(lost)));
    }
    for (name, set, limit, of) in [
        ("effective", sets.effective, sets.permitted, "permitted"),
        ("inheritable", sets.inheritable, sets.bounding, "bounding"),
    ] {
        if set & !limit != 0 {
            let problem = format!("{} not in {of}, which the kernel refuses", names(set & !limit));
            return Err(Invalid::new(format!("/process/capabilities/{name}"), problem));
        }
    }
    let ambient = sets.ambient & sets.permitted & sets.inheritable;
    if ambient != sets.ambient {
        let text = names(sets.ambient & !ambient);
        warnings.push(format!("cannot raise ambient capabilities that are not permitted and inheritable: [{text}]"));
    }
    let bounding = Step::Bounding { keep: sets.bounding, drop: present & !sets.bounding };
    Ok(Steps { bounding, sets: Sets { ambient, ..sets } })
}

/// `CAP_KILL CAP_CHOWN`, by number.
fn names(set: u64) -> String {
    let known = ALL.iter().enumerate().filter(|(n, _)| set & 1 << n != 0);
    known.map(|(_, cap)| format!("CAP_{cap}")).collect::<Vec<_>>().join(" ")
}

fn mask(set: &Option<Capabilities>) -> u64 {
    let number = |cap: &Capability| ALL.iter().position(|known| known == cap);
    set.iter().flatten().filter_map(number).fold(0, |mask, n| mask | 1 << n)
}
