//! From an image's configuration to a `config.json`: a pure function, by the rules of the image specification
//! (conversion.md) and what the caller wants otherwise.

mod annotations;
mod mounts;
mod options;
mod seccomp;
mod user;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use serde_json::{Value, json};

pub use mounts::{EmptyBind, Network, Volume};
pub use options::{Filter, Options};
pub use user::{Accounts, Ids};

use crate::configuration::Configuration;
use crate::error::{Error, Result};

/// The default configuration of the runtime, which this one starts from.
const BASE: &str = include_str!("../../config.json.example");

/// The search path of an image that has none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container may do unless it is said otherwise: what servers that give up root need to do so.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What of the machine the configuration depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    /// There is only the unified cgroup hierarchy.
    pub cgroup_v2: bool,
    /// The caller is in a user namespace and has no privilege over the machine.
    pub rootless: bool,
    /// There is no other user and group than root in that namespace.
    pub one_id: bool,
}

/// A configuration, and what of the image or of the call was left out of it.
#[derive(Debug)]
pub struct Converted {
    pub config: Value,
    /// Binds of empty directories, for the volumes of the image.
    pub volumes: Vec<EmptyBind>,
    pub warnings: Vec<String>,
}

/// The configuration of a container of `image` in the bundle at `bundle`.
pub fn convert(
    image: &Configuration,
    accounts: &Accounts,
    options: &Options,
    machine: Machine,
    bundle: &Path,
) -> Result<Converted> {
    let mut config: Value = serde_json::from_str(BASE)
        .map_err(|error| Error::invalid(format!("parse the default configuration: {error}")))?;
    let own = &image.config;
    let ids = accounts.find(options.user.as_deref().unwrap_or(&own.user))?;
    if machine.one_id && (ids.uid, ids.gid) != (0, 0) {
        let (uid, gid) = (ids.uid, ids.gid);
        return Err(Error::invalid(format!(
            "user {uid}:{gid} of the image needs a range of ids in /etc/subuid and /etc/subgid"
        )));
    }
    let capabilities = capabilities(options)?;
    let process = &mut config["process"];
    process["terminal"] = json!(options.terminal);
    process["user"] = json!({"uid": ids.uid, "gid": ids.gid});
    if !ids.additional.is_empty() && !machine.one_id {
        process["user"]["additionalGids"] = json!(ids.additional);
    }
    process["args"] = json!(arguments(image, options)?);
    process["env"] = json!(environment(image, options)?);
    process["cwd"] = json!(working_directory(options.workdir.as_deref().unwrap_or(&own.working_dir))?);
    process["noNewPrivileges"] = json!(options.no_new_privileges);
    // Root of the container has them at once; who is not root can get them by programs that grant them.
    let held: &[String] = if ids.uid == 0 { &capabilities } else { &[] };
    process["capabilities"] = json!({"bounding": capabilities, "effective": held, "permitted": held});
    // The caller's own limits hold.
    remove(process, "rlimits");
    config["root"]["readonly"] = json!(options.read_only);
    config["hostname"] = json!(options.hostname);
    let mut warnings = Vec::new();
    let annotations = annotations::annotations(image, options, &mut warnings);
    if !annotations.is_empty() {
        config["annotations"] = json!(annotations);
    }
    linux(&mut config["linux"], options, machine);
    match &options.seccomp {
        Filter::Default => config["linux"]["seccomp"] = seccomp::profile(&capabilities),
        Filter::Unconfined => (),
        Filter::Given(profile) => config["linux"]["seccomp"] = profile.clone(),
    }
    let volumes = mounts::mounts(&mut config["mounts"], image, options, machine, bundle)?;
    Ok(Converted { config, volumes, warnings })
}

fn remove(value: &mut Value, member: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(member);
    }
}

