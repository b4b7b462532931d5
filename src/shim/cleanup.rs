//! `delete`: containerd has lost the shim of a container, or is done with it, and wants nothing of it to be left. The
//! working directory is the bundle.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;

use crate::args::Args;
use crate::bootstrap::{self, ADDRESS};
use crate::client;
use crate::config;
use crate::error::{Doing, Error, Result};
use crate::events::timestamp;
use crate::exits::{Children, Exit};
use crate::options::Options;
use crate::record;
use crate::runtime::Runtime;
use crate::shim::clean_up;
use crate::tasks::read_pid;

/// Removes what is left of the container, and prints how its first process ended.
pub fn delete(args: &Args) -> Result<()> {
    let bundle = std::env::current_dir().doing(|| "find the bundle".into())?;
    let children = Arc::new(Children::default());
    let reaping = children.clone();
    let reap = move || loop {
        reaping.reap(reaping.wait());
    };
    std::thread::Builder::new().spawn(reap).doing(|| "start thread".into())?;
    let options = Options::load(&bundle)?.unwrap_or_default();
    let runtime = Runtime::new(children, &args.namespace, &bundle, options);
    // Before: what did not end by itself ends by this.
    let ended = record::read(&bundle)?;
    clean_up(&runtime, &args.id, &bundle.join("rootfs"))?;
    remove_socket(args, &bundle)?;
    let (pid, exit) = ended.unwrap_or_else(|| (read_pid(&bundle.join("init.pid")).unwrap_or(0), Exit::killed()));
    let response = DeleteResponse {
        pid,
        exit_status: exit.code,
        exited_at: Some(timestamp(exit.at)).into(),
        ..DeleteResponse::default()
    };
    let answer = response.write_to_bytes().map_err(|error| Error::new(format!("encode answer: {error}")))?;
    std::io::stdout().write_all(&answer).doing(|| "write answer".into())
}

/// A shim that was killed leaves its socket behind; that of a pod may serve others.
fn remove_socket(args: &Args, bundle: &Path) -> Result<()> {
    let path = match std::fs::read_to_string(bundle.join(ADDRESS)) {
        Ok(address) if !address.is_empty() => address.strip_prefix("unix://").unwrap_or(&address).to_owned(),
        // Killed before it said where: there, unless containerd had another place for it.
        _ => {
            let group = config::group(bundle).unwrap_or_else(|| args.id.clone());
            bootstrap::socket(bootstrap::SOCKETS, &args.address, &args.namespace, &group)
        }
    };
    if !client::lives(&path)? {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}
