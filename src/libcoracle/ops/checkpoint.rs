//! `checkpoint`: saves a container's processes with CRIU, and ends them.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use coracle_cgroup::Layout;
use coracle_plan::{CreateOptions as PlanOptions, Plan};
use coracle_sys::Errno;
use coracle_sys::clone::{pidfd_getfd, pidfd_open};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::Pid;
use oci_spec::runtime::Spec;

use super::delete::destroy;
use crate::bundle;
use crate::criu::Criu;
use crate::criu::images::{Images, resolve};
use crate::criu::options::{CriuOptions, Dump, Places, Shared, dump, external_name};
use crate::criu::rpc::{Kind as Request, Reply};
use crate::criu::streams;
use crate::error::{Context, Error, Kind, Result};
use crate::host;
use crate::id::ContainerId;
use crate::notify;
use crate::store::record::State;
use crate::store::status::Status;
use crate::store::{Entry, Root};

/// How a container is to be saved.
#[derive(Debug, Clone, Default)]
pub struct CheckpointOptions {
    pub criu: CriuOptions,
    /// The images of an earlier checkpoint, relative to these: only what has changed since is saved.
    pub parent_path: Option<PathBuf>,
    /// Address and port of who takes the pages of memory.
    pub page_server: Option<(String, u16)>,
    pub leave_running: bool,
    /// Save memory only, as a parent for the next checkpoint.
    pub pre_dump: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    /// A descriptor that gets a byte 0 and is closed once pages can be asked for.
    pub status_fd: Option<i32>,
}

const LOG: &str = "dump.log";

/// Saves the running or paused container `id`. Unless it is to go on it is gone then.
///
/// # Errors
/// [`Kind::InvalidState`] if it does not run, or CRIU cannot save it: it goes on as it was.
pub fn checkpoint(root: &Root, id: &ContainerId, opts: &CheckpointOptions) -> Result<()> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    match Status::of(&entry, &state)? {
        Status::Running | Status::Paused => {}
        status => {
            let text = format!("Container cannot be checkpointed in {status} state");
            return Err(Error::new(Kind::InvalidState, text));
        }
    }
    let host = host::probe(&Layout::detect()?)?;
    if host.euid != 0 || host.in_userns {
        tracing::warn!("coracle checkpoint is untested with rootless containers");
    }
    let mut status_fd = opts.status_fd.map(StatusFd::take).transpose()?;
    let mut criu = Criu::for_dump()?;
    criu.check_version()?;
    let images = Images::create(&opts.criu)?;
    check_parent(opts)?;
    check_features(&mut criu, opts)?;
    let spec = spec(&entry, &state)?;
    let cgroups = state.cgroup.paths();
    let (bundle, rootfs) = (state.bundle.clone(), state.rootfs.clone());
    let options = PlanOptions { id: id.to_string(), bundle, rootfs, cgroups, ..PlanOptions::default() };
    let plan = Plan::create(&spec, &host, &options)?;
    let shared = Shared::of(&plan, &options.cgroups);
    shared.check()?;
    let mounts = if opts.pre_dump { Vec::new() } else { mounts(&shared, &state)? };
    let (images_fd, work_fd) = images.descriptors();
    let config = state.criu_config();
    let places = Places { images: images_fd, work: work_fd, log: LOG, root: &state.rootfs, config, mounts: &mounts };
    let freezer = options.cgroups.get("freezer").or_else(|| options.cgroups.get(""));
    let outside = streams::outside(state.init.pid);
    let told = Dump {
        pid: state.init.pid,
        leave_running: opts.leave_running,
        tcp_skip_in_flight: opts.tcp_skip_in_flight,
        link_remap: opts.link_remap,
        parent: opts.parent_path.as_deref(),
        page_server: opts.page_server.as_ref(),
        freezer: freezer.map(PathBuf::as_path),
        namespaces: namespaces(&shared)?,
        streams: outside.iter().flatten().cloned().collect(),
    };
    if !opts.pre_dump {
        let named = streams(&state).into_iter().zip(outside);
        images.keep_streams(&named.map(|(path, name)| name.unwrap_or(path)).collect::<Vec<_>>())?;
    }
    let request = if opts.pre_dump { Request::PreDump } else { Request::Dump };
    let mut notified = |reply: &Reply, _| match status_fd.take_if(|_| reply.script == "status-ready") {
        Some(fd) => fd.tell(),
        None => Ok(()),
    };
    let done = criu.work(request, &dump(&opts.criu, &places, &told), &mut notified);
    done.map_err(|failure| failure.explained(&images, LOG))?;
    if opts.leave_running || opts.pre_dump { Ok(()) } else { destroy(&entry, &state) }
}

