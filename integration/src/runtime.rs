//! The runtime under test: which program, with which state directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::call::Call;

/// A runtime and a state directory of its own.
#[derive(Clone, Debug)]
pub struct Coracle {
    program: PathBuf,
    guest: PathBuf,
    root: PathBuf,
    temporary: PathBuf,
    launch: Vec<String>,
    options: Vec<String>,
}

impl Coracle {
    /// The program with the given state directory, called from `temporary`, which is also its TMPDIR.
    pub fn new(program: &Path, guest: &Path, root: &Path, temporary: &Path) -> Coracle {
        let (launch, options) = (Vec::new(), Vec::new());
        let (program, guest) = (program.into(), guest.into());
        Coracle { program, guest, root: root.into(), temporary: temporary.into(), launch, options }
    }

    /// The same in a state that `guest launch` brings about, for every call.
    pub fn launched(mut self, word: impl Into<String>) -> Coracle {
        self.launch.push(word.into());
        self
    }

    /// The same in a private mount namespace in which /sys/fs/cgroup is a plain cgroup v2 tree.
    pub fn v2(self) -> Coracle {
        self.launched("v2=")
    }

    /// The same with a further global option, for every call.
    pub fn option(mut self, option: impl Into<String>) -> Coracle {
        self.options.push(option.into());
        self
    }

    /// The same with systemd making the cgroups.
    pub fn systemd(self) -> Coracle {
        self.option("--systemd-cgroup")
    }

    /// Its state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A call with `--root` given.
    pub fn call<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Call {
        self.bare().arg("--root").arg(&self.root).args(&self.options).args(args)
    }

    /// A call without any argument.
    pub fn bare(&self) -> Call {
        let call = Call::new(&self.program, &self.guest, &self.temporary).env("TMPDIR", self.temporary.join("tmp"));
        self.launch.iter().fold(call, |call, word| call.launched(word))
    }
}
