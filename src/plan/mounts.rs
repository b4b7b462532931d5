//! The mounts of config.json, in their order: each a detached tree of the host or a new superblock, attached below
//! the root.

use std::path::{Component, Path, PathBuf};

use coracle_sys::mount::attr;
use oci_spec::runtime::{LinuxIdMapping, Mount, Spec};

use crate::capabilities::SYS_ADMIN;
use crate::filesystem::{FsMount, OldMount, Param, Remount};
use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::mount_options::MountOptions;
use crate::namespaces::{Kind, Wanted};
use crate::source::{IdMap, Links, Mapping, Propagation, Source, Tree};
use crate::step::Step;
use crate::target::{MountPoint, OnProc, Place, Target};
use crate::{CgroupMode, CreateOptions, HostStep, Plan, Point, Result, cgroup_mounts, idmap_option, rootfs};

/// Values fsconfig(2) takes are shorter than this.
const FSCONFIG_MAX: usize = 256;

/// What decides about every mount.
pub(crate) struct Around<'a> {
    pub spec: &'a Spec,
    pub wanted: &'a Wanted,
    pub host: &'a Host,
    pub opts: &'a CreateOptions,
}

/// One entry of `mounts`, sorted out.
pub(crate) struct Entry<'a> {
    /// JSON pointer to it.
    pub pointer: String,
    pub mount: &'a Mount,
    pub options: MountOptions,
    pub target: Target,
}

impl Entry<'_> {
    fn invalid(&self, field: &str, problem: impl Into<String>) -> Invalid {
        Invalid::new(format!("{}/{field}", self.pointer), problem)
    }
}

/// Plans every entry of `mounts`.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host, opts: &CreateOptions) -> Result<()> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    if !mounts.is_empty() && !wanted.has(Kind::Mount) {
        return Err(Invalid::new("/mounts", "needs a mount namespace"));
    }
    let around = Around { spec, wanted, host, opts };
    if around.label().is_some() && !host.selinux {
        return Err(Invalid::new("/linux/mountLabel", "SELinux is not enabled on this host"));
    }
    for (i, mount) in mounts.iter().enumerate() {
        let pointer = format!("/mounts/{i}");
        let options = MountOptions::parse(mount.options().as_deref().unwrap_or_default());
        let target = target(&format!("{pointer}/destination"), mount.destination())?;
        if !mount.destination().is_absolute() {
            let text = mount.destination().display();
            plan.warnings.push(format!("mount destination {text} is not absolute: it is taken from /"));
        }
        one(plan, &around, Entry { pointer, mount, options, target })?;
    }
    Ok(())
}

fn one(plan: &mut Plan, around: &Around<'_>, mut entry: Entry<'_>) -> Result<()> {
    if entry.options.remount {
        return remount(plan, &entry);
    }
    if entry.options.bind.is_some() {
        let idmap = idmap(around, &entry)?;
        return bind(plan, around, entry, idmap);
    }
    if entry.options.copy_link || entry.options.source_link || entry.options.destination_link {
        return Err(entry.invalid("options", "copy-symlink, src-nofollow and dest-nofollow are for bind mounts only"));
    }
    if entry.options.idmap.is_some() || entry.mount.uid_mappings().is_some() || entry.mount.gid_mappings().is_some() {
        return Err(entry.invalid("options", "only bind mounts can have an id mapping"));
    }
    let fstype = entry.mount.typ().as_deref().unwrap_or_default();
    if Place::of(entry.target.path.as_bytes()) == Place::Proc && fstype != "proc" {
        return Err(entry.invalid("destination", "only a procfs can be mounted on /proc"));
    }
    entry.target.no_symlinks = matches!(fstype, "proc" | "sysfs");
    entry.target.on_proc = if fstype == "proc" { OnProc::Always } else { OnProc::Never };
    match fstype {
        "" => Err(entry.invalid("type", "must be set unless the mount is a bind mount")),
        "cgroup" => cgroup_mounts::plan(plan, around, &entry),
        "cgroup2" if around.host.cgroup == CgroupMode::V2 => cgroup_mounts::plan(plan, around, &entry),
        fstype => new_filesystem(plan, around, &entry, fstype),
    }
}

