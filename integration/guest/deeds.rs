//! Small things a container process can be told to do. Each prints one line or says why it could not.

use std::fs;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::sys;

fn argument<T: std::str::FromStr>(args: &[String], index: usize) -> io::Result<T> {
    let missing = || io::Error::new(ErrorKind::InvalidInput, format!("argument {index} is missing or malformed"));
    args.get(index).and_then(|text| text.parse().ok()).ok_or_else(missing)
}

/// Does what `word` says.
///
/// # Errors
/// The errno of the deed.
pub fn perform(word: &str, args: &[String]) -> io::Result<ExitCode> {
    match word {
        "exit" => return Ok(ExitCode::from(argument::<u8>(args, 0)?)),
        "print" => println!("{}", args.join(" ")),
        "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        "write" => write(args)?,
        "read" => io::copy(&mut fs::File::open(argument::<String>(args, 0)?)?, &mut io::stdout()).map(drop)?,
        "mkdir" => fs::create_dir(argument::<String>(args, 0)?)?,
        "remove" => fs::remove_file(argument::<String>(args, 0)?)?,
        "rename" => fs::rename(argument::<String>(args, 0)?, argument::<String>(args, 1)?)?,
        "list" => list(args)?,
        "mknod" => node(args)?,
        "open" => drop(open(args)?),
        "copy" => io::copy(&mut io::stdin(), &mut io::stdout()).map(drop)?,
        "mount" => mount(args)?,
        "sleep" => sleep(args)?,
        "mute" => loop {
            nix::unistd::pause();
        },
        "wait-file" => wait_file(args)?,
        "trap" => return trap(args),
        "count" => return count(args),
        "kill-self" => return kill_self(args),
        "isatty" => println!("{}", nix::unistd::isatty(io::stdin().as_fd()).unwrap_or(false)),
        "sizes" => sizes(args)?,
        "syscall" => syscall(args)?,
        "alloc" => alloc(args)?,
        "burn" => burn(args)?,
        "fork" => fork(args)?,
        "pull" => pull(args)?,
        "huge" => sys::huge_pages(argument(args, 0)?)?,
        "bomb" => crate::bomb::bomb(args)?,
        "daemon" => daemon(args)?,
        "notify" => notify(args)?,
        "grab" => crate::spy::grab(args)?,
        "peek" => crate::spy::peek(args)?,
        "redirect" => crate::spy::redirect(args)?,
        "reach" => crate::reach::reach()?,
        _ => return Err(io::Error::new(ErrorKind::InvalidInput, "no such deed")),
    }
    io::stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}

/// `write PATH [TEXT]`: appends to the file, makes it if need be.
fn write(args: &[String]) -> io::Result<()> {
    let text = args.get(1).map_or("x", String::as_str);
    fs::OpenOptions::new().append(true).create(true).open(argument::<String>(args, 0)?)?.write_all(text.as_bytes())
}

fn list(args: &[String]) -> io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(argument::<String>(args, 0)?)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names.iter().for_each(|name| println!("{}", name.to_string_lossy()));
    Ok(())
}

/// `mknod PATH c|b|p MAJOR MINOR`, mode 0600.
fn node(args: &[String]) -> io::Result<()> {
    let kind = match argument::<String>(args, 1)?.as_str() {
        "c" => SFlag::S_IFCHR,
        "b" => SFlag::S_IFBLK,
        _ => SFlag::S_IFIFO,
    };
    let device = makedev(argument(args, 2).unwrap_or(0), argument(args, 3).unwrap_or(0));
    Ok(mknod(argument::<String>(args, 0)?.as_str(), kind, Mode::from_bits_truncate(0o600), device)?)
}

/// `open PATH r|w|rw`, without waiting for a peer or a carrier.
fn open(args: &[String]) -> io::Result<fs::File> {
    let mode = argument::<String>(args, 1)?;
    let mut options = fs::OpenOptions::new();
    options.read(mode.contains('r')).write(mode.contains('w')).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(argument::<String>(args, 0)?)
}

/// `mount TYPE PATH`.
fn mount(args: &[String]) -> io::Result<()> {
    let (kind, path) = (argument::<String>(args, 0)?, argument::<String>(args, 1)?);
    let none: Option<&str> = None;
    Ok(nix::mount::mount(Some(kind.as_str()), path.as_str(), Some(kind.as_str()), nix::mount::MsFlags::empty(), none)?)
}

/// `sleep SECONDS`, after saying that it runs.
fn sleep(args: &[String]) -> io::Result<()> {
    println!("sleeping");
    io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs_f64(argument(args, 0)?));
    Ok(())
}