/// What went in and out of the container when it was made; its terminal is its own.
fn streams(state: &State) -> Vec<String> {
    if state.streams.is_empty() { vec!["/dev/null".to_owned(); 3] } else { state.streams.clone() }
}

/// The configuration as the container was created from it.
fn spec(entry: &Entry, state: &State) -> Result<Spec> {
    let spec = bundle::parse("config.json", &entry.config()?, &mut Vec::new())?;
    if state.notify { notify::with_mount(&spec, entry.path()) } else { Ok(spec) }
}

/// The images to compare with must be there, and may be moved together with these.
fn check_parent(opts: &CheckpointOptions) -> Result<()> {
    let Some(parent) = &opts.parent_path else { return Ok(()) };
    if parent.components().any(|part| matches!(part, Component::RootDir)) {
        return Err(Error::new(Kind::InvalidConfig, "--parent-path must be relative"));
    }
    let path = opts.criu.image_path.join(parent);
    let found = std::fs::metadata(&path).context(|| format!("invalid --parent-path: {}", path.display()))?;
    if found.is_dir() {
        return Ok(());
    }
    Err(Error::system(format!("invalid --parent-path: {}", path.display()), Errno::ENOTDIR))
}

fn check_features(criu: &mut Criu, opts: &CheckpointOptions) -> Result<()> {
    if !opts.pre_dump && !opts.criu.lazy_pages {
        return Ok(());
    }
    let (tracks_memory, lazy_pages) = criu.features()?;
    let missing = match (opts.pre_dump && !tracks_memory, opts.criu.lazy_pages && !lazy_pages) {
        (true, _) => "--pre-dump: this kernel does not track changes of memory (CONFIG_MEM_SOFT_DIRTY)",
        (_, true) => "--lazy-pages: this kernel or criu lacks userfaultfd",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Unsupported, missing))
}

/// The mounts of the host's: where each is in the container, and the name it has in the images, which is where `restore`
/// will look for its mount point.
fn mounts(shared: &Shared, state: &State) -> Result<Vec<(PathBuf, PathBuf)>> {
    let open = |path: PathBuf| File::open(&path).context(|| format!("open {}", path.display()));
    let (inside, rootfs) =
        (open(Path::new("/proc").join(state.init.pid.to_string()).join("root"))?, open(state.rootfs.clone())?);
    let mut mounts = Vec::new();
    for (target, _) in &shared.mounts {
        mounts.push((resolve(&inside, target)?, resolve(&rootfs, target)?));
    }
    for path in &shared.masked {
        let at = resolve(&inside, path)?;
        let masked =
            Path::new("/proc").join(state.init.pid.to_string()).join("root").join(at.strip_prefix("/").unwrap_or(&at));
        // Directories are covered by a filesystem of the container's own.
        if std::fs::symlink_metadata(masked).is_ok_and(|found| !found.is_dir()) {
            mounts.push((at, "/dev/null".into()));
        }
    }
    Ok(mounts)
}

/// The namespaces that are found by name, with their inodes.
fn namespaces(shared: &Shared) -> Result<Vec<(coracle_plan::namespaces::Kind, u64)>> {
    let named = shared.namespaces.iter().filter(|(kind, ..)| external_name(*kind).is_some());
    let inode =
        |path: &PathBuf| std::fs::metadata(path).context(|| format!("look at {}", path.display())).map(|f| f.ino());
    named.map(|(kind, path, _)| Ok((*kind, inode(path)?))).collect()
}

/// The descriptor of `--status-fd`.
struct StatusFd {
    number: i32,
    copy: OwnedFd,
}

impl StatusFd {
    fn take(number: i32) -> Result<StatusFd> {
        let invalid = || format!("invalid --status-fd argument {number}");
        let copy = pidfd_open(Pid::this()).and_then(|own| pidfd_getfd(std::os::fd::AsFd::as_fd(&own), number));
        let copy = copy.context(invalid)?;
        let flags = OFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFL).context(invalid)?);
        if flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
            return Err(Error::new(Kind::InvalidConfig, format!("{}: not writable", invalid())));
        }
        Ok(StatusFd { number, copy })
    }

    /// Whoever waits for the byte may wait for the end instead: nobody keeps it open here.
    fn tell(self) -> Result<()> {
        if let Err(errno) = nix::unistd::write(&self.copy, &[0]) {
            tracing::warn!("{}", Error::system("write to --status-fd", errno));
        }
        drop(self.copy);
        nix::unistd::close(self.number.as_raw_fd()).context(|| "close --status-fd")
    }
}
