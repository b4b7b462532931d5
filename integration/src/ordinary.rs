//! An ordinary user in the caller's place, with a range of ids of /etc/subuid.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;
use crate::host::need;
use crate::registry::Context;
use crate::requires;
use crate::runtime::Coracle;

/// The first of the 65536 ids the user may hand out.
const RANGE: u32 = 200_000;

/// Who calls, and who makes the cgroups.
#[derive(Clone, Copy, Debug)]
pub enum Ordinary {
    /// Every machine has this user, who has no cgroups.
    Nobody,
    /// The user of the guest, whose service manager makes scopes.
    Managed,
}

impl Ordinary {
    /// The user id.
    pub fn id(self) -> u32 {
        match self {
            Ordinary::Nobody => 65534,
            Ordinary::Managed => 1000,
        }
    }

    /// Whether the containers have cgroups of their own.
    pub fn has_cgroups(self) -> bool {
        matches!(self, Ordinary::Managed)
    }

    /// The beginning of the names of tests.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Ordinary::Nobody => "rootless: ",
            Ordinary::Managed => "rootless, systemd: ",
        }
    }

    /// Gives the user the directory of a test, and ids by files that nobody else sees.
    pub(crate) fn owns(self, directory: &Path) {
        for path in [directory.to_owned(), directory.join("tmp")] {
            chown(path, Some(self.id()), Some(self.id())).unwrap();
        }
        fs::write(directory.join("subids"), format!("{}:{RANGE}:65536\n", self.id())).unwrap();
    }

    /// Skips the test where the user cannot be, and has the service manager running.
    pub(crate) fn logs_in(self, context: &Context) {
        if matches!(self, Ordinary::Managed) {
            requires!(need::systemd());
            requires!(need::disposable());
            context.tool("/bin/systemctl", &["start", &format!("user@{}.service", self.id())]).run().ok();
        }
    }

    /// Ends the service manager, if there is one.
    pub(crate) fn logs_out(self) {
        if matches!(self, Ordinary::Managed) && need::systemd().is_ok() && need::disposable().is_ok() {
            let units = ["user@", "user-runtime-dir@"].map(|unit| format!("{unit}{}.service", self.id()));
            assert!(Command::new("/bin/systemctl").arg("stop").args(units).status().unwrap().success());
        }
    }

    /// The runtime called by the user.
    pub(crate) fn calls(self, coracle: Coracle, directory: &Path) -> Coracle {
        let ids = directory.join("subids");
        let bind = |to: &str| format!("bind={}:{to}", ids.display());
        let coracle = coracle.launched(bind("/etc/subuid")).launched(bind("/etc/subgid"));
        let coracle = coracle.launched(format!("user={}", self.id()));
        match self {
            Ordinary::Nobody => coracle,
            Ordinary::Managed => coracle.systemd(),
        }
    }

    /// The user's bundle.
    pub(crate) fn bundle(self, bundle: Bundle) -> Bundle {
        let maps = json!([{"containerID": 0, "hostID": self.id(), "size": 1},
            {"containerID": 1, "hostID": RANGE, "size": 65535}]);
        bundle.rootless(self.id(), &maps)
    }
}
