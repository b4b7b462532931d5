//! A bundle: the directory, its config.json as it was read, and what it says.
//!
//! Reading is a comparison of the text with the tables of `schema`, which gives the errors, and then serde's way into the
//! types of the specification; only what those cannot take goes through `adapt` first.

mod adapt;
mod check;
mod file;
mod schema;
mod unknown;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use coracle_plan::Invalid;
use coracle_sys::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Context, Error, Kind, Result};
use check::Refusal;
use schema::Shape;
pub use schema::words;
pub use unknown::members_unknown;

/// An opened bundle.
#[derive(Debug)]
pub struct Bundle {
    files: Files,
    spec: Spec,
    warnings: Vec<String>,
}

/// The directory of a bundle and the text of its configuration, whatever that says.
#[derive(Debug)]
pub struct Files {
    dir: OwnedFd,
    path: PathBuf,
    /// That of the configuration, for messages.
    pub name: String,
    pub config: Vec<u8>,
    trusted: bool,
}

impl Files {
    /// Reads the configuration `config`, or else config.json, of the bundle in `dir`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] without a configuration.
    pub fn open(dir: &Path, config: Option<&Path>) -> Result<Files> {
        let (dir, path) = file::directory(dir)?;
        let file = config.unwrap_or(Path::new("config.json"));
        let file::Read { bytes, owner, open_to_all } = file::read(&dir, file)?;
        let trusted = !open_to_all && (owner == 0 || owner == geteuid().as_raw());
        let name = file.file_name().map_or_else(|| file.display().to_string(), |name| name.display().to_string());
        Ok(Files { dir, path, name, config: bytes, trusted })
    }

    /// The bundle, with what its configuration was found to say.
    pub fn into_bundle(self, spec: Spec, warnings: Vec<String>) -> Bundle {
        Bundle { files: self, spec, warnings }
    }

    /// The directory, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the configuration is root's or the caller's, and nobody else may write to it: only then annotations that
    /// reach the host are obeyed.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The root filesystem of `spec`, absolute and checked to be a directory that is not reached by symbolic links.
    ///
    /// # Errors
    /// [`Invalid`] without such a directory.
    pub fn rootfs(&self, spec: &Spec) -> std::result::Result<PathBuf, Invalid> {
        let root = spec.root().as_ref().ok_or_else(|| Invalid::new("/root", "root must be specified"))?;
        let path: PathBuf = self.path.join(root.path()).components().collect();
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let problem = match openat2(&self.dir, &path, how) {
            Ok(_) => return Ok(path),
            Err(Errno::ELOOP) => "not an absolute path, or a symlink".to_owned(),
            Err(errno) => coracle_sys::describe(errno).to_string(),
        };
        Err(Invalid::new("/root/path", format!("invalid rootfs {}: {problem}", path.display())))
    }
}

impl Bundle {
    /// Reads the bundle in `dir`, with the configuration in `config` if that is given.
    ///
    /// # Errors
    /// [`Kind::NotFound`] without a configuration; [`Kind::InvalidConfig`] with line and column of malformed JSON,
    /// or the JSON pointer of a value that cannot be.
    pub fn open(dir: &Path, config: Option<&Path>) -> Result<Bundle> {
        let files = Files::open(dir, config)?;
        let mut warnings = Vec::new();
        let spec = parse(&files.name, &files.config, &mut warnings)?;
        Ok(files.into_bundle(spec, warnings))
    }

    /// The directory, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// config.json as it was read.
    pub fn config(&self) -> &[u8] {
        &self.files.config
    }

    /// As [`Files::is_trusted`].
    pub fn is_trusted(&self) -> bool {
        self.files.is_trusted()
    }

    /// What was passed over in it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The root filesystem, absolute and checked to be a directory that is not reached by symbolic links.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] without such a directory.
    pub fn rootfs(&self) -> Result<PathBuf> {
        Ok(self.files.rootfs(&self.spec)?)
    }
}

/// Why a text is not what it should be.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read at all.
    Text(String),
    /// A value is wrong.
    Value(Invalid),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Text(problem) => f.write_str(problem),
            Fault::Value(invalid) => invalid.fmt(f),
        }
    }
}

