//! From configuration to a list of operations, without touching the machine.
//!
//! [`Plan::create`] is the table of contents of a container start: read it first. A plan is a pure value: the same
//! configuration, host facts and options always give the same plan, and nothing here reads files, the environment
//! or the clock. The caller opens what [`Plan::sources`] names, clones, and the child carries out [`Plan::init`]
//! step by step.
#![forbid(unsafe_code)]

mod affinity;
pub mod capabilities;
mod cgroup_mounts;
mod console;
pub mod device;
mod devices;
mod environment;
pub mod exec;
pub mod extras;
mod filesystem;
pub mod hints;
pub mod hooks;
pub mod host;
pub mod host_step;
pub mod id_maps;
mod idmap_option;
pub mod invalid;
mod joins;
pub mod live_mounts;
pub mod mount_options;
mod mounts;
pub mod namespaces;
pub mod net_devices;
mod network;
pub mod number_list;
mod paths;
pub mod process;
pub mod rdt;
mod restored;
mod rlimits;
mod rootfs;
mod scheduling;
pub mod seccomp;
mod security;
pub mod source;
pub mod step;
mod sysctl;
mod target;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, Spec};

pub use extras::Extras;
pub use host::{CgroupMode, Host};
pub use host_step::{HookKind, HostStep};
pub use invalid::Invalid;
pub use source::{Slot, Source};
pub use step::{Point, Step};

use namespaces::{Kind, Wanted};

/// The result of planning.
pub type Result<T> = std::result::Result<T, Invalid>;

/// What the caller of `create` or `run` asked for beside the configuration.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The container's id; names the session keyring.
    pub id: String,
    /// Where the bundle is; relative paths of the configuration start there. Absolute.
    pub bundle: PathBuf,
    /// The root filesystem: `root.path`, made absolute by the caller and free of symbolic links.
    pub rootfs: PathBuf,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// Descriptors from 3 up that the program inherits.
    pub preserve_fds: u32,
    /// Variables the runtime adds to the program's environment (`LISTEN_FDS=1`).
    pub extra_env: Vec<String>,
    /// Whether the process waits for `start` before it executes its program.
    pub gate: bool,
    /// Whether the process must be moved into (part of) its cgroup after the clone.
    pub needs_cgroup_join: bool,
    /// The container's cgroups: absolute paths by v1 controller, and that of v2 under the empty name.
    pub cgroups: BTreeMap<String, PathBuf>,
    /// Whether they are there before the clone.
    pub cgroups_made: bool,
    /// What annotations ask for, where they are obeyed.
    pub extras: Extras,
}

/// How a process comes to be, as data.
#[derive(Debug, Default)]
pub struct Plan {
    /// Slot i is filled from source i before the clone.
    pub sources: Vec<Source>,
    /// `CLONE_NEW*` flags.
    pub clone: u64,
    /// `CLONE_NEW*` flags of every namespace that is not the runtime's, new or joined.
    pub namespaces: i32,
    /// Namespaces the parent enters for its children during the clone (pid and time).
    pub around_clone: Vec<(Slot, Kind)>,
    /// Offsets of a new time namespace, as lines of /proc/PID/timens_offsets; the parent makes it around the clone.
    pub time_offsets: Option<String>,
    /// The processors the parent runs on from here, and the child until it is in its cgroup, as a bit mask.
    pub initial_affinity: Option<Vec<u64>>,
    /// A process between parent and child, where namespaces can only be entered on the way.
    pub relay: Option<Relay>,
    /// What the child does.
    pub init: Vec<Step>,
    /// What the parent does when the child reaches a point.
    pub host: Vec<(Point, HostStep)>,
    /// What the user should know although the container starts.
    pub warnings: Vec<String>,
    /// What is done to mounts when everything in them is made.
    late: Vec<Step>,
}

/// A process that enters namespaces, clones the container's process as its own sibling, and ends.
#[derive(Debug, Default)]
pub struct Relay {
    /// `CLONE_NEW*` flags of its own clone.
    pub clone: u64,
    /// What it does before it clones.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The start of a container.
    ///
    /// # Errors
    /// [`Invalid`] with the first value of the configuration that cannot be carried out.
    pub fn create(spec: &Spec, host: &Host, opts: &CreateOptions) -> Result<Plan> {
        let mut plan = Plan::default();
        let wanted = Wanted::from_spec(spec)?;
        plan.namespaces = wanted.flags();
        let process = process::of(spec)?;
        joins::all(&mut plan, spec, &wanted, host, opts.needs_cgroup_join)?;
        network::loopback(&mut plan, &wanted);
        rdt::all(&mut plan, spec)?;
        net_devices::all(&mut plan, spec, &wanted, host)?;
        joins::joined(&mut plan, spec, &wanted);
        namespaces::names(&mut plan, spec, &wanted)?;
        rootfs::attach(&mut plan, spec, &wanted, host, opts)?;
        joins::become_root(&mut plan, &wanted);
        affinity::of(process)?;
        // The runtime's own affinity is its caller's business; the container's processors are those of its cgroup.
        process::session(&mut plan, process, Some(Step::Affinity(None)), host, opts)?;
        mounts::all(&mut plan, spec, &wanted, host, opts)?;
        devices::all(&mut plan, spec, &wanted, host)?;
        hooks::before_pivot(&mut plan, spec)?;
        rootfs::enter(&mut plan, process, &wanted, host, opts)?;
        console::create(&mut plan, process, opts)?;
        console::pidfd(&mut plan, c"standard", opts);
        rootfs::finish_mounts(&mut plan);
        sysctl::all(&mut plan, spec, &wanted)?;
        paths::lock_down(&mut plan, spec, &wanted)?;
        rootfs::lock_down(&mut plan, spec, &wanted)?;
        process::drop_privileges_and_exec(&mut plan, spec, process, host, opts)?;
        Ok(plan)
    }

