//! The program: whether it is there, may be executed, and can be: its interpreter, its machine.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use coracle_plan::step::Step;
use coracle_sys::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::Case;
use super::finding::Findings;
use super::view::{Seen, path_of};
use crate::launch::not_executable;

const AT: &str = "/process/args/0";

/// Looks for what the plan executes.
pub fn check(case: &Case<'_>, findings: &mut Findings) {
    let found = case.plan.init.iter().find_map(|step| match step {
        Step::FindExecutable { name, candidates } => Some((name, candidates)),
        _ => None,
    });
    let Some((name, candidates)) = found else { return };
    let mut refused = None;
    for candidate in candidates {
        let path =
            case.spec.process().as_ref().map_or(Path::new("/"), |process| process.cwd()).join(path_of(candidate));
        match case.view.look(&path) {
            // What is made in the container may be a program.
            Seen::New => return,
            Seen::Failed(errno) => refused = refused.or(Some(errno)),
            Seen::There { host, path, metadata } => match may_execute(case, &metadata) {
                Ok(()) => return examine(case, &host, &path, findings),
                Err(errno) => refused = refused.or(Some(errno)),
            },
        }
    }
    let errno = if let [_] = candidates.as_slice() { refused } else { None };
    let error = not_executable(&name.to_string_lossy(), errno.unwrap_or(Errno::ENOENT));
    let hint = match candidates.as_slice() {
        [] | [_] => "it is looked for in the container: below the root filesystem, with the mounts over it".to_owned(),
        more => format!(
            "it is looked for in {}",
            more.iter().map(|path| parent(path_of(path))).collect::<Vec<_>>().join(":")
        ),
    };
    findings.error_with(AT, error.to_string(), &hint);
}

fn parent(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

/// As execve(2) judges by type and mode; who has a user namespace's ids is not known here.
fn may_execute(case: &Case<'_>, metadata: &std::fs::Metadata) -> Result<(), Errno> {
    if metadata.is_dir() {
        return Err(Errno::EISDIR);
    }
    let mode = metadata.mode();
    let Some(user) = case.spec.process().as_ref().map(|process| process.user()) else { return Ok(()) };
    let in_group = |gid: u32| user.gid() == gid || user.additional_gids().iter().flatten().any(|other| *other == gid);
    let bits = if case.plan.namespaces & libc::CLONE_NEWUSER != 0 || user.uid() == 0 {
        mode & 0o111
    } else if user.uid() == metadata.uid() {
        mode & 0o100
    } else if in_group(metadata.gid()) {
        mode & 0o010
    } else {
        mode & 0o001
    };
    if metadata.is_file() && bits != 0 { Ok(()) } else { Err(Errno::EACCES) }
}

/// What execve(2) would say of the file `host`, which is `path` in the container.
fn examine(case: &Case<'_>, host: &Path, path: &Path, findings: &mut Findings) {
    let shown = path.display();
    if statvfs(host).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC)) && host.starts_with(case.rootfs) {
        findings.error(AT, format!("execute {shown}: the root filesystem is on a mount with noexec"));
    }
    let Ok(Some(image)) = read(host) else { return };
    match image {
        Image::Elf { machine, interpreter } => {
            if !runs_here(machine) {
                let text = format!(
                    "execute {shown}: exec format error (ENOEXEC): it is made for another machine ({})",
                    arch(machine)
                );
                return if has_emulation() { findings.warn(AT, text) } else { findings.error(AT, text) };
            }
            if let Some(interpreter) = interpreter
                && is_missing(case, &interpreter)
            {
                let text = format!(
                    "execute {shown}: no such file or directory (ENOENT): its loader {} is missing",
                    interpreter.display()
                );
                findings.error_with(
                    AT,
                    text,
                    "the program is linked dynamically: copy its libraries too, or use a static one",
                );
            }
        }
        Image::Script { interpreter } if is_missing(case, &interpreter) => {
            let text = format!(
                "execute {shown}: no such file or directory (ENOENT): its interpreter {} is missing",
                interpreter.display()
            );
            findings.error(AT, text);
        }
        Image::Script { .. } => {}
        Image::Unknown if has_emulation() => {}
        Image::Unknown => findings.error(AT, format!("execute {shown}: exec format error (ENOEXEC): it is no program")),
    }
}

