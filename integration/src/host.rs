//! What the machine can do: needs of tests.

/// Why a test cannot run here.
#[derive(Debug)]
pub struct Skip(pub String);

/// Ends the test as skipped.
pub fn skip(reason: impl Into<String>) -> ! {
    std::panic::panic_any(Skip(reason.into()))
}

/// Where programs are looked up, so that the CRIU of the variable `CRIU` is found first.
pub fn criu_path() -> String {
    let directory = std::env::var("CRIU").map(|directory| directory + ":").unwrap_or_default();
    format!("{directory}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// Needs, for `requires!`.
pub mod need {
    use std::fs;
    use std::path::Path;

    fn met(holds: bool, reason: impl Into<String>) -> Result<(), String> {
        if holds { Ok(()) } else { Err(reason.into()) }
    }

    fn there(path: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    /// The caller's user id is 0.
    pub fn root() -> Result<(), String> {
        met(nix::unistd::geteuid().is_root(), "needs root")
    }

    /// Root calls, for this is beyond an ordinary user, whatever the runtime.
    pub fn privilege(context: &crate::Context, what: &str) -> Result<(), String> {
        met(context.caller().is_none(), format!("an ordinary user cannot {what}"))
    }

    /// Containers have cgroups of their own, which an ordinary user's only have by a service manager.
    pub fn own_cgroup(context: &crate::Context) -> Result<(), String> {
        met(context.caller().is_none_or(crate::Ordinary::has_cgroups), "the caller has no cgroups")
    }

    /// A program is installed.
    pub fn program(path: &str) -> Result<(), String> {
        met(there(path), format!("{path} is not installed"))
    }

    /// There is a CRIU that works with this kernel: in the directory of the variable `CRIU`, or installed.
    pub fn criu() -> Result<(), String> {
        let checked = std::process::Command::new("criu").arg("check").env("PATH", crate::criu_path()).output();
        match checked {
            Err(error) => Err(format!("criu: {error}")),
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let said = text.lines().find(|line| line.contains("Error")).unwrap_or("no word of the reason");
                Err(format!("criu does not work here: {said}"))
            }
        }
    }

    /// A path is there on the host.
    pub fn path(path: &str) -> Result<(), String> {
        met(there(path), format!("{path} is not there"))
    }

    /// A cgroup v1 controller is mounted below /sys/fs/cgroup.
    pub fn v1(controller: &str) -> Result<(), String> {
        met(there(format!("/sys/fs/cgroup/{controller}/cgroup.procs")), format!("no cgroup v1 controller {controller}"))
    }

    /// A controller, by v1's name of it, is there in the version of cgroups that the host has.
    pub fn controller(name: &str) -> Result<(), String> {
        match (crate::Cgroup::is_v2(), name) {
            (false, _) => v1(name),
            (true, "devices") => Ok(()),
            (true, "blkio") => v2("io"),
            (true, _) => v2(name),
        }
    }

    /// systemd is the first process, and the host has cgroup v2 alone.
    pub fn systemd() -> Result<(), String> {
        met(there("/run/systemd/system") && crate::Cgroup::is_v2(), "no systemd with cgroup v2")
    }

    /// AppArmor is enforced, and profiles can be loaded.
    pub fn apparmor() -> Result<(), String> {
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
        met(enabled.starts_with('Y') && there("/sbin/apparmor_parser"), "no AppArmor")
    }

    /// Settings of the whole machine may be changed, as in hack/guest.
    pub fn disposable() -> Result<(), String> {
        met(std::env::var_os("DISPOSABLE").is_some(), "changes the machine, so needs DISPOSABLE")
    }

    /// A cgroup v2 controller can be had in a plain v2 tree.
    pub fn v2(controller: &str) -> Result<(), String> {
        let lists = ["/sys/fs/cgroup/unified/cgroup.controllers", "/sys/fs/cgroup/cgroup.controllers"];
        let text = lists.iter().find_map(|list| fs::read_to_string(list).ok()).unwrap_or_default();
        met(text.split_whitespace().any(|word| word == controller), format!("no cgroup v2 controller {controller}"))
    }

    /// cgroup v2 is mounted somewhere.
    pub fn unified() -> Result<(), String> {
        let lists = ["/sys/fs/cgroup/unified/cgroup.controllers", "/sys/fs/cgroup/cgroup.controllers"];
        met(lists.iter().any(there), "no cgroup v2 tree")
    }

    /// The caller holds a capability of this number.
    pub fn capability(number: u32) -> Result<(), String> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let held = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
        met(held.is_some_and(|held| held >> number & 1 == 1), format!("the caller lacks capability {number}"))
    }

    /// The kernel knows a file system.
    pub fn filesystem(name: &str) -> Result<(), String> {
        let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        met(text.split_whitespace().any(|word| word == name), format!("no file system {name} in this kernel"))
    }

    /// More than this many processors are online.
    pub fn processors(more_than: usize) -> Result<(), String> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        met(count > more_than, format!("only {count} processors"))
    }

    /// The runtime under test is coracle.
    pub fn coracle(context: &crate::Context) -> Result<(), String> {
        met(context.version().starts_with("coracle"), format!("about coracle, not {}", context.version()))
    }

    /// The runtime under test accepts a verb.
    pub fn verb(context: &crate::Context, verb: &str) -> Result<(), String> {
        let help = context.coracle().bare().arg("--help").run();
        let named = help.stdout.split_whitespace().any(|word| word.trim_end_matches(',') == verb);
        met(named, format!("{} has no verb {verb}", context.version()))
    }
}
