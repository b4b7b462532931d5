//! Without root: in a cgroup that was handed over, and without one. Runs this program again as another user.

use std::path::{Path, PathBuf};

use coracle_cgroup::{Driver, Layout, Mode, Resources, create, open};
use nix::libc::SIGKILL;
use nix::unistd::Uid;

use crate::Outcome;
use crate::group::{Shell, directories, limits, make, name};

/// Set for the runs as another user.
pub const USER: &str = "CORACLE_TEST_USER";

const NOBODY: u32 = 65534;

/// A copy of this program where [`NOBODY`] can run it.
struct Program(PathBuf);

impl Program {
    fn new() -> Program {
        let copy = std::env::temp_dir().join(name("program"));
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        Program(copy)
    }

    /// The command to run it, told what to check.
    fn as_nobody(&self, check: &str) -> String {
        format!("exec setpriv --reuid={NOBODY} --clear-groups env {USER}={check} {} 2>&1", self.0.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn nobody_gets_no_cgroup(layout: &Layout) -> Outcome {
    let outside = make(layout, "nobody").unwrap();
    let program = Program::new();
    assert_eq!(Shell::run(&*outside, &program.as_nobody("denied")).output(), "good");
    Ok(())
}

pub fn a_delegated_cgroup_is_used(layout: &Layout) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let parent = make(layout, "delegated").unwrap();
    parent.delegate(Uid::from_raw(NOBODY)).unwrap();
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    for dir in directories(&parent) {
        let want = if layout.mode() == Mode::V2 { NOBODY } else { 0 };
        assert_eq!((owner(&dir), owner(&dir.join("cgroup.procs"))), (want, want));
    }
    if layout.mode() != Mode::V2 {
        return Err("v1 knows no delegation".into());
    }
    let dir = parent.location().paths()[""].clone();
    assert_eq!(owner(&dir.join("cgroup.events")), 0, "only what the kernel lists changes hands");
    let own = dir.join("own");
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(NOBODY), None).unwrap();
    std::os::unix::fs::chown(own.join("cgroup.procs"), Some(NOBODY), None).unwrap();
    let program = Program::new();
    let script = format!("echo $$ > {}/cgroup.procs; {}", own.display(), program.as_nobody("delegated"));
    assert_eq!(Shell::run(&*parent, &script).output(), "good");
    Ok(())
}

/// The half that runs as another user.
pub fn as_nobody(check: &str) {
    let layout = Layout::detect().unwrap();
    let name = "coracle-test-rootless";
    match check {
        "denied" => {
            let created = create(&layout, Driver::Cgroupfs, name, None, true).unwrap();
            assert!(created.location().paths().is_empty() && created.dir().is_none() && !created.needs_add());
            created.set(&Resources::default()).unwrap();
            created.set(&limits(&layout, "{}")).unwrap();
            if let Ok(pids) =
                coracle_cgroup::resources(&serde_json::from_str(r#"{"pids": {"limit": 5}}"#).unwrap(), &layout)
            {
                let error = created.set(&pids).unwrap_err().to_string();
                assert!(error.starts_with("set pids limit: not permitted to create a cgroup"), "{error}");
            }
            let kept = open(&created.location()).unwrap();
            assert!(kept.pids().unwrap().is_empty());
            for (path, rootless) in [(Some(Path::new("/coracle-test-denied")), true), (None, false)] {
                let error = create(&layout, Driver::Cgroupfs, name, path, rootless).unwrap_err();
                assert_eq!(error.errno(), Some(nix::errno::Errno::EACCES), "{error}");
            }
        }
        _ => {
            let created = create(&layout, Driver::Cgroupfs, name, None, true).unwrap();
            let path = created.location().paths()[""].clone();
            let parent = path.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
            assert!(parent.ends_with("-delegated") && path.ends_with(name), "{}", path.display());
            // Rules for devices cannot be set, and need not be.
            created.set(&limits(&layout, r#"{"devices": [{"allow": false, "access": "rwm"}]}"#)).unwrap();
            let mut shell = Shell::run(&*created, "exec sleep 1000");
            created.kill(SIGKILL).unwrap();
            shell.0.wait().unwrap();
            drop(created);
            assert!(!path.is_dir());
        }
    }
    print!("good");
}
