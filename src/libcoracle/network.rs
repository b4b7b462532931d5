//! Interfaces of the host that move into a container's network namespace, with their addresses.

mod netlink;

use std::os::fd::OwnedFd;

use coracle_plan::net_devices::NetDevice;
use coracle_sys::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::error::{Context, Error, Kind, Result};
use netlink::{Link, Netlink};

/// Moves `devices` into the network namespace of process `pid`, in order; each keeps its permanent addresses of
/// global scope and is up afterwards.
///
/// # Errors
/// The first device that is not there, cannot be moved, or whose name is taken.
pub fn move_devices(pid: Pid, devices: &[NetDevice]) -> Result<()> {
    let namespace = |path: String| {
        let fd = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        fd.context(|| format!("open {path}"))
    };
    let (own, theirs) = (namespace("/proc/self/ns/net".to_owned())?, namespace(format!("/proc/{pid}/ns/net"))?);
    let mut outside = Netlink::open().context(|| "open a netlink socket")?;
    let mut inside = within(&own, &theirs, Netlink::open).context(|| "open a netlink socket in the container")?;
    for device in devices {
        let what = || format!("move network device {} into the container as {}", device.host, device.container);
        move_one(&mut outside, &mut inside, pid, device).context(what)?;
    }
    Ok(())
}

/// A netlink socket belongs to the namespace it is opened in, whoever uses it later.
fn within<T>(own: &OwnedFd, other: &OwnedFd, act: impl FnOnce() -> coracle_sys::Result<T>) -> coracle_sys::Result<T> {
    setns(other, CloneFlags::CLONE_NEWNET)?;
    let result = act();
    setns(own, CloneFlags::CLONE_NEWNET)?;
    result
}

fn move_one(outside: &mut Netlink, inside: &mut Netlink, pid: Pid, device: &NetDevice) -> Result<()> {
    let link = outside.link(&device.host).context(|| "find it")?;
    let refuse = |text: &str| Err(Error::new(Kind::InvalidConfig, text));
    if link.is_loopback() {
        return refuse("a loopback interface cannot be moved");
    }
    if inside.link(&device.container).is_ok() {
        return refuse("the container has an interface of that name");
    }
    let before = inside.links().context(|| "list the container's interfaces")?;
    // Read first: taking an interface down loses its IPv6 addresses.
    let addresses = outside.addresses(link.index).context(|| "read its addresses")?;
    outside.set_up(link.index, false).context(|| "take it down")?;
    outside.give(link.index, pid, &device.container).context(|| "move it")?;
    let after = inside.links().context(|| "list the container's interfaces")?;
    let new = |link: &&Link| before.iter().all(|other| other.index != link.index);
    let moved = after.iter().find(new).ok_or(Errno::ENODEV).context(|| "find it in the container")?;
    for address in addresses.iter().filter(|address| address.is_permanent_and_global()) {
        inside.add_address(moved.index, address).context(|| format!("add address {address}"))?;
    }
    inside.set_up(moved.index, true).context(|| "bring it up")
}
