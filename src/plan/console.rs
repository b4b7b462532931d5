//! The terminal: opened in the container's devpts, its other side handed to whoever talks to it.

use std::ffi::CStr;

use oci_spec::runtime::Process;

use crate::invalid::Invalid;
use crate::source::Source;
use crate::step::Step;
use crate::{CreateOptions, Plan, Result};

/// The terminal of `process`, if it wants one.
pub fn create(plan: &mut Plan, process: &Process, opts: &CreateOptions) -> Result<()> {
    if !process.terminal().unwrap_or(false) {
        plan.init.push(Step::NullStdio);
        return Ok(());
    }
    let side = |name, length: u64| {
        let problem = || Invalid::new(format!("/process/consoleSize/{name}"), format!("{length} is above 65535"));
        u16::try_from(length).map_err(|_| problem())
    };
    let size = process.console_size().map(|size| Ok((side("height", size.height())?, side("width", size.width())?)));
    let size = size.transpose()?;
    let socket = opts.console_socket.clone().map(|path| plan.source(Source::Connect(path)));
    plan.init.extend([Step::OpenPty { size }, Step::SendPty(socket), Step::Console, Step::Stdio]);
    Ok(())
}

/// Hands a pidfd of the process to whoever asked for one; `name` says what sort of process it is.
pub fn pidfd(plan: &mut Plan, name: &CStr, opts: &CreateOptions) {
    for path in opts.pidfd_socket.iter().chain(&opts.extras.pidfd_receiver) {
        let slot = plan.source(Source::Connect(path.clone()));
        plan.init.push(Step::SendPidfd { slot, name: name.to_owned() });
    }
}

/// The terminal of a further process: the same, but /dev/console stays the first one's.
pub fn exec(plan: &mut Plan, process: &Process, opts: &CreateOptions) -> Result<()> {
    let before = plan.init.len();
    create(plan, process, opts)?;
    let added = plan.init.split_off(before);
    plan.init.extend(added.into_iter().filter(|step| !matches!(step, Step::Console)));
    Ok(())
}
