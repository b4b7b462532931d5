//! What a test is, and what it is given.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bundle::Bundle;
use crate::call::Call;
use crate::ordinary::Ordinary;
use crate::runtime::Coracle;

/// A named test with the numbers of the requirements it covers (data/spec-numbers.tsv).
#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub(crate) name: &'static str,
    pub(crate) covers: &'static [u16],
    pub(crate) body: fn(&Context),
    pub(crate) known: &'static [(&'static str, &'static str)],
    pub(crate) limit: Duration,
    pub(crate) caller: Option<Ordinary>,
}

/// Registers a test.
pub const fn test(name: &'static str, covers: &'static [u16], body: fn(&Context)) -> Test {
    Test { name, covers, body, known: &[], limit: Duration::from_secs(120), caller: None }
}

impl Test {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How long it may take, when that is not two minutes.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Test {
        self.limit = limit;
        self
    }

    /// The same test with an ordinary user for the caller: the default bundle is that user's.
    #[must_use]
    pub fn called_by(mut self, caller: Ordinary) -> Test {
        self.name = Box::leak(format!("{}{}", caller.title(), self.name).into_boxed_str());
        self.caller = Some(caller);
        self
    }

    /// Runtimes known to fail this test: the beginning of `name version`, and why. Passing there is then a failure.
    #[must_use]
    pub const fn known(mut self, known: &'static [(&'static str, &'static str)]) -> Test {
        self.known = known;
        self
    }
}

/// What a test works with: a directory, a state directory and ids of its own.
#[derive(Debug)]
pub struct Context {
    pub(crate) name: &'static str,
    pub(crate) directory: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    pub(crate) token: String,
    pub(crate) count: Cell<u32>,
    pub(crate) caller: Option<Ordinary>,
}

impl Context {
    /// Name of the test.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The runtime as `name version`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The runtime under test, with the state directory of this test.
    pub fn coracle(&self) -> Coracle {
        self.runtime(&self.program)
    }

    /// Another runtime, with a state directory below that of this test.
    pub fn peer(&self, program: &str) -> Coracle {
        self.runtime(Path::new(program))
    }

    fn runtime(&self, program: &Path) -> Coracle {
        let coracle = Coracle::new(program, &self.guest, &self.root(), &self.directory);
        match self.caller {
            Some(caller) => caller.calls(coracle, &self.directory),
            None => coracle,
        }
    }

    /// The state directory of this test, empty when it ends.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// A path in the directory of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Who calls, where it is not root.
    pub fn caller(&self) -> Option<Ordinary> {
        self.caller
    }

    /// Part of the name of everything this test makes.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The guest program on the host.
    pub fn guest(&self) -> &Path {
        &self.guest
    }

    /// The program that does a container's kernel work without a runtime (integration/floor).
    pub fn floor(&self) -> &Path {
        &self.floor
    }

    /// A call of a word of the guest program on the host.
    pub fn helper(&self, args: &[&str]) -> Call {
        Call::new(&self.guest, &self.guest, &self.directory).args(args)
    }

    /// A call of some other program on the host.
    pub fn tool(&self, program: &str, args: &[&str]) -> Call {
        Call::new(Path::new(program), &self.guest, &self.directory).args(args)
    }

    /// A name nobody else on the machine uses; what is called by it and left behind fails the run.
    pub fn unique(&self) -> String {
        self.count.set(self.count.get() + 1);
        format!("{}-{}", self.token, self.count.get())
    }

    /// A bundle of its own: the default configuration with the guest's probe as program.
    pub fn bundle(&self) -> Bundle {
        let name = self.unique();
        let path = self.directory.join(&name);
        fs::create_dir(&path).unwrap();
        let bundle = Bundle::new(&path, &self.guest, self.coracle(), &name);
        match self.caller {
            Some(caller) => caller.bundle(bundle),
            None => bundle,
        }
    }
}
