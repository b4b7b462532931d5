//! The root filesystem, mounted as containerd describes it: the snapshot of an image is a list of mounts.

use std::path::{Path, PathBuf};

use containerd_shim_protos::api::Mount;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::error::{Doing, Error, Result};

/// What mount(2) takes as options at the most: one page.
const PAGE: usize = 4096;
const PROPAGATION: MsFlags =
    MsFlags::MS_SHARED.union(MsFlags::MS_PRIVATE).union(MsFlags::MS_SLAVE).union(MsFlags::MS_UNBINDABLE);

/// Mounts all of `mounts` on `rootfs`, or none.
pub fn mount_all(mounts: &[Mount], rootfs: &Path) -> Result<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    match std::fs::create_dir(rootfs) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).doing(|| format!("create {}", rootfs.display()));
        }
        _ => {}
    }
    mounts.iter().try_for_each(|mount| mount_one(mount, rootfs)).inspect_err(|_| {
        let _ = unmount(rootfs);
    })
}

/// Unmounts whatever is mounted on `rootfs`. Nothing being there is fine.
pub fn unmount(rootfs: &Path) -> Result<()> {
    let mut flags = MntFlags::UMOUNT_NOFOLLOW;
    loop {
        match umount2(rootfs, flags) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            // Somebody outside still looks into it: it goes when they are done.
            Err(Errno::EBUSY) if !flags.contains(MntFlags::MNT_DETACH) => flags |= MntFlags::MNT_DETACH,
            Err(errno) => return Err(errno).doing(|| format!("unmount {}", rootfs.display())),
        }
    }
}

fn mount_one(asked: &Mount, rootfs: &Path) -> Result<()> {
    let target = rootfs.join(asked.target.trim_start_matches('/'));
    let (flags, mut data) = parse(&asked.options)?;
    let what = || format!("mount {} {} on {}", asked.type_, asked.source, target.display());
    let base = if data.len() >= PAGE { shorten(&mut data) } else { None };
    let first = flags - PROPAGATION;
    let bind = flags.contains(MsFlags::MS_BIND);
    match base {
        None => mount_with(&asked.source, &target, &asked.type_, first, &data).doing(what)?,
        Some(base) => below(&base, || mount_with(&asked.source, &target, &asked.type_, first, &data)).doing(what)?,
    }
    let propagation = flags & PROPAGATION;
    if !propagation.is_empty() {
        let flags = propagation | (flags & (MsFlags::MS_REC | MsFlags::MS_SILENT));
        mount_with("", &target, "", flags, "").doing(what)?;
    }
    // A bind mount has the flags of its source until it is told otherwise.
    if bind && flags.contains(MsFlags::MS_RDONLY) {
        mount_with("", &target, "", first | MsFlags::MS_REMOUNT, &data).doing(what)?;
    }
    Ok(())
}

fn mount_with(source: &str, target: &Path, kind: &str, flags: MsFlags, data: &str) -> nix::Result<()> {
    mount(Some(source), target, Some(kind), flags, Some(data).filter(|data| !data.is_empty()))
}

