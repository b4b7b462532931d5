//! The commands of coracle-image that are tried: on a store of their own, which must end as empty as it began.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use integration::{Call, Context, Fault, HostMount, Images, Layout, Trace};
use serde_json::Value;

use super::trial::Tried;
use super::verbs::quiet;

/// The name of the image in the store.
const IMAGE: &str = "image:v1";

/// What must be there for a command.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Image,
    /// A blob and layers without a name.
    Garbage,
    Container,
}

/// A command with everything it is tried on.
pub struct Imaging<'t> {
    t: &'t Context,
    name: String,
    images: Images<'t>,
    /// Around the store: what is written goes to no disk, for speed alone.
    _memory: HostMount,
    /// Where the image comes from.
    origin: String,
    before: Before,
    words: Vec<String>,
    /// The container, and the bundle that is made outside of the store.
    container: String,
    bundle: PathBuf,
    /// The files of a store in which nothing is.
    empty: BTreeSet<PathBuf>,
}

impl<'t> Imaging<'t> {
    pub fn new(t: &'t Context, name: &str) -> Imaging<'t> {
        let layout = Layout::new(t, "image").layer(|dir| {
            fs::create_dir_all(dir.join("data")).unwrap();
            fs::write(dir.join("data/.wh.first"), "").unwrap();
            fs::write(dir.join("third"), "third\n").unwrap();
        });
        let origin = layout.save("v1");
        let (container, bundle) = (t.unique(), t.path("made"));
        let dir = bundle.to_str().unwrap();
        let run = ["run", "--rm", "--name", &container, IMAGE, "--", "/guest", "exit", "0"];
        let (before, words): (Before, &[&str]) = match name {
            "image pull" => (Before::Nothing, &["pull", &origin]),
            "image bundle" => (Before::Image, &["bundle", IMAGE, dir]),
            "image unpack" => (Before::Image, &["bundle", "--copy", IMAGE, dir]),
            "image run" => (Before::Image, &run),
            "image commit" => (Before::Container, &["commit", &container, "new:1"]),
            "image gc" => (Before::Garbage, &["gc"]),
            "image rm" => (Before::Image, &["rm", IMAGE]),
            "image rm-container" => (Before::Container, &["rm", "--container", &container]),
            other => panic!("no command is called {other}"),
        };
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut imaging = Imaging {
            t,
            name: name.into(),
            _memory: HostMount::tmpfs(&t.path("store"), "mode=700"),
            images: Images::new(t),
            origin: origin.clone(),
            before,
            words,
            container: container.clone(),
            bundle: bundle.clone(),
            empty: BTreeSet::new(),
        };
        // A store that was used once has its directories.
        imaging.must(&["pull", &origin]);
        imaging.must(&run);
        imaging.forget().unwrap();
        imaging.empty = imaging.files();
        imaging
    }

    fn words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Call {
        self.images.call(&words.into_iter().collect::<Vec<_>>())
    }

    fn attempt(&self, words: &[&str]) -> Result<(), String> {
        let done = quiet(&self.words(words.iter().copied()), &self.t.path("quiet"));
        done.map_err(|problem| format!("{}: {problem}", words.join(" ")))
    }

    #[track_caller]
    fn must(&self, words: &[&str]) {
        self.attempt(words).unwrap();
    }

    fn names(&self) -> Result<Vec<String>, String> {
        let listed = self.words(["ls", "--json"]).run();
        let list: Value = serde_json::from_str(&listed.stdout).map_err(|_| format!("ls: {}", listed.stderr))?;
        Ok(list.as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect())
    }

    /// Every file of the store but what belongs to it when it is empty.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        gather(&self.t.path("store"), &mut found);
        found.difference(&self.empty).cloned().collect()
    }

    /// Removes containers, bundles, names, and what is left without one.
    fn forget(&self) -> Result<(), String> {
        if !self.runs() {
            return self.forget_images();
        }
        let deleted = self.t.coracle().call(["delete", "--force", &self.container]);
        quiet(&deleted, &self.t.path("quiet")).map_err(|problem| format!("delete --force: {problem}"))?;
        self.attempt(&["gc"])?;
        if there(&self.images.container(&self.container)) {
            self.attempt(&["rm", "--container", &self.container])?;
        }
        self.forget_images()
    }

    /// Whether there are containers in it.
    fn runs(&self) -> bool {
        self.empty.is_empty() || self.before == Before::Container || self.name == "image run"
    }

    fn forget_images(&self) -> Result<(), String> {
        if there(&self.bundle) {
            self.unmake()?;
        }
        for name in self.names()? {
            self.attempt(&["rm", &name])?;
        }
        self.attempt(&["gc"])
    }

    /// The bundle goes: by the command for it, or as any directory when it was killed before it was one.
    fn unmake(&self) -> Result<(), String> {
        if there(&self.bundle.join("config.json")) {
            return self.attempt(&["rm", "--container", &format!("{}/", self.bundle.display())]);
        }
        let _ = self.attempt(&["rm", "--container", &format!("{}/", self.bundle.display())]);
        match fs::remove_dir_all(&self.bundle) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("remove the bundle: {error}")),
            _ => Ok(()),
        }
    }

    /// What a successful command has brought about.
    fn done(&self) -> Result<(), String> {
        let names = self.names()?;
        let has = |text: &str| names.iter().any(|name| name.ends_with(text));
        let holds = match self.name.as_str() {
            "image pull" => has(IMAGE),
            "image bundle" | "image unpack" => {
                self.bundle.join("config.json").is_file() && self.bundle.join("rootfs/third").is_file()
            }
            "image commit" => has("new:1"),
            "image gc" => self.files().is_empty(),
            "image rm" => names.is_empty(),
            _ => !there(&self.images.container(&self.container)),
        };
        if holds { Ok(()) } else { Err("it says that it succeeded, and it did not".into()) }
    }
}

fn there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn gather(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            gather(&entry.path(), found);
        }
        found.insert(entry.path());
    }
}

impl Tried for Imaging<'_> {
    fn prepare(&self) {
        if self.before != Before::Nothing {
            self.must(&["pull", &self.origin]);
        }
        match self.before {
            Before::Garbage => self.must(&["rm", IMAGE]),
            Before::Container => {
                self.must(&["run", "--name", &self.container, IMAGE, "--", "/guest", "write", "/data/new"]);
            }
            Before::Nothing | Before::Image => {}
        }
    }

    fn call(&self) -> Call {
        self.words(self.words.iter().map(String::as_str))
    }

    fn judge(&self, _: Fault, result: &Trace) -> Result<(), String> {
        self.names()?;
        if self.runs() {
            self.attempt(&["ls", "--containers"])?;
        }
        if result.code == 0 {
            self.done()?;
        }
        // What it did, and what it was killed at, out of the way; then once more.
        self.clean()?;
        self.prepare();
        quiet(&self.call(), &self.t.path("quiet")).map_err(|problem| format!("again: {problem}"))?;
        self.done()
    }

    fn clean(&self) -> Result<(), String> {
        self.forget()?;
        let left = self.files();
        if left.is_empty() { Ok(()) } else { Err(format!("left in the store: {left:?}")) }
    }
}
