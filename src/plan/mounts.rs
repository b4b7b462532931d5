//! The mounts of config.json, in their order: each a detached tree of the host or a new superblock, attached below
//! the root.

use std::path::{Component, Path, PathBuf};

use coracle_sys::mount::attr;
use oci_spec::runtime::{Mount, Spec};

use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::mount_options::MountOptions;
use crate::namespaces::{Kind, Wanted};
use crate::source::{Propagation, Source, Tree};
use crate::step::{FsMount, MountPoint, Step, Target};
use crate::{CreateOptions, Plan, Result, rootfs};

/// Plans every entry of `mounts`.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host, opts: &CreateOptions) -> Result<()> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    if !mounts.is_empty() && !wanted.has(Kind::Mount) {
        return Err(Invalid::new("/mounts", "needs a mount namespace"));
    }
    for (i, mount) in mounts.iter().enumerate() {
        one(plan, &format!("/mounts/{i}"), mount, spec, host, opts)?;
    }
    Ok(())
}

fn one(plan: &mut Plan, pointer: &str, mount: &Mount, spec: &Spec, _host: &Host, opts: &CreateOptions) -> Result<()> {
    let options = MountOptions::parse(mount.options().as_deref().unwrap_or_default());
    let mut target = target(&format!("{pointer}/destination"), mount.destination())?;
    if options.bind.is_some() {
        return bind(plan, pointer, mount, spec, opts, &options, target);
    }
    let fstype = mount.typ().as_deref().unwrap_or("none");
    target.no_symlinks = matches!(fstype, "proc" | "sysfs");
    if fstype == "cgroup" {
        return crate::mounts::cgroup(plan, pointer, &options, target);
    }
    plan.init.push(Step::MountFs(Box::new(filesystem(pointer, fstype, mount.source(), &options, target)?)));
    Ok(())
}

/// A bind mount: a copy of the host's mount at the source, with its attributes changed before it is attached.
fn bind(
    plan: &mut Plan,
    pointer: &str,
    mount: &Mount,
    spec: &Spec,
    opts: &CreateOptions,
    options: &MountOptions,
    target: Target,
) -> Result<()> {
    if let Some(data) = options.data.first() {
        return Err(Invalid::new(
            format!("{pointer}/options"),
            format!("bind mounts take no filesystem options: \"{data}\""),
        ));
    }
    let source = mount.source().as_ref().filter(|s| !s.as_os_str().is_empty());
    let source = source.ok_or_else(|| Invalid::new(format!("{pointer}/source"), "must be set for a bind mount"))?;
    let mut propagation = vec![rootfs::inherited_propagation(spec)?];
    propagation.extend(&options.propagation);
    let mut attributes = options.attributes;
    if options.any_flag {
        // A remount sets exactly the flags it is given: what the source has beyond them goes.
        let flags = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC | attr::NOSYMFOLLOW;
        attributes.clear |= flags & !attributes.set;
    }
    let tree = Tree {
        path: opts.bundle.join(source),
        recursive: options.bind == Some(true),
        attributes,
        propagation,
        idmap: None,
    };
    let slot = plan.source(Source::Tree(tree));
    plan.init.push(Step::AttachTree { slot, target });
    Ok(())
}

fn filesystem(
    pointer: &str,
    fstype: &str,
    source: &Option<PathBuf>,
    options: &MountOptions,
    target: Target,
) -> Result<FsMount> {
    let data_pointer = format!("{pointer}/options");
    let mut params = Vec::new();
    if let Some(source) = source.as_ref().filter(|s| !s.as_os_str().is_empty()) {
        let text = source.as_os_str().as_encoded_bytes();
        params.push((c"source".to_owned(), Some(c_string(&format!("{pointer}/source"), text)?)));
    }
    for flag in &options.fs_flags {
        params.push((c_string(&data_pointer, *flag)?, None));
    }
    for item in &options.data {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key, Some(c_string(&data_pointer, value)?)),
            None => (item.as_str(), None),
        };
        params.push((c_string(&data_pointer, key)?, value));
    }
    let has_mode = options.data.iter().any(|d| d.starts_with("mode="));
    Ok(FsMount {
        fstype: c_string(&format!("{pointer}/type"), fstype)?,
        params,
        attributes: options.attributes,
        propagation: options.propagation.clone(),
        target,
        inherit_mode: fstype == "tmpfs" && !has_mode,
        copy_up: options.copy_up,
    })
}

/// The cgroup mount: cgroup2 of the container's own cgroup namespace.
pub(crate) fn cgroup(plan: &mut Plan, pointer: &str, options: &MountOptions, target: Target) -> Result<()> {
    let source = Some(PathBuf::from("cgroup"));
    plan.init.push(Step::MountFs(Box::new(filesystem(pointer, "cgroup2", &source, options, target)?)));
    Ok(())
}

/// The mount point of `destination`: below the root, whatever it says.
pub(crate) fn target(pointer: &str, destination: &Path) -> Result<Target> {
    let path = relative(destination);
    if path.as_os_str().is_empty() {
        return Err(Invalid::new(pointer, "must not be the root directory"));
    }
    Ok(Target {
        path: c_string(pointer, path.as_os_str().as_encoded_bytes())?,
        kind: MountPoint::Directory,
        no_symlinks: false,
    })
}

/// `path` without its root, `.` and `..`, taken lexically: the part below a container's root.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// The private propagation new superblocks start with.
pub(crate) const PRIVATE: Propagation = Propagation::recursive(libc::MS_PRIVATE);