/// A bind mount: a copy of the host's mount at the source, with its attributes changed before it is attached.
fn bind(plan: &mut Plan, around: &Around<'_>, mut entry: Entry<'_>, idmap: Option<IdMap>) -> Result<()> {
    if let Some(data) = entry.options.data.first() {
        return Err(entry.invalid("options", format!("bind mounts take no filesystem options: \"{data}\"")));
    }
    let source = entry.mount.source().as_ref().filter(|s| !s.as_os_str().is_empty());
    let source = source.ok_or_else(|| entry.invalid("source", "must be set for a bind mount"))?;
    let source = around.opts.bundle.join(source);
    let mut propagation = vec![rootfs::inherited_propagation(around.spec)?];
    propagation.extend(&entry.options.propagation);
    let tree = Tree {
        path: c_string(&format!("{}/source", entry.pointer), source.as_os_str().as_encoded_bytes())?,
        recursive: entry.options.bind == Some(true),
        links: links(&entry)?,
        attributes: entry.options.of_bind(),
        propagation,
        idmap,
    };
    entry.target.on_proc = OnProc::IfProcfs;
    entry.target.itself = entry.options.destination_link;
    let rootfs = &around.opts.rootfs;
    let inside = !rootfs.as_os_str().is_empty() && source.starts_with(rootfs);
    around.attach(plan, tree, entry.target, inside)
}

fn links(entry: &Entry<'_>) -> Result<Links> {
    let options = &entry.options;
    match (options.copy_link, options.source_link) {
        (true, _) if options.source_link || options.destination_link => {
            Err(entry.invalid("options", "copy-symlink excludes src-nofollow and dest-nofollow"))
        }
        (true, _) if options.idmap.is_some() || entry.mount.uid_mappings().is_some() => {
            Err(entry.invalid("options", "copy-symlink takes no id mapping"))
        }
        (true, _) => Ok(Links::Copy),
        (false, true) => Ok(Links::Last),
        (false, false) => Ok(Links::Follow),
    }
}

impl Around<'_> {
    /// Plans that `tree` is opened, by the parent unless only the child can, and attached.
    pub fn attach(&self, plan: &mut Plan, tree: Tree, target: Target, inside: bool) -> Result<()> {
        let from = tree.path.clone();
        let copy_link = tree.links == Links::Copy;
        let slot = if inside || opened_by_child(self.wanted, self.host) {
            if tree.idmap.is_some() {
                let problem = "an id mapping needs a source outside of the root filesystem, and privilege";
                return Err(Invalid::new("/mounts", format!("{problem}: {}", tree.path.to_string_lossy())));
            }
            let slot = plan.source(Source::ByChild);
            plan.init.push(Step::OpenTree { slot, tree: Box::new(tree) });
            slot
        } else {
            let later = tree.idmap.clone().filter(|map| map.mapping == Mapping::New);
            let slot = plan.source(Source::Tree(tree));
            if let Some(IdMap { recursive, .. }) = later {
                plan.host.push((Point::Mapped, HostStep::IdMapTree { slot, recursive }));
            }
            slot
        };
        plan.init.push(Step::AttachTree { slot, target, from, copy_link });
        Ok(())
    }

    /// The mount option that gives the label.
    fn label_option(&self) -> &'static str {
        self.opts.extras.context.unwrap_or("context")
    }

    /// `linux.mountLabel`, if there is one.
    fn label(&self) -> Option<&str> {
        let linux = self.spec.linux().as_ref()?;
        linux.mount_label().as_deref().filter(|label| !label.is_empty())
    }
}

/// Whether sources can be opened only after the clone: without privilege the parent may not copy mounts, and the
/// paths of a container in somebody's mount namespace are those of that namespace.
pub(crate) fn opened_by_child(wanted: &Wanted, host: &Host) -> bool {
    wanted.path(Kind::Mount).is_some() || host.in_userns || !host.capable(SYS_ADMIN)
}

