//! Resource limits (getrlimit(2)): whose it is to set them.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType as Type, Process};

use crate::Result;
use crate::host::Host;
use crate::host_step::HostStep;
use crate::invalid::Invalid;
use crate::step::{Point, Step};

/// The limits of a process, by who can set them.
#[derive(Debug, Default)]
pub struct Limits {
    /// Lowered by the process itself, as late as it can: a small limit would hinder its own set-up.
    pub own: Vec<Step>,
    /// Raised by the parent: the process may be in a user namespace, where raising is not allowed.
    pub raised: Vec<(Point, HostStep)>,
}

/// Sorts `process.rlimits`, and adds what the process would otherwise have of the runtime's own.
///
/// # Errors
/// A type given twice; a soft limit above the hard one.
pub fn all(process: &Process, host: &Host) -> Result<Limits> {
    let list = process.rlimits().as_deref().unwrap_or_default();
    let mut limits = Limits::default();
    for (i, limit) in list.iter().enumerate() {
        check(list, i)?;
        let (name, resource) = (limit.typ().to_string(), number(limit.typ()));
        let (soft, hard) = (limit.soft(), limit.hard());
        if host.hard_limits.get(resource as usize).is_some_and(|own| hard > *own) {
            let step = HostStep::Rlimit { index: i, name, resource, soft, hard };
            limits.raised.push((Point::Ready, step));
        } else {
            limits.own.push(Step::Rlimit { name, resource, soft, hard });
        }
    }
    if let (Some((soft, hard)), false) = (host.open_files, list.iter().any(|l| l.typ() == Type::RlimitNofile)) {
        let resource = number(Type::RlimitNofile);
        limits.own.push(Step::Rlimit { name: Type::RlimitNofile.to_string(), resource, soft, hard });
    }
    Ok(limits)
}

fn check(list: &[PosixRlimit], i: usize) -> Result<()> {
    let limit = &list[i];
    let name = limit.typ();
    if list[..i].iter().any(|other| other.typ() == name) {
        return Err(Invalid::new(format!("/process/rlimits/{i}/type"), format!("{name} is given twice")));
    }
    if limit.soft() > limit.hard() {
        let problem = format!("the soft limit of {name} is above the hard limit {}", limit.hard());
        return Err(Invalid::new(format!("/process/rlimits/{i}/soft"), problem));
    }
    Ok(())
}

fn number(typ: Type) -> u32 {
    #[expect(clippy::unnecessary_cast, reason = "the type of RLIMIT_ constants differs between C libraries")]
    let number = match typ {
        Type::RlimitCpu => libc::RLIMIT_CPU,
        Type::RlimitFsize => libc::RLIMIT_FSIZE,
        Type::RlimitData => libc::RLIMIT_DATA,
        Type::RlimitStack => libc::RLIMIT_STACK,
        Type::RlimitCore => libc::RLIMIT_CORE,
        Type::RlimitRss => libc::RLIMIT_RSS,
        Type::RlimitNproc => libc::RLIMIT_NPROC,
        Type::RlimitNofile => libc::RLIMIT_NOFILE,
        Type::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        Type::RlimitAs => libc::RLIMIT_AS,
        Type::RlimitLocks => libc::RLIMIT_LOCKS,
        Type::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        Type::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        Type::RlimitNice => libc::RLIMIT_NICE,
        Type::RlimitRtprio => libc::RLIMIT_RTPRIO,
        Type::RlimitRttime => libc::RLIMIT_RTTIME,
    } as u32;
    number
}