/// `wait-file PATH`: until it is there.
fn wait_file(args: &[String]) -> io::Result<()> {
    let path = argument::<String>(args, 0)?;
    println!("waiting");
    while fs::symlink_metadata(&path).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// `trap [COUNT]`: prints `ready`, then the name of every signal that comes; ends with TERM, or after COUNT signals.
fn trap(args: &[String]) -> io::Result<ExitCode> {
    let mut all = SigSet::all();
    all.remove(Signal::SIGCHLD);
    all.thread_block()?;
    println!("ready");
    let mut left = argument::<u32>(args, 0).unwrap_or(u32::MAX);
    while left > 0 {
        let signal = all.wait()?;
        println!("{signal}");
        io::stdout().flush()?;
        if signal == Signal::SIGTERM {
            return Ok(ExitCode::from(15));
        }
        left -= 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// `count FILE`: opens the file and prints `ready`; for every USR1 that comes prints the next number and appends it to the
/// file; ends with TERM.
fn count(args: &[String]) -> io::Result<ExitCode> {
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGUSR1);
    wanted.add(Signal::SIGTERM);
    wanted.thread_block()?;
    let mut file = fs::OpenOptions::new().append(true).create(true).open(argument::<String>(args, 0)?)?;
    println!("ready");
    let mut number = 0;
    while wanted.wait()? == Signal::SIGUSR1 {
        number += 1;
        writeln!(file, "{number}")?;
        println!("{number}");
        io::stdout().flush()?;
    }
    Ok(ExitCode::from(15))
}

/// `kill-self NUMBER`: in a child when it is the first process of its namespace, which its own signals cannot kill.
fn kill_self(args: &[String]) -> io::Result<ExitCode> {
    let signal = Signal::try_from(argument::<i32>(args, 0)?)?;
    nix::sys::signal::kill(nix::unistd::getpid(), signal)?;
    Ok(ExitCode::FAILURE)
}

/// `sizes COUNT`: the size of the terminal now, and each of COUNT other sizes it gets.
fn sizes(args: &[String]) -> io::Result<()> {
    let mut changes = SigSet::empty();
    changes.add(Signal::SIGWINCH);
    changes.thread_block()?;
    let mut last = None;
    let mut left = argument::<u32>(args, 0)? + 1;
    loop {
        let size = sys::window_size(io::stdin().as_fd())?;
        if last != Some(size) {
            println!("{}x{}", size.0, size.1);
            io::stdout().flush()?;
            last = Some(size);
            left -= 1;
        }
        if left == 0 {
            return Ok(());
        }
        changes.wait()?;
    }
}

/// `syscall NUMBER [ARGUMENT…]`: prints the name of its errno, or `ok`.
fn syscall(args: &[String]) -> io::Result<()> {
    let rest: Vec<u64> = args.iter().skip(1).filter_map(|text| text.parse().ok()).collect();
    match sys::syscall(argument(args, 0)?, &rest) {
        Ok(_) => println!("ok"),
        Err(error) => println!("{:?}", nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
    Ok(())
}

/// `alloc BYTES`: touches that much memory.
fn alloc(args: &[String]) -> io::Result<()> {
    let memory = vec![1u8; argument(args, 0)?];
    println!("touched {}", std::hint::black_box(&memory).iter().map(|byte| usize::from(*byte)).sum::<usize>());
    Ok(())
}

/// `pull PATH BYTES`: reads that much from the device itself.
fn pull(args: &[String]) -> io::Result<()> {
    const BLOCK: usize = 1 << 16;
    let mut file = fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(argument::<String>(args, 0)?)?;
    // The device reads to addresses of its own granularity.
    let mut memory = vec![0u8; 2 * BLOCK];
    let begin = memory.as_ptr().align_offset(BLOCK);
    let block = memory.get_mut(begin..begin + BLOCK).ok_or(ErrorKind::InvalidInput)?;
    (0..argument::<usize>(args, 1)? / BLOCK).try_for_each(|_| file.read_exact(block))
}

/// `burn SECONDS`: of processor time.
fn burn(args: &[String]) -> io::Result<()> {
    let end = std::time::Instant::now() + Duration::from_secs_f64(argument(args, 0)?);
    println!("burning");
    while std::time::Instant::now() < end {
        std::hint::black_box(0);
    }
    Ok(())
}

/// `fork COUNT`: starts COUNT sleeping children, prints how many there are, then waits for a line or the end of input.
fn fork(args: &[String]) -> io::Result<()> {
    let wanted = argument::<usize>(args, 0)?;
    let mut children = Vec::new();
    for _ in 0..wanted {
        match Command::new("/proc/self/exe").args(["sleep", "100"]).stdout(std::process::Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                println!("forked {}: {}", children.len(), crate::reason(&error));
                break;
            }
        }
    }
    if children.len() == wanted {
        println!("forked {wanted}");
    }
    io::stdout().flush()?;
    let stays = args.iter().any(|arg| arg == "stay");
    if stays {
        std::thread::sleep(Duration::from_secs(100));
    }
    children.iter_mut().try_for_each(|child| child.kill().and_then(|()| child.wait().map(drop)))
}

/// `notify TEXT`: tells the service manager, then sleeps until a signal comes.
fn notify(args: &[String]) -> io::Result<()> {
    let manager = std::env::var_os("NOTIFY_SOCKET").ok_or(ErrorKind::NotFound)?;
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    // Before the word is out: whoever hears it may signal at once, and the first process of a pid namespace is not
    // reached by what it does not wait for.
    term.thread_block()?;
    std::os::unix::net::UnixDatagram::unbound()?.send_to(argument::<String>(args, 0)?.as_bytes(), manager)?;
    term.wait()?;
    std::process::exit(143)
}

/// `daemon`: repeats lines of standard input with their number until it ends.
fn daemon(_: &[String]) -> io::Result<()> {
    println!("hello");
    for (number, line) in io::stdin().lock().lines().enumerate() {
        println!("{number} {}", line?);
        io::stdout().flush()?;
    }
    Ok(())
}