/// Entrypoint and command. Another entrypoint takes the image's command away, as its arguments they make no sense.
fn arguments(image: &Configuration, options: &Options) -> Result<Vec<String>> {
    let own = &image.config;
    let entrypoint = match &options.entrypoint {
        Some(text) if text.is_empty() => Vec::new(),
        Some(text) => vec![text.clone()],
        None => own.entrypoint.clone(),
    };
    let command = if !options.args.is_empty() {
        &options.args
    } else if options.entrypoint.is_some() {
        &Vec::new()
    } else {
        &own.cmd
    };
    let args: Vec<String> = entrypoint.into_iter().chain(command.iter().cloned()).collect();
    match args.first() {
        None => Err(Error::invalid("the image names no program; give one after --")),
        Some(program) if program.is_empty() => Err(Error::invalid("the program of the image has an empty name")),
        Some(_) if args.iter().any(|arg| arg.contains('\0')) => {
            Err(Error::invalid("an argument of the image's program has a zero byte"))
        }
        Some(_) => Ok(args),
    }
}

/// The image's variables with the caller's over them, each name once.
fn environment(image: &Configuration, options: &Options) -> Result<Vec<String>> {
    let mut list: Vec<String> = Vec::new();
    // An image may have very many.
    let mut places: HashMap<String, usize> = HashMap::new();
    let term = options.terminal.then(|| "TERM=xterm".to_owned());
    let defaults = std::iter::once(PATH.to_owned()).chain(term);
    for entry in defaults.chain(image.config.env.iter().cloned()).chain(options.env.iter().cloned()) {
        if !entry.contains('=') || entry.starts_with('=') || entry.contains('\0') {
            return Err(Error::invalid(format!("environment variable {entry:?} is not NAME=VALUE")));
        }
        let name = entry.split('=').next().unwrap_or_default().to_owned();
        match places.entry(name) {
            Entry::Occupied(known) => list[*known.get()] = entry,
            Entry::Vacant(place) => {
                place.insert(list.len());
                list.push(entry);
            }
        }
    }
    Ok(list)
}

/// A relative one begins at the root, as for Docker.
fn working_directory(text: &str) -> Result<String> {
    if text.contains('\0') {
        return Err(Error::invalid("the working directory of the image has a zero byte"));
    }
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

fn capabilities(options: &Options) -> Result<Vec<String>> {
    let mut set: Vec<String> = CAPABILITIES.iter().map(|&name| name.to_owned()).collect();
    let full = |name: &str| -> Result<String> {
        let upper = name.to_ascii_uppercase();
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if options::ALL_CAPABILITIES.contains(&full.as_str()) || full == "CAP_ALL" {
            Ok(full)
        } else {
            Err(Error::invalid(format!("unknown capability {name:?}")))
        }
    };
    // Dropping all and adding some is what people write, in either order.
    for name in &options.cap_drop {
        let name = full(name)?;
        set.retain(|own| name != "CAP_ALL" && *own != name);
    }
    for name in &options.cap_add {
        match full(name)?.as_str() {
            "CAP_ALL" => set = options::ALL_CAPABILITIES.iter().map(|&name| name.to_owned()).collect(),
            name => set.push(name.to_owned()),
        }
    }
    set.sort_unstable();
    set.dedup();
    Ok(set)
}

/// Namespaces, limits and hidden paths.
fn linux(linux: &mut Value, options: &Options, machine: Machine) {
    let mut kinds = vec!["pid", "ipc", "uts", "mount"];
    if machine.cgroup_v2 {
        kinds.push("cgroup");
    }
    let mut namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    match &options.network {
        Network::Host => (),
        Network::None => namespaces.push(json!({"type": "network"})),
        Network::Namespace(path) => namespaces.push(json!({"type": "network", "path": path})),
    }
    linux["namespaces"] = json!(namespaces);
    let mut resources = json!({});
    // Who may not write cgroups cannot have device rules either; the user namespace keeps devices away.
    if !machine.rootless {
        resources["devices"] = json!([{"allow": false, "access": "rwm"}]);
    }
    if let Some(memory) = options.memory {
        resources["memory"] = json!({"limit": memory});
    }
    if let Some(cpus) = options.cpus {
        resources["cpu"] = json!({"quota": cpus.saturating_mul(100), "period": 100_000});
    }
    if let Some(limit) = options.pids_limit {
        resources["pids"] = json!({"limit": limit});
    }
    linux["resources"] = resources;
    // Power management and the interrupts' names of the machine are nobody's business either.
    for path in ["/proc/interrupts", "/sys/devices/virtual/powercap"] {
        if let Some(masked) = linux["maskedPaths"].as_array_mut() {
            masked.push(json!(path));
        }
    }
}

#[cfg(test)]
mod tests;