/// Reads a configuration from its text; `file` is its name in messages. What is lost on the way is added to `warnings`.
///
/// # Errors
/// [`Kind::InvalidConfig`] with line and column of malformed JSON, or the JSON pointer of a value that cannot be.
pub fn parse(file: &str, bytes: &[u8], warnings: &mut Vec<String>) -> Result<Spec> {
    spec_of(bytes, warnings).map_err(|fault| refused(file, fault))
}

/// Does what [`parse`] does, for those who want to know where the fault is.
pub fn spec_of(bytes: &[u8], warnings: &mut Vec<String>) -> std::result::Result<Spec, Fault> {
    if bytes.trim_ascii() == b"null" {
        return Err(Fault::Text("config cannot be null".to_owned()));
    }
    let complete = |spec: &Spec| {
        let linux = spec.linux().as_ref();
        linux.and_then(|linux| linux.resources().as_ref()).is_none_or(has_limits)
    };
    read(bytes, &schema::SPEC, complete, |value| adapt::spec(value, warnings))
}

/// Reads an object `process` by itself, as [`parse`] does.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_process(file: &str, bytes: &[u8], warnings: &mut Vec<String>) -> Result<Process> {
    let process = read(bytes, &schema::PROCESS, |_| true, |value| adapt::process(value, warnings));
    process.map_err(|fault| refused(file, fault))
}

/// Reads an object `linux.resources` by itself, as [`parse`] does.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_resources(file: &str, bytes: &[u8]) -> Result<LinuxResources> {
    read(bytes, &schema::RESOURCES, has_limits, adapt::resources).map_err(|fault| refused(file, fault))
}

/// Reads a list `mounts` by itself, or an object that has one.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_mounts(path: &Path) -> Result<Vec<Mount>> {
    let name = path.display().to_string();
    let here = std::path::absolute(path).context(|| format!("find {name}"))?;
    let dir = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).context(|| "open /")?;
    let mut bytes = file::read(&dir, &here)?.bytes;
    if let Ok(Value::Object(mut members)) = serde_json::from_slice(&bytes)
        && let Some(list) = members.remove("mounts")
    {
        bytes = list.to_string().into_bytes();
    }
    read(&bytes, &schema::MOUNTS, |_| true, adapt::forget_nulls).map_err(|fault| refused(&name, fault))
}

/// Whether no limit is 0 for want of a value, as `pids` without a limit is.
fn has_limits(resources: &LinuxResources) -> bool {
    resources.pids().as_ref().is_none_or(|pids| pids.limit() != 0)
}

/// Reads text that must have the form `shape`, and adapts it first if its type cannot take it or it is not `complete`.
fn read<T: DeserializeOwned>(
    bytes: &[u8],
    shape: &'static Shape,
    complete: impl FnOnce(&T) -> bool,
    adapt: impl FnOnce(&mut Value),
) -> std::result::Result<T, Fault> {
    let text = text(bytes).map_err(Fault::Text)?;
    check::check(text, shape).map_err(|refusal| match refusal {
        Refusal::Syntax(error) => Fault::Text(format!("malformed JSON: {error}")),
        Refusal::Value(invalid) => Fault::Value(invalid),
    })?;
    let unreadable = |error: serde_json::Error| Fault::Text(error.to_string());
    if let Some(value) = serde_json::from_str(text).ok().filter(complete) {
        return Ok(value);
    }
    let mut value: Value = serde_json::from_str(text).map_err(unreadable)?;
    adapt(&mut value);
    // As text again: the same reader a second time is much less code than another for values.
    serde_json::from_str(&value.to_string()).map_err(unreadable)
}

fn refused(file: &str, problem: impl std::fmt::Display) -> Error {
    let text = problem.to_string();
    let separator = if text.starts_with('/') { " " } else { ": " };
    Error::new(Kind::InvalidConfig, format!("{file}{separator}{text}"))
}

/// The bytes as UTF-8, which JSON must be.
fn text(bytes: &[u8]) -> std::result::Result<&str, String> {
    let line_of = |end: usize| {
        let before = &bytes[..end];
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        format!("line {} column {column}", before.iter().filter(|byte| **byte == b'\n').count() + 1)
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("malformed JSON: not UTF-8 at {}", line_of(error.valid_up_to())))?;
    match text.chars().next() {
        Some('\u{feff}') => Err("malformed JSON: a byte order mark at line 1 column 1".to_owned()),
        _ => Ok(text),
    }
}
