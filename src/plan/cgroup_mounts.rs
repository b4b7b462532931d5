//! The `cgroup` mount: what the container may see of its cgroups.
//!
//! With a cgroup namespace a fresh mount would show the container's own cgroup as its root. A copy of the host's mount
//! from that directory down shows the same, costs a three-hundredth of it, and needs no privilege in the namespace.

use std::path::Path;

use coracle_sys::mount::attr;

use crate::device::Link;
use crate::filesystem::FsMount;
use crate::host::{CgroupMode, Hierarchy};
use crate::invalid::c_string;
use crate::mounts::{Around, Entry, PRIVATE, mount_fs};
use crate::namespaces::Kind;
use crate::source::{Attributes, Tree};
use crate::step::Step;
use crate::target::Target;
use crate::{HostStep, Plan, Point, Result, id_maps};

/// Plans `entry`, a mount of type `cgroup`.
pub(crate) fn plan(plan: &mut Plan, around: &Around<'_>, entry: &Entry<'_>) -> Result<()> {
    match around.host.cgroup {
        CgroupMode::V1 | CgroupMode::Hybrid => v1(plan, around, entry),
        CgroupMode::V2 | CgroupMode::None => v2(plan, around, entry),
    }
}

fn v2(plan: &mut Plan, around: &Around<'_>, entry: &Entry<'_>) -> Result<()> {
    if let Some(uid) = owner(around, entry).filter(|uid| *uid != around.host.euid) {
        plan.host.push((Point::Ready, HostStep::DelegateCgroup(uid)));
    }
    let own = around.opts.cgroups.get("");
    let hidden = around.wanted.has(Kind::Cgroup) || around.wanted.has(Kind::User) || around.host.in_userns;
    let joined = around.wanted.path(Kind::Cgroup).is_some();
    let path = match (own, &around.host.unified) {
        (Some(own), _) if hidden && !joined => own,
        (_, Some(all)) if !hidden => all,
        // Nothing is known that may be shown: what would be there otherwise is the host's tree (CVE-2023-25809).
        (None, _) if !around.wanted.has(Kind::Cgroup) => {
            mount_fs(plan, covering(entry, Attributes { set: FIXED | attr::RDONLY, ..Attributes::default() }), false);
            return Ok(());
        }
        _ => return fresh(plan, entry),
    };
    if !entry.options.data.is_empty() {
        return fresh(plan, entry);
    }
    copy(plan, around, entry, path, entry.target.clone(), entry.options.of_copy())
}

/// Who gets the cgroup: the user of the process, as the host knows it, if `entry` is the mount by which a container with
/// a cgroup namespace of its own is to manage the cgroups below (config-linux.md, "Cgroup ownership").
fn owner(around: &Around<'_>, entry: &Entry<'_>) -> Option<u32> {
    let Around { spec, wanted, .. } = around;
    let named = entry.mount.source().as_deref() == Some(Path::new("cgroup"))
        && entry.mount.destination() == Path::new("/sys/fs/cgroup");
    if !named || entry.options.read_only() || !wanted.is_new(Kind::Cgroup) {
        return None;
    }
    let uid = spec.process().as_ref()?.user().uid();
    if !wanted.has(Kind::User) {
        return Some(uid);
    }
    // Of a namespace that is joined the mappings are not known.
    let (uids, _) = id_maps::configured(spec);
    uids.iter().find_map(|map| {
        let offset = uid.checked_sub(map.container_id()).filter(|offset| *offset < map.size())?;
        map.host_id().checked_add(offset)
    })
}

/// A new cgroup2 mount, of the cgroup namespace's root.
fn fresh(plan: &mut Plan, entry: &Entry<'_>) -> Result<()> {
    let mut params = vec![(c"source".to_owned(), Some(c"cgroup".to_owned()))];
    for item in &entry.options.data {
        params.push((c_string(&format!("{}/options", entry.pointer), item.as_str())?, None));
    }
    let fs = FsMount {
        fstype: c"cgroup2".to_owned(),
        params,
        attributes: entry.options.of_new(),
        propagation: entry.options.propagation.clone(),
        target: entry.target.clone(),
        inherit_mode: false,
        copy_up: false,
        keep: None,
    };
    mount_fs(plan, fs, false);
    Ok(())
}

/// A tmpfs with one directory for each hierarchy of the host, and the container's own cgroup on it.
fn v1(plan: &mut Plan, around: &Around<'_>, entry: &Entry<'_>) -> Result<()> {
    let read_only = entry.options.read_only();
    mount_fs(plan, covering(entry, Attributes { set: FIXED, ..Attributes::default() }), read_only);
    let mut attributes = entry.options.of_copy();
    attributes.set |= FIXED;
    attributes.implied &= !FIXED;
    for hierarchy in &around.host.hierarchies {
        let (Some(own), Some(name)) = (own_of(around, hierarchy), hierarchy.mount_point.file_name()) else { continue };
        let mut target = entry.target.clone();
        target.path = c_string("/mounts", below(&target, name.as_encoded_bytes()))?;
        copy(plan, around, entry, own, target, attributes)?;
    }
    // `cpu,cpuacct` goes by either name too.
    for name in around.host.hierarchies.iter().filter_map(|h| h.mount_point.file_name()?.to_str()) {
        for part in name.split(',').filter(|part| *part != name) {
            let at = c_string("/mounts", below(&entry.target, part.as_bytes()))?;
            let to = c_string("/mounts", name)?;
            plan.init.push(Step::Symlink(Link { to, at, needs: None, replace: false }));
        }
    }
    Ok(())
}

/// What is not the configuration's to choose.
const FIXED: u64 = attr::NOSUID | attr::NODEV | attr::NOEXEC;

fn own_of<'a>(around: &'a Around<'_>, hierarchy: &Hierarchy) -> Option<&'a std::path::PathBuf> {
    hierarchy.controllers.split(',').find_map(|controller| around.opts.cgroups.get(controller))
}

fn below(target: &Target, name: &[u8]) -> Vec<u8> {
    [target.path.as_bytes(), b"/", name].concat()
}

fn covering(entry: &Entry<'_>, attributes: Attributes) -> FsMount {
    FsMount {
        fstype: c"tmpfs".to_owned(),
        params: vec![(c"source".to_owned(), Some(c"tmpfs".to_owned())), (c"mode".to_owned(), Some(c"755".to_owned()))],
        attributes,
        propagation: entry.options.propagation.clone(),
        target: entry.target.clone(),
        inherit_mode: false,
        copy_up: false,
        keep: None,
    }
}

fn copy(
    plan: &mut Plan,
    around: &Around<'_>,
    entry: &Entry<'_>,
    path: &Path,
    target: Target,
    attributes: Attributes,
) -> Result<()> {
    let mut tree = Tree::private(c_string("/linux/cgroupsPath", path.as_os_str().as_encoded_bytes())?);
    tree.attributes = attributes;
    tree.propagation = vec![PRIVATE];
    tree.propagation.extend(&entry.options.propagation);
    around.attach(plan, tree, target, !around.opts.cgroups_made)
}