/// The id mapping of a mount: its own, or that of the container's user namespace.
fn idmap(around: &Around<'_>, entry: &Entry<'_>) -> Result<Option<IdMap>> {
    let own = |mapping| {
        if !around.host.capable(SYS_ADMIN) || around.host.in_userns {
            return Err(entry.invalid("options", "an id mapping needs root outside of a user namespace"));
        }
        Ok(Some(IdMap { mapping, recursive: entry.options.idmap == Some(true) }))
    };
    let given = |maps: &Option<Vec<LinuxIdMapping>>| maps.clone().filter(|maps| !maps.is_empty());
    if let Some(text) = &entry.options.idmap_text {
        if entry.mount.uid_mappings().is_some() || entry.mount.gid_mappings().is_some() {
            return Err(entry.invalid("options", "an id mapping is given twice"));
        }
        let linux = around.spec.linux().as_ref();
        let users = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
        let groups = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
        let (uids, gids) = idmap_option::parse(text, users, groups).map_err(|why| entry.invalid("options", why))?;
        return own(Mapping::Own(uids, gids));
    }
    let mapping = match (given(entry.mount.uid_mappings()), given(entry.mount.gid_mappings()), entry.options.idmap) {
        (None, None, None) => return Ok(None),
        (Some(uids), Some(gids), _) => Mapping::Own(uids, gids),
        (Some(_), None, _) => return Err(entry.invalid("gidMappings", "must be given together with uidMappings")),
        (None, Some(_), _) => return Err(entry.invalid("uidMappings", "must be given together with gidMappings")),
        (None, None, Some(_)) => match around.wanted.path(Kind::User) {
            Some(path) => Mapping::Joined(path.clone()),
            None if around.wanted.is_new(Kind::User) => Mapping::New,
            None => return Err(entry.invalid("options", "an id mapping needs uidMappings, or a user namespace")),
        },
    };
    own(mapping)
}

fn remount(plan: &mut Plan, entry: &Entry<'_>) -> Result<()> {
    let bind = entry.options.bind.is_some();
    let params = if bind { Vec::new() } else { [super_params(entry, false), data_params(entry)?].concat() };
    let (attributes, propagation) = (entry.options.of_remount(), entry.options.propagation.clone());
    let remount = Remount { params, attributes, propagation, target: entry.target.clone() };
    plan.init.push(Step::Remount(Box::new(remount)));
    Ok(())
}

fn new_filesystem(plan: &mut Plan, around: &Around<'_>, entry: &Entry<'_>, fstype: &str) -> Result<()> {
    let unlabelled = matches!(fstype, "proc" | "sysfs" | "mqueue");
    let label = around.label().filter(|_| !unlabelled);
    // /dev and what is filled later start out writable.
    let late = entry.options.read_only() && (fstype == "tmpfs" || entry.target.path.as_c_str() == c"dev");
    let mut params = source_param(entry)?;
    params.extend(super_params(entry, !late));
    params.extend(data_params(entry)?);
    if let Some(label) = label {
        params.push((c_string("/annotations", around.label_option())?, Some(c_string("/linux/mountLabel", label)?)));
    }
    let too_long = |(_, value): &Param| value.as_ref().is_some_and(|value| value.as_bytes().len() >= FSCONFIG_MAX);
    if params.iter().any(too_long) || entry.options.super_set & libc::MS_I_VERSION != 0 {
        return old_mount(plan, entry, fstype, label.map(|label| (around.label_option(), label)));
    }
    let fs = FsMount {
        fstype: c_string(&format!("{}/type", entry.pointer), fstype)?,
        params,
        attributes: entry.options.of_new(),
        propagation: entry.options.propagation.clone(),
        target: entry.target.clone(),
        inherit_mode: fstype == "tmpfs" && !entry.options.data.iter().any(|d| d.starts_with("mode=")),
        copy_up: entry.options.copy_up,
        keep: None,
    };
    if fs.copy_up && fstype != "tmpfs" {
        return Err(entry.invalid("options", "tmpcopyup is for tmpfs only"));
    }
    mount_fs(plan, fs, late);
    Ok(())
}

