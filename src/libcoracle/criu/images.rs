//! The directories CRIU works in: the images, the log, and what the runtime puts beside them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use coracle_sys::directories;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlink};
use nix::unistd::Pid;

use super::options::CriuOptions;
use crate::error::{Context, Error, Kind, Result};

/// What standard input, output and error were, as a JSON array of the names the kernel gives them.
const DESCRIPTORS: &str = "descriptors.json";

/// An error of CRIU's that is none: it asks for more descriptors than it may have, and goes on with fewer.
const HARMLESS: &str = "Can't setup RLIMIT_NOFILE";

/// The directories of one call.
#[derive(Debug)]
pub struct Images {
    path: PathBuf,
    directory: File,
    work: Option<(PathBuf, File)>,
}

impl Images {
    /// Opens the directories, which are made if they are not there.
    pub fn create(opts: &CriuOptions) -> Result<Images> {
        make(&opts.image_path)?;
        Images::open(opts)
    }

    /// Opens the directories; that of the images must be there.
    pub fn open(opts: &CriuOptions) -> Result<Images> {
        let directory = open(&opts.image_path)?;
        let work = match &opts.work_path {
            Some(path) => {
                make(path)?;
                Some((path.clone(), open(path)?))
            }
            None => None,
        };
        Ok(Images { path: opts.image_path.clone(), directory, work })
    }

    /// The same directories as process `pid` sees them: one in another mount namespace can mount only upon what is its own.
    pub fn seen_by(&self, pid: Pid) -> Result<Images> {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        // By what was opened: a symbolic link on the way would lead out of the root of the process again.
        let again = |opened: &File| {
            let path = link(opened)?;
            open(&root.join(path.strip_prefix("/").unwrap_or(&path)))
        };
        let work = match &self.work {
            Some((path, opened)) => Some((path.clone(), again(opened)?)),
            None => None,
        };
        Ok(Images { path: self.path.clone(), directory: again(&self.directory)?, work })
    }

    /// The numbers of the directories' descriptors: of the images, and of what is beside them if that is elsewhere.
    pub fn descriptors(&self) -> (i32, Option<i32>) {
        (self.directory.as_raw_fd(), self.work.as_ref().map(|(_, work)| work.as_raw_fd()))
    }

    /// Keeps the names of standard input, output and error.
    pub fn keep_streams(&self, streams: &[String]) -> Result<()> {
        use std::io::Write;
        let path = self.path.join(DESCRIPTORS);
        let put = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(&serde_json::to_vec(streams)?)
        };
        put().context(|| format!("write {}", path.display()))
    }

    /// The names of standard input, output and error when the images were made.
    pub fn streams(&self) -> Result<Vec<String>> {
        let path = self.path.join(DESCRIPTORS);
        let bytes = std::fs::read(&path).context(|| format!("read {}", path.display()))?;
        let read = serde_json::from_slice(&bytes);
        read.map_err(|error| Error::new(Kind::InvalidConfig, format!("read {}: {error}", path.display())))
    }

    /// `problem` with what CRIU wrote to `log`, all of which is said as warnings.
    pub fn explain(&self, problem: String, log: &str) -> Error {
        let path = self.work.as_ref().map_or(&self.path, |(path, _)| path).join(log);
        let Ok(file) = File::open(&path) else { return Error::new(Kind::InvalidState, problem) };
        let lines = BufReader::new(file).lines().map_while(std::io::Result::ok);
        let errors: Vec<(usize, String)> =
            lines.enumerate().filter(|(_, line)| line.contains("Error") && !line.contains(HARMLESS)).collect();
        for (i, line) in &errors {
            tracing::warn!("{}:{}: {line}", path.display(), i + 1);
        }
        // The first is what went wrong, those right after it say where; that nothing came of it all is known.
        let said: Vec<&str> =
            errors.iter().map(|(_, line)| said(line)).take_while(|said| !said.ends_with(" FAILED.")).collect();
        let problem = [&[problem.as_str()], &said[..said.len().min(3)]].concat().join(": ");
        let error = Error::new(Kind::InvalidState, problem);
        error.with_hint(match errors.iter().any(|(_, line)| line.contains("vdso:")) {
            true => format!(
                "this criu does not know the vdso of this kernel, a newer one may; its log is {}",
                path.display()
            ),
            false => format!("criu's log is {}", path.display()),
        })
    }
}

/// A line of the log without the time and the place in the program: `(00.047014) Error (criu/files-reg.c:1790): …`.
fn said(line: &str) -> &str {
    let after = line.split_once("Error (").and_then(|(_, rest)| rest.split_once("): "));
    after.map_or(line, |(_, said)| said).trim()
}

fn open(path: &Path) -> Result<File> {
    let flags = libc::O_DIRECTORY;
    let opened = File::options().read(true).custom_flags(flags).open(path);
    opened.context(|| format!("open directory {}", path.display()))
}

fn make(path: &Path) -> Result<()> {
    directories::make(path, 0o700).context(|| format!("create directory {}", path.display()))
}

/// Where `path` leads below `root` once its symbolic links are followed, none of which leads out; what is not there yet is
/// taken as it is.
pub fn resolve(root: &File, path: &Path) -> Result<PathBuf> {
    let name = |path: PathBuf| if path.is_absolute() { path } else { Path::new("/").join(path) };
    let relative = path.strip_prefix("/").unwrap_or(path);
    for existing in relative.ancestors() {
        let at = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let Ok(found) = openat2(root, at, how) else { continue };
        let top = link(root)?;
        let found = link(&found)?;
        let found = found.strip_prefix(&top).unwrap_or(&found);
        // By components: CRIU compares paths as texts, and an empty one joined to another leaves a slash.
        let missing = relative.strip_prefix(existing).unwrap_or(relative);
        return Ok(name(found.components().chain(missing.components()).collect()));
    }
    Ok(name(relative.to_path_buf()))
}

/// The path the kernel knows an open file by.
fn link(file: &impl AsRawFd) -> Result<PathBuf> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    readlink(path.as_str()).map(PathBuf::from).context(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_what_was_said() {
        let cases = [
            ("(00.04) Error (criu/files-reg.c:1790): Can't lookup mount=27", "Can't lookup mount=27"),
            ("pie: 1: Error (criu/pie/restorer.c:12): no (really): x ", "no (really): x"),
            ("Error without a place", "Error without a place"),
        ];
        for (line, text) in cases {
            assert_eq!(said(line), text);
        }
    }

    #[test]
    fn links_lead_below_the_root() {
        let dir = std::env::temp_dir().join(format!("coracle-resolve-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("run/x")).unwrap();
        std::fs::create_dir_all(dir.join("var")).unwrap();
        std::os::unix::fs::symlink("/run", dir.join("var/run")).unwrap();
        std::os::unix::fs::symlink("../../..", dir.join("out")).unwrap();
        let root = File::open(&dir).unwrap();
        let cases = [
            ("var/run/x", "/run/x"),
            ("/var/run/x/new/deep", "/run/x/new/deep"),
            ("out/run", "/run"),
            ("out/nosuch", "/nosuch"),
            ("nosuch", "/nosuch"),
            ("", "/"),
        ];
        for (path, want) in cases {
            assert_eq!(resolve(&root, Path::new(path)).unwrap().as_os_str(), want, "{path}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