fn is_missing(case: &Case<'_>, path: &Path) -> bool {
    matches!(case.view.look(path), Seen::Failed(Errno::ENOENT | Errno::ENOTDIR))
}

/// What a program file is to the kernel.
#[derive(Debug, PartialEq, Eq)]
enum Image {
    Elf { machine: u16, interpreter: Option<PathBuf> },
    Script { interpreter: PathBuf },
    Unknown,
}

const PT_INTERP: u32 = 3;

/// Reads as much of a file as execve(2) does. `None` for what cannot be judged, such as 32-bit programs.
fn read(path: &Path) -> std::io::Result<Option<Image>> {
    let file = File::open(path)?;
    let mut head = [0; 256];
    let n = file.read_at(&mut head, 0)?;
    let head = &head[..n];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = String::from_utf8_lossy(line);
        let interpreter = text.split_whitespace().next().map(PathBuf::from);
        return Ok(Some(interpreter.map_or(Image::Unknown, |interpreter| Image::Script { interpreter })));
    }
    match head {
        // 64 bits, little endian.
        [0x7f, b'E', b'L', b'F', 2, 1, ..] if n >= 64 => {
            let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
            let table = u64::from_le_bytes(std::array::from_fn(|i| head[32 + i]));
            let interpreter = interpreter(&file, table, number(54), number(56))?;
            Ok(Some(Image::Elf { machine: number(18), interpreter }))
        }
        [0x7f, b'E', b'L', b'F', ..] => Ok(None),
        _ => Ok(Some(Image::Unknown)),
    }
}

/// The loader that the program headers of a 64-bit ELF file name (elf(5)).
fn interpreter(file: &File, table: u64, size: u16, count: u16) -> std::io::Result<Option<PathBuf>> {
    for i in 0..u64::from(count) {
        let mut header = [0; 56];
        file.read_exact_at(&mut header, table.saturating_add(i * u64::from(size)))?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        if u32::from_le_bytes(std::array::from_fn(|i| header[i])) == PT_INTERP {
            let mut text = vec![0; usize::try_from(number(32)).unwrap_or(0).min(libc::PATH_MAX as usize)];
            file.read_exact_at(&mut text, number(8))?;
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            return Ok(Some(PathBuf::from(String::from_utf8_lossy(text).into_owned())));
        }
    }
    Ok(None)
}

/// Numbers of machines, 64 bits and little endian (elf.h), with their names to uname(2).
const MACHINES: [(u16, &str); 5] =
    [(62, "x86_64"), (183, "aarch64"), (243, "riscv64"), (21, "ppc64le"), (258, "loongarch64")];

fn arch(machine: u16) -> String {
    let known = MACHINES.iter().find(|(number, _)| *number == machine);
    known.map_or_else(|| format!("ELF machine {machine}"), |(_, name)| (*name).to_owned())
}

fn runs_here(machine: u16) -> bool {
    let own = MACHINES
        .iter()
        .find(|(_, name)| *name == std::env::consts::ARCH || *name == "ppc64le" && cfg!(target_arch = "powerpc64"));
    own.is_none_or(|(number, _)| *number == machine)
}

/// Whether the kernel hands files of other forms to programs (binfmt_misc).
fn has_emulation() -> bool {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    entries.into_iter().any(|entry| !matches!(entry.file_name().to_str(), Some("register" | "status")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        let file = std::env::temp_dir().join(format!("coracle-image-{}", std::process::id()));
        let cases: [(&[u8], Option<Image>); 4] = [
            (b"#! /bin/sh -e\nx", Some(Image::Script { interpreter: "/bin/sh".into() })),
            (b"#!\n", Some(Image::Unknown)),
            (b"", Some(Image::Unknown)),
            (b"\x7fELF\x01\x01", None),
        ];
        for (text, wanted) in cases {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap(), wanted);
        }
        std::fs::remove_file(&file).unwrap();
        let own = read(Path::new("/proc/self/exe")).unwrap();
        assert!(matches!(own, Some(Image::Elf { machine, .. }) if runs_here(machine)), "{own:?}");
    }
}