/// Plans a new filesystem; with `late` it becomes read-only when everything is in place.
pub(crate) fn mount_fs(plan: &mut Plan, mut fs: FsMount, late: bool) {
    if late {
        fs.attributes.set &= !attr::RDONLY;
        let slot = plan.source(Source::ByChild);
        fs.keep = Some(slot);
        plan.late.push(Step::MakeReadonly { slot, target: fs.target.clone() });
    }
    plan.init.push(Step::MountFs(Box::new(fs)));
}

fn old_mount(plan: &mut Plan, entry: &Entry<'_>, fstype: &str, label: Option<(&str, &str)>) -> Result<()> {
    if entry.options.copy_up {
        return Err(entry.invalid("options", "tmpcopyup takes no iversion and no option longer than 255 bytes"));
    }
    let mut data = entry.options.data.join(",");
    if let Some((option, label)) = label {
        data.push_str(&format!("{}{option}=\"{label}\"", if data.is_empty() { "" } else { "," }));
    }
    let source = entry.mount.source().as_ref().filter(|s| !s.as_os_str().is_empty());
    let source = source.map_or(fstype.as_bytes(), |source| source.as_os_str().as_encoded_bytes());
    let own = crate::source::Attributes { set: 0, clear: 0, ..entry.options.of_new() };
    plan.init.push(Step::MountOld(Box::new(OldMount {
        fstype: c_string(&format!("{}/type", entry.pointer), fstype)?,
        source: c_string(&format!("{}/source", entry.pointer), source)?,
        flags: entry.options.old_flags(),
        data: c_string(&format!("{}/options", entry.pointer), data)?,
        attributes: own,
        propagation: entry.options.propagation.clone(),
        target: entry.target.clone(),
    })));
    Ok(())
}

fn source_param(entry: &Entry<'_>) -> Result<Vec<Param>> {
    let source = entry.mount.source().as_ref().filter(|s| !s.as_os_str().is_empty());
    let value = |s: &PathBuf| c_string(&format!("{}/source", entry.pointer), s.as_os_str().as_encoded_bytes());
    source.map(|s| Ok((c"source".to_owned(), Some(value(s)?)))).into_iter().collect()
}

/// The flags of the superblock. A new one is read-only as its mount is; what is mounted already may belong to others
/// too, and is left as it is.
fn super_params(entry: &Entry<'_>, new: bool) -> Vec<Param> {
    const NAMES: [(u64, &std::ffi::CStr, &std::ffi::CStr); 4] = [
        (libc::MS_SYNCHRONOUS, c"sync", c"async"),
        (libc::MS_DIRSYNC, c"dirsync", c""),
        (libc::MS_LAZYTIME, c"lazytime", c"nolazytime"),
        (libc::MS_MANDLOCK, c"mand", c"nomand"),
    ];
    let options = &entry.options;
    let read_only = (new && options.read_only()).then_some(c"ro");
    let named = NAMES.into_iter().filter_map(|(flag, on, off)| match options.super_set & flag != 0 {
        true => Some(on),
        false if options.remount && options.super_named & flag != 0 => Some(off),
        false => None,
    });
    let all = read_only.into_iter().chain(named).filter(|name| !name.is_empty());
    all.map(|name| (name.to_owned(), None)).collect()
}

fn data_params(entry: &Entry<'_>) -> Result<Vec<Param>> {
    let pointer = format!("{}/options", entry.pointer);
    let one = |item: &String| {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key, Some(c_string(&pointer, value)?)),
            None => (item.as_str(), None),
        };
        Ok((c_string(&pointer, key)?, value))
    };
    entry.options.data.iter().map(one).collect()
}

/// The mount point of `destination`: below the root, whatever it says.
pub(crate) fn target(pointer: &str, destination: &Path) -> Result<Target> {
    let path = relative(destination);
    if path.as_os_str().is_empty() {
        return Err(Invalid::new(pointer, "must not be the root directory"));
    }
    let path = path.as_os_str().as_encoded_bytes();
    if Place::of(path) == Place::Forbidden {
        return Err(Invalid::new(pointer, "cannot be mounted upon because it is inside /proc"));
    }
    Ok(Target {
        path: c_string(pointer, path)?,
        kind: MountPoint::Directory,
        no_symlinks: false,
        itself: false,
        on_proc: OnProc::Never,
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
