//! What a hostile process tries with the others it sees.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

fn stop(args: &[String]) -> io::Result<&String> {
    args.first().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no file to stop at"))
}

/// The directories of other processes.
fn others() -> io::Result<Vec<String>> {
    let own = std::process::id().to_string();
    let names = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.parse::<u32>().is_ok() && *name != own).collect())
}

fn looking() -> io::Result<()> {
    println!("looking");
    io::stdout().flush()
}

/// `grab STOP [SEEN]`: takes a handle on every program that is not its own and tries to open it for writing, then and at
/// the end, until the file STOP is there. Prints `seen N written N`. Makes the file SEEN when it has the first.
///
/// # Errors
/// The errno of what could not be done.
pub fn grab(args: &[String]) -> io::Result<()> {
    let stop = stop(args)?;
    let own = fs::metadata("/proc/self/exe")?;
    let mut handles: Vec<File> = Vec::new();
    let mut seen = 0usize;
    let mut written = 0usize;
    let write =
        |file: &File| OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd())).is_ok();
    looking()?;
    while fs::symlink_metadata(stop).is_err() {
        for pid in others()? {
            let exe = format!("/proc/{pid}/exe");
            let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(exe) else { continue };
            let other = file.metadata().is_ok_and(|meta| (meta.dev(), meta.ino()) != (own.dev(), own.ino()));
            if !other {
                continue;
            }
            seen += 1;
            written += usize::from(write(&file));
            if handles.len() < 500 {
                handles.push(file);
            }
            if let (1, Some(told)) = (handles.len(), args.get(1)) {
                File::create_new(told)?;
            }
        }
    }
    written += handles.iter().filter(|file| write(file)).count();
    println!("seen {seen} written {written}");
    Ok(())
}

/// `peek STOP`: looks at the descriptors of every other process, once and until the file STOP is there. Prints how many
/// beyond the standard three it could reach, as `seen N`.
///
/// # Errors
/// The errno of what could not be done.
pub fn peek(args: &[String]) -> io::Result<()> {
    let stop = stop(args)?;
    let mut seen = 0usize;
    looking()?;
    loop {
        for pid in others()? {
            let Ok(list) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            let further = list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            // The programs of this test open files for a moment: what is theirs does not count.
            let own = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == std::path::Path::new("/guest"));
            let reached = |number: &u32| fs::read_link(format!("/proc/{pid}/fd/{number}")).is_ok();
            seen += further.filter(|number| *number > 2 && !own).filter(reached).count();
        }
        if fs::symlink_metadata(stop).is_ok() {
            break;
        }
    }
    println!("seen {seen}");
    Ok(())
}

/// `redirect ROOT FILE`: has FILE below ROOT/proc lead to ROOT/fake, and all of ROOT/proc to ROOT/fakes, by turns and each
/// for a moment, from before ROOT/racing is there until ROOT/stop is; ROOT/raced says how often. By names below ROOT, so
/// that it goes on when ROOT has become the root.
///
/// # Errors
/// The errno of what could not be done.
pub fn redirect(args: &[String]) -> io::Result<()> {
    let [root, file] = args else { return Err(io::Error::new(ErrorKind::InvalidInput, "redirect ROOT FILE")) };
    std::env::set_current_dir(root)?;
    let (file, none) = (format!("proc/{file}"), None::<&str>);
    let mut done = 0usize;
    // Locked until it has ended, however that comes about.
    let mut racing = None;
    while fs::symlink_metadata("stop").is_err() {
        for (fake, place) in [("fake", file.as_str()), ("fakes", "proc")] {
            // Nothing is taken off but what was put there.
            if mount(Some(fake), place, none, MsFlags::MS_BIND, none).is_ok() {
                std::thread::yield_now();
                umount2(place, MntFlags::MNT_DETACH)?;
                done += 1;
            }
        }
        if racing.is_none() && done > 1 {
            let file = Flock::lock(File::create_new("soon")?, FlockArg::LockExclusive);
            racing = Some(file.map_err(|(_, errno)| errno)?);
            fs::rename("soon", "racing")?;
        }
    }
    fs::write("raced", done.to_string())
}
