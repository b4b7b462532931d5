//! containerd's shim for coracle: the process between containerd and the containers of a pod, which outlives containerd.
//!
//! `start` makes it (`bootstrap`), then it answers containerd's requests (`service`, over the verbs in `shim` and
//! `verbs`), follows the processes of its containers (`exits`, `tasks`) and tells what happens to them (`events`). `delete`
//! cleans up after one that is gone (`cleanup`).

#![forbid(unsafe_code)]

mod args;
mod bootstrap;
mod cleanup;
mod client;
mod config;
mod console;
mod error;
mod events;
mod exits;
mod info;
mod io;
mod log;
mod logger;
mod metrics;
mod mounts;
mod options;
mod process;
mod record;
mod runtime;
mod service;
mod shim;
mod starter;
mod tasks;
mod verbs;

use std::os::fd::{AsFd, IntoRawFd};
use std::process::ExitCode;
use std::sync::Arc;

use containerd_shim_protos::create_task;
use containerd_shim_protos::ttrpc::Server;

use crate::args::{Action, Args};
use crate::error::{Doing, Error, Result};
use crate::events::Events;
use crate::service::Service;
use crate::shim::Shim;
use crate::starter::Starter;

/// Before each error.
const PREFIX: &str = "containerd-shim-coracle-v2: ";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let outcome = if words.next_if(|word| word == logger::BECOME).is_some() {
        logger::become_logger(words)
    } else {
        Args::parse(words).and_then(|args| run(&args))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PREFIX}{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    match args.action {
        Action::Start => bootstrap::start(args),
        Action::Delete => cleanup::delete(args),
        Action::Info => info::print(),
        Action::Version => {
            println!("containerd-shim-coracle-v2 version {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Action::Serve => serve(args).inspect_err(|error| log::error(error)),
    }
}

/// Answers requests at the listener that is this process's standard input, until containerd says that it is done.
fn serve(args: &Args) -> Result<()> {
    if args.socket.is_empty() {
        return Err(Error::invalid("serve: containerd starts a shim by its command start"));
    }
    let unneeded = |_: &Error| drop(std::fs::remove_file(&args.socket));
    let starter = Starter::wait().inspect_err(unneeded)?;
    let (shim, _server) = listen(args).inspect_err(unneeded)?;
    starter.serves().inspect_err(unneeded)?;
    shim.follow()
}

/// From now on requests are answered, by the server's threads.
fn listen(args: &Args) -> Result<(Arc<Shim>, Server)> {
    let stdin = std::io::stdin();
    let listener = stdin.as_fd().try_clone_to_owned().doing(|| "take over the listener".into())?;
    let null = std::fs::File::open("/dev/null").doing(|| "open /dev/null".into())?;
    nix::unistd::dup2_stdin(null).doing(|| "replace standard input".into())?;
    nix::unistd::setsid().doing(|| "start a session".into())?;
    // Containers become children of this process when the runtime that made them ends.
    nix::sys::prctl::set_child_subreaper(true).doing(|| "become subreaper".into())?;

    let address = std::env::var(bootstrap::EVENTS).unwrap_or_default();
    let socket = args.socket.clone();
    let at_end = move || {
        let _ = std::fs::remove_file(socket);
        std::process::exit(0);
    };
    let events = Events::start(address, args.namespace.clone(), at_end)?;
    let shim = Arc::new(Shim::new(args.namespace.clone(), events));
    let methods = create_task(Arc::new(Service(shim.clone())));
    let older = create_task(Arc::new(Service(shim.clone())));
    let older = older.into_iter().map(|(name, method)| (name.replace(".v3.", ".v2."), method)).collect();
    let failed = |error| Error::new(format!("serve: {error}"));
    let server = Server::new().add_listener(listener.into_raw_fd()).map_err(failed)?;
    let server = server.register_service(methods).register_service(older);
    // One request may run while another waits; more threads come when they are needed.
    let mut server = server.set_thread_count_min(1).set_thread_count_default(2).set_thread_count_max(3);
    server.start().map_err(failed)?;
    Ok((shim, server))
}