/// Splits the options of fstab(5) into those of the kernel and those of the filesystem.
fn parse(options: &[String]) -> Result<(MsFlags, String)> {
    let (mut flags, mut data) = (MsFlags::empty(), Vec::new());
    for option in options {
        let (set, clear) = match option.as_str() {
            "defaults" => continue,
            "async" => (MsFlags::empty(), MsFlags::MS_SYNCHRONOUS),
            "atime" => (MsFlags::empty(), MsFlags::MS_NOATIME),
            "bind" => (MsFlags::MS_BIND, MsFlags::empty()),
            "dev" => (MsFlags::empty(), MsFlags::MS_NODEV),
            "diratime" => (MsFlags::empty(), MsFlags::MS_NODIRATIME),
            "dirsync" => (MsFlags::MS_DIRSYNC, MsFlags::empty()),
            "exec" => (MsFlags::empty(), MsFlags::MS_NOEXEC),
            "mand" => (MsFlags::MS_MANDLOCK, MsFlags::empty()),
            "noatime" => (MsFlags::MS_NOATIME, MsFlags::empty()),
            "nodev" => (MsFlags::MS_NODEV, MsFlags::empty()),
            "nodiratime" => (MsFlags::MS_NODIRATIME, MsFlags::empty()),
            "noexec" => (MsFlags::MS_NOEXEC, MsFlags::empty()),
            "nomand" => (MsFlags::empty(), MsFlags::MS_MANDLOCK),
            "norelatime" => (MsFlags::empty(), MsFlags::MS_RELATIME),
            "nostrictatime" => (MsFlags::empty(), MsFlags::MS_STRICTATIME),
            "nosuid" => (MsFlags::MS_NOSUID, MsFlags::empty()),
            "private" => (MsFlags::MS_PRIVATE, MsFlags::empty()),
            "rbind" => (MsFlags::MS_BIND | MsFlags::MS_REC, MsFlags::empty()),
            "relatime" => (MsFlags::MS_RELATIME, MsFlags::empty()),
            "remount" => (MsFlags::MS_REMOUNT, MsFlags::empty()),
            "ro" => (MsFlags::MS_RDONLY, MsFlags::empty()),
            "rprivate" => (MsFlags::MS_PRIVATE | MsFlags::MS_REC, MsFlags::empty()),
            "rshared" => (MsFlags::MS_SHARED | MsFlags::MS_REC, MsFlags::empty()),
            "rslave" => (MsFlags::MS_SLAVE | MsFlags::MS_REC, MsFlags::empty()),
            "runbindable" => (MsFlags::MS_UNBINDABLE | MsFlags::MS_REC, MsFlags::empty()),
            "rw" => (MsFlags::empty(), MsFlags::MS_RDONLY),
            "shared" => (MsFlags::MS_SHARED, MsFlags::empty()),
            "slave" => (MsFlags::MS_SLAVE, MsFlags::empty()),
            "strictatime" => (MsFlags::MS_STRICTATIME, MsFlags::empty()),
            "suid" => (MsFlags::empty(), MsFlags::MS_NOSUID),
            "sync" => (MsFlags::MS_SYNCHRONOUS, MsFlags::empty()),
            "unbindable" => (MsFlags::MS_UNBINDABLE, MsFlags::empty()),
            // The kernel would refuse it as an option of the filesystem, and not say why.
            "loop" => return Err(Error::unimplemented("mount root filesystem: loop devices are not supported")),
            other => {
                data.push(other);
                continue;
            }
        };
        flags = (flags - clear) | set;
    }
    Ok((flags, data.join(",")))
}

/// Makes the layers of an overlay relative to the directory they have in common, which is returned.
fn shorten(data: &mut String) -> Option<PathBuf> {
    let lower = data.split(',').find_map(|option| option.strip_prefix("lowerdir="))?.to_owned();
    let layers: Vec<&Path> = lower.split(':').map(Path::new).collect();
    let base = layers[0]
        .ancestors()
        .skip(1)
        .find(|base| base.is_absolute() && layers.iter().all(|layer| layer.starts_with(base)))?;
    let relative: Option<Vec<&str>> =
        layers.iter().map(|layer| layer.strip_prefix(base).ok()?.to_str().filter(|rest| !rest.is_empty())).collect();
    *data = data.replace(&format!("lowerdir={lower}"), &format!("lowerdir={}", relative?.join(":")));
    Some(base.to_owned())
}

/// Calls `call` with `base` as working directory. Only a thread of its own can have one of its own.
fn below(base: &Path, call: impl FnOnce() -> nix::Result<()> + Send) -> nix::Result<()> {
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS)?;
            nix::unistd::chdir(base)?;
            call()
        });
        call.join().unwrap_or(Err(Errno::EIO))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> (MsFlags, String) {
        parse(&text.split(' ').map(String::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn options_of_the_kernel_and_of_the_filesystem() {
        assert_eq!(options("rbind ro"), (MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_RDONLY, String::new()));
        assert_eq!(options("ro rw index=off userxattr"), (MsFlags::empty(), "index=off,userxattr".into()));
        assert!(parse(&["loop".to_owned()]).is_err());
    }

    #[test]
    fn layers_get_the_part_they_differ_in() {
        let mut data = "index=off,workdir=/s/9/work,upperdir=/s/9/fs,lowerdir=/s/2/fs:/s/1/fs".to_owned();
        assert_eq!(shorten(&mut data).unwrap(), Path::new("/s"));
        assert_eq!(data, "index=off,workdir=/s/9/work,upperdir=/s/9/fs,lowerdir=2/fs:1/fs");
        assert_eq!(shorten(&mut "lowerdir=a:b".to_owned()), None);
        assert_eq!(shorten(&mut "upperdir=/a".to_owned()), None);
    }
}
