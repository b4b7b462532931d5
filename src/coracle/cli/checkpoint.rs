//! `coracle checkpoint`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use libcoracle::{CgroupsMode, CheckpointOptions, ContainerId, CriuOptions, ops};

use super::create::absolute;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Save a running container with CRIU, and delete it
///
/// Writes images of all its processes into a directory, from which `coracle restore` makes them again as they were. Needs
/// the program criu.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Checkpoint {
    #[command(flatten)]
    criu: CriuArgs,
    /// Save only what has changed since the images in DIR, relative to --image-path
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Let the container go on
    #[arg(long)]
    leave_running: bool,
    /// Do not save TCP connections that are not yet accepted
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Save open files that have been deleted by giving them names again
    #[arg(long)]
    link_remap: bool,
    /// Write a byte 0 to descriptor N and close it when pages can be had (--lazy-pages)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    status_fd: Option<i32>,
    /// Send the pages of memory to a page server of CRIU's
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// Save memory only and let the container go on: the next one saves what has changed
    #[arg(long)]
    pre_dump: bool,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

/// The options of both commands that call CRIU.
#[derive(Debug, Args)]
pub struct CriuArgs {
    /// Directory of the images [default: ./checkpoint]
    #[arg(long, value_name = "DIR")]
    image_path: Option<PathBuf>,
    /// Directory of logs and work files [default: that of the images]
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// Save and restore open TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Allow UNIX sockets whose other end is outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// Allow processes of a session whose leader is outside, as those of a shell's job are
    #[arg(long)]
    shell_job: bool,
    /// Save and restore locks on files
    #[arg(long)]
    file_locks: bool,
    /// Leave pages of memory where they are until they are needed (userfaultfd)
    #[arg(long)]
    lazy_pages: bool,
    /// What to do with cgroups and limits: soft, full, strict or ignore [default: soft]
    #[arg(long, value_name = "MODE")]
    manage_cgroups_mode: Option<String>,
    /// Make this namespace anew and leave it empty: network, which always is so
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<String>,
    /// Drop pages from images as soon as they are elsewhere
    #[arg(long)]
    auto_dedup: bool,
}

impl CriuArgs {
    /// The library's options.
    pub fn options(&self) -> Result<CriuOptions, Failure> {
        if let Some(name) = self.empty_ns.iter().find(|name| *name != "network") {
            return Err(Failure::new(format!("namespace {name:?} is not supported")));
        }
        Ok(CriuOptions {
            image_path: absolute(self.image_path.as_deref().unwrap_or(Path::new("checkpoint")))?,
            work_path: self.work_path.as_deref().map(absolute).transpose()?,
            tcp_established: self.tcp_established,
            ext_unix_sk: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            lazy_pages: self.lazy_pages,
            auto_dedup: self.auto_dedup,
            manage_cgroups_mode: match self.manage_cgroups_mode.as_deref() {
                None => CgroupsMode::Default,
                Some("soft") => CgroupsMode::Soft,
                Some("full") => CgroupsMode::Full,
                Some("strict") => CgroupsMode::Strict,
                Some("ignore") => CgroupsMode::Ignore,
                Some(_) => return Err(Failure::new("Invalid manage-cgroups-mode value")),
            },
        })
    }
}

/// An address and a port; an IPv6 address is in brackets.
fn page_server(text: &str) -> Result<(String, u16), Failure> {
    let parts = text.rsplit_once(':').filter(|(address, port)| !address.is_empty() && !port.is_empty());
    let (address, port) = parts.ok_or_else(|| Failure::new("Use --page-server ADDRESS:PORT to specify page server"))?;
    let port = port.parse().map_err(|_| Failure::new("Invalid port number"))?;
    let inner = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    Ok((inner.unwrap_or(address).to_owned(), port))
}

impl Checkpoint {
    fn options(&self) -> Result<CheckpointOptions, Failure> {
        // -1 is runc's word for none.
        let status_fd = self.status_fd.filter(|number| *number != -1);
        Ok(CheckpointOptions {
            criu: self.criu.options()?,
            parent_path: self.parent_path.clone(),
            page_server: self.page_server.as_deref().map(page_server).transpose()?,
            leave_running: self.leave_running,
            pre_dump: self.pre_dump,
            tcp_skip_in_flight: self.tcp_skip_in_flight,
            link_remap: self.link_remap,
            status_fd,
        })
    }

    fn checkpoint(&self, id: &ContainerId, call: &Call) -> Result<(), Failure> {
        Ok(ops::checkpoint(&call.global.root()?, id, &self.options()?)?)
    }
}

impl Verb for Checkpoint {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        self.checkpoint(&id, call).map_err(|failure| failure.during("checkpoint", &id))?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_servers() {
        assert_eq!(page_server("10.0.0.1:27").unwrap(), ("10.0.0.1".to_owned(), 27));
        assert_eq!(page_server("[::1]:65535").unwrap(), ("::1".to_owned(), 65535));
        for text in ["", ":", "a", "a:", ":1", "a:65536", "a:b", "a:-1"] {
            assert!(page_server(text).is_err(), "{text}");
        }
    }
}
