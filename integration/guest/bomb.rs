//! A program that does not want to end.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use nix::sys::signal::SigSet;
use nix::sys::wait::wait;

use crate::sys;

/// Where the chains are, below each directory.
const NESTED: [&str; 4] = ["", "a", "a/b", "a/b/c"];

/// `bomb CHAINS [DIRECTORY…]`: starts as many chains of processes, each of which forks the next one and ends, all of them
/// with every signal blocked, in cgroups nested below the directories. Says `ready` and stays.
///
/// # Errors
/// The errno of what could not be done before.
pub fn bomb(args: &[String]) -> io::Result<()> {
    let (chains, directories) = args.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let chains: usize = chains.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    SigSet::all().thread_block()?;
    // Ended ones are this process's to reap.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)?;
    for nested in NESTED {
        directories.iter().try_for_each(|directory| fs::create_dir_all(Path::new(directory).join(nested)))?;
    }
    for chain in 0..chains {
        if sys::fork()? {
            let entered = directories.iter().try_for_each(|directory| {
                fs::write(Path::new(directory).join(NESTED[chain % NESTED.len()]).join("cgroup.procs"), "0")
            });
            if let Err(error) = entered {
                eprintln!("enter: {error}");
                std::process::exit(1);
            }
            loop {
                if let Ok(false) = sys::fork() {
                    std::process::exit(0);
                }
            }
        }
    }
    println!("ready");
    io::stdout().flush()?;
    loop {
        let _ = wait();
    }
}
