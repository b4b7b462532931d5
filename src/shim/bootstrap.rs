//! `start`: containerd asks for the shim of a container. It gets a new one, or that of the container's group.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use coracle_sys::directories;
use sha2::{Digest, Sha256};

use crate::args::Args;
use crate::client;
use crate::config;
use crate::error::{Doing, Error, Result};
use crate::options::Options;
use crate::starter::Starting;

/// Where shims listen, unless containerd says otherwise.
pub const SOCKETS: &str = "/run/containerd/s";
/// Where the address of a container's shim is written, for a containerd that is started anew.
pub const ADDRESS: &str = "address";
/// In the environment: containerd's socket of the ttrpc kind, for events.
pub const EVENTS: &str = "TTRPC_ADDRESS";
/// What containerd may write to standard input, in bytes.
const INPUT: u64 = 10 << 20;
/// What a thread needs, in bytes; the standard library takes it from its environment.
const STACK: &str = "262144";

/// What containerd says on standard input: since 2.3 everything, before that the runtime's options or nothing.
struct Asked {
    options: Options,
    /// containerd's sockets, of the gRPC and the ttrpc kind.
    address: String,
    events: String,
    sockets: String,
    since_2_3: bool,
}

/// Starts the shim, or finds it, and prints its address.
pub fn start(args: &Args) -> Result<()> {
    let asked = Asked::read(args)?;
    let group = config::group(Path::new(".")).unwrap_or_else(|| args.id.clone());
    let path = socket(&asked.sockets, &asked.address, &args.namespace, &group);
    let mut waiting = None;
    if let Some(listener) = listen(&path)? {
        waiting = Some(serve(args, &asked, &path, listener).inspect_err(|_| {
            let _ = std::fs::remove_file(&path);
        })?);
    }
    let address = format!("unix://{path}");
    std::fs::write(ADDRESS, &address).doing(|| format!("write {ADDRESS}"))?;
    answer(&address, asked.since_2_3)?;
    waiting.map_or(Ok(()), Starting::told)
}

impl Asked {
    fn read(args: &Args) -> Result<Asked> {
        let mut input = Vec::new();
        std::io::stdin().take(INPUT).read_to_end(&mut input).doing(|| "read standard input".into())?;
        // The older message is one of the newer kind too, but of another container.
        let params = BootstrapParams::parse_from_bytes(&input).ok().filter(|params| params.instance_id == args.id);
        let Some(params) = params.filter(|_| !input.is_empty()) else {
            let any =
                Any::parse_from_bytes(&input).map_err(|error| Error::invalid(format!("read options: {error}")))?;
            return Ok(Asked {
                options: Options::from_any(Some(&any))?,
                address: args.address.clone(),
                events: std::env::var(EVENTS).unwrap_or_else(|_| format!("{}.ttrpc", args.address)),
                sockets: SOCKETS.into(),
                since_2_3: false,
            });
        };
        let options = params.extensions.iter().filter_map(|extension| extension.value.as_ref());
        let options = options.map(|any| Options::from_any(Some(any))).find_map(std::result::Result::ok);
        Ok(Asked {
            options: options.unwrap_or_default(),
            address: params.containerd_grpc_address,
            events: params.containerd_ttrpc_address,
            sockets: params.socket_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| SOCKETS.into()),
            since_2_3: true,
        })
    }
}

/// The name containerd's own tools look for: a digest, as paths of sockets are short.
pub fn socket(sockets: &str, address: &str, namespace: &str, group: &str) -> String {
    let name = Sha256::digest(Path::new(address).join(namespace).join(group).as_os_str().as_encoded_bytes());
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{sockets}/{name}")
}

/// Listens at `path`; `None` if a shim does so already.
fn listen(path: &str) -> Result<Option<UnixListener>> {
    for dir in [Path::new(SOCKETS), Path::new(path).parent().unwrap_or(Path::new("/"))] {
        directories::make(dir, 0o777).doing(|| format!("create {}", dir.display()))?;
    }
    match UnixListener::bind(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
        bound => return bound.map(Some).doing(|| format!("listen on {path}")),
    }
    if client::lives(path)? {
        return Ok(None);
    }
    // Left behind by one that was killed, unless it has removed it at its end.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.doing(|| format!("remove {path}"))?,
    }
    UnixListener::bind(path).map(Some).doing(|| format!("listen on {path}"))
}

/// Starts the process that serves, with the listener as its standard input, and waits until it does.
fn serve(args: &Args, asked: &Asked, path: &str, listener: UnixListener) -> Result<Starting> {
    let program = std::env::current_exe().doing(|| "find the shim".into())?;
    let mut command = Command::new(program);
    command.args(["-namespace", &args.namespace, "-id", &args.id, "-address", &asked.address, "-socket", path]);
    command.env(EVENTS, &asked.events);
    // One heap for all threads, and small stacks: there is a shim for every pod.
    command.env("MALLOC_ARENA_MAX", "1").env("RUST_MIN_STACK", STACK);
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let (mut starting, mut child) = Starting::spawn(command)?;
    let serves = place(child.id(), &asked.options).and_then(|()| starting.begin());
    if serves.is_err() {
        let _ = (child.kill(), child.wait());
    }
    serves.map(|()| starting)
}

/// Puts the shim where it is to be, before anything happens in it.
fn place(pid: u32, options: &Options) -> Result<()> {
    std::fs::write("shim.pid", pid.to_string()).doing(|| "write shim.pid".into())?;
    if !options.shim_cgroup.is_empty() {
        coracle_cgroup::join(Path::new(&options.shim_cgroup), nix::unistd::Pid::from_raw(pid as i32))
            .map_err(|error| Error::new(format!("put shim into its cgroup: {error}")))?;
    }
    // A container is to be killed before its shim, and that before containerd.
    let own = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", nix::unistd::getppid())).unwrap_or_default();
    if let Ok(score @ ..1000) = own.trim().parse::<i32>() {
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), (score + 1).to_string());
    }
    Ok(())
}

fn answer(address: &str, since_2_3: bool) -> Result<()> {
    // Without a version it is taken for one of the older service, which is served too.
    let mut answer = address.as_bytes().to_vec();
    if since_2_3 {
        let result = BootstrapResult {
            version: TASK_API_VERSION,
            address: address.to_owned(),
            protocol: "ttrpc".into(),
            ..BootstrapResult::default()
        };
        answer = result.write_to_bytes().map_err(|error| Error::new(format!("encode answer: {error}")))?;
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(&answer).and_then(|()| stdout.flush()).doing(|| "write answer".into())
}