    /// The mounts of a container and nothing else, in namespaces that end with the process that made them: what is left
    /// is the mount points.
    ///
    /// # Errors
    /// As of [`Plan::create`].
    pub fn mount_points(spec: &Spec, host: &Host, opts: &CreateOptions) -> Result<Plan> {
        let mut plan = Plan::default();
        let wanted = Wanted::from_spec(spec)?;
        joins::all(&mut plan, spec, &wanted, host, false)?;
        rootfs::attach(&mut plan, spec, &wanted, host, opts)?;
        joins::become_root(&mut plan, &wanted);
        mounts::all(&mut plan, spec, &wanted, host, opts)?;
        devices::all(&mut plan, spec, &wanted, host)?;
        rootfs::enter(&mut plan, process::of(spec)?, &wanted, host, opts)?;
        plan.init.push(Step::Sync(Point::Ready));
        Ok(plan)
    }

    /// Gives the mounts of the host's that this start makes the attributes they have after it, in the container whose first
    /// process is `init`: its id and start time.
    pub fn mount_attributes(&self, init: (i32, u64)) -> Plan {
        let mut plan = Plan::default();
        let (pid, start_time) = init;
        let slot = plan.source(Source::Process { pid, start_time });
        plan.init.push(Step::JoinAll { slot, flags: Kind::Mount.flag() });
        plan.init.extend(restored::attributes(self));
        plan.init.push(Step::Sync(Point::Ready));
        plan
    }

    /// Adds a source and returns its slot.
    fn source(&mut self, source: Source) -> Slot {
        self.sources.push(source);
        Slot(self.sources.len() - 1)
    }

    /// The slot of the host's procfs, which is opened once.
    fn proc(&mut self) -> Slot {
        match self.sources.iter().position(|source| *source == Source::Proc) {
            Some(i) => Slot(i),
            None => self.source(Source::Proc),
        }
    }

    /// The host steps of `point`.
    pub fn host_steps(&self, point: Point) -> impl Iterator<Item = &HostStep> {
        self.host.iter().filter(move |(p, _)| *p == point).map(|(_, step)| step)
    }

    /// The hooks of the create phase.
    pub fn hooks(&self) -> impl Iterator<Item = (HookKind, &[Hook])> {
        self.host.iter().filter_map(|(_, step)| match step {
            HostStep::Hooks { kind, hooks } => Some((*kind, hooks.as_slice())),
            _ => None,
        })
    }

    /// The steps after the gate, for the message of the process that opens it.
    pub fn after_gate(&self) -> &[Step] {
        let at = self.init.iter().position(|step| matches!(step, Step::Gate(_)));
        at.map_or(&[], |i| &self.init[i + 1..])
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (i, source) in self.sources.iter().enumerate() {
            writeln!(f, "slot {i}: {source}")?;
        }
        if let Some(mask) = &self.initial_affinity {
            writeln!(f, "run on processors {mask:x?}")?;
        }
        if let Some(relay) = &self.relay {
            writeln!(f, "clone a relay {}", flags(relay.clone))?;
            self.steps(f, &relay.steps)?;
        }
        writeln!(f, "clone {}", flags(self.clone))?;
        for (slot, kind) in &self.around_clone {
            writeln!(f, "  in {kind} namespace ({slot})")?;
        }
        if let Some(offsets) = &self.time_offsets {
            let offsets = offsets.trim_end().replace('\n', ", ");
            writeln!(f, "  in a new time namespace ({})", if offsets.is_empty() { "no offsets" } else { &offsets })?;
        }
        self.steps(f, &self.init)
    }
}

impl Plan {
    fn steps(&self, f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
        for (i, step) in steps.iter().enumerate() {
            writeln!(f, "{i:3} {step}")?;
            let point = match step {
                Step::Sync(point) => Some(*point),
                Step::SeccompListening(_) => Some(Point::Listening),
                _ => None,
            };
            if let Some(point) = point {
                for host in self.host_steps(point) {
                    writeln!(f, "      host: {host}")?;
                }
            }
        }
        Ok(())
    }
}

fn flags(set: u64) -> String {
    const NAMES: [(i32, &str); 6] = [
        (libc::CLONE_NEWUSER, "NEWUSER"),
        (libc::CLONE_NEWNS, "NEWNS"),
        (libc::CLONE_NEWPID, "NEWPID"),
        (libc::CLONE_NEWNET, "NEWNET"),
        (libc::CLONE_NEWIPC, "NEWIPC"),
        (libc::CLONE_NEWUTS, "NEWUTS"),
    ];
    let names = NAMES.iter().filter(|(flag, _)| set & *flag as u64 != 0).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join("|")
}
