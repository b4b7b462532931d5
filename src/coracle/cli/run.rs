//! `coracle run`

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Parser;
use libcoracle::{ContainerId, RunOptions, ops};

use super::create::NewContainer;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Create a container, start it, wait for it and delete it
///
/// Exits with the status of the container's program, or 128 and the number of the signal that ended it. Signals
/// sent to coracle go to the program.
///
/// Instead of a name, the directory of a bundle may be given: the container is then called as the directory.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Run {
    #[command(flatten)]
    new: NewContainer,
    /// Return when the program runs, and leave it to be deleted by `coracle delete`
    #[arg(long, short)]
    detach: bool,
    /// Do not delete the container when its program has ended
    #[arg(long)]
    keep: bool,
    /// Do not adopt the container's orphaned processes (PR_SET_CHILD_SUBREAPER)
    #[arg(long)]
    no_subreaper: bool,
    /// Name of the new container, or the directory of its bundle
    #[arg(value_name = "CONTAINER-ID|BUNDLE")]
    id: OsString,
}

impl Run {
    fn run(&self, id: &ContainerId, bundle: &Path, call: &Call) -> Result<u8, Failure> {
        let options = self.new.options(bundle, call)?;
        let run = RunOptions { detach: self.detach, keep: self.keep, no_subreaper: self.no_subreaper };
        let status = ops::run(&call.global.root()?, id, &options, &run)?;
        Ok(u8::try_from(status).unwrap_or(u8::MAX))
    }
}

impl Verb for Run {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let named_after = if self.new.bundle.is_none() { bundle_named(&self.id) } else { None };
        let (id, bundle) = match named_after {
            Some(bundle) => (id_of(&bundle)?, bundle),
            None => (container_id(&self.id)?, self.new.bundle().to_owned()),
        };
        self.run(&id, &bundle, call).map_err(|failure| failure.during("run", &id))
    }
}

/// The bundle directory an operand means if it is not a container's name: it has a `/`, or it is a directory with a
/// config.json while the current directory, the bundle of a command without `--bundle`, has none.
fn bundle_named(operand: &OsStr) -> Option<PathBuf> {
    let path = Path::new(operand);
    let is_file = |path: &Path| std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let is_path = operand.as_encoded_bytes().contains(&b'/') || operand == "." || operand == "..";
    let is_only_bundle = || is_file(&path.join("config.json")) && !is_file(Path::new("config.json"));
    (is_path || (!operand.is_empty() && is_only_bundle())).then(|| path.to_owned())
}

/// A name made of a directory's own.
fn id_of(bundle: &Path) -> Result<ContainerId, Failure> {
    let nameless = || {
        Failure::new(format!("cannot name a container after {}; give --bundle and a container id", bundle.display()))
    };
    let path = std::path::absolute(bundle).map_err(|_| nameless())?;
    let name = path.file_name().ok_or_else(nameless)?.to_string_lossy();
    let name: String = name.chars().map(|c| if ContainerId::allows(c) { c } else { '-' }).collect();
    name.parse().map_err(|_| nameless())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_directories() {
        let cases = [
            ("/bundles/web1", "web1"),
            ("/bundles/web1/", "web1"),
            ("/bundles/web1/.", "web1"),
            ("./a b:c", "a-b-c"),
            ("x/é", "-"),
        ];
        for (path, name) in cases {
            assert_eq!(id_of(Path::new(path)).unwrap().as_ref(), name, "{path}");
        }
        for path in ["/", "..", "a/.."] {
            assert!(id_of(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn names_are_not_directories() {
        assert_eq!(bundle_named("web1".as_ref()), None);
        assert_eq!(bundle_named("".as_ref()), None);
        assert_eq!(bundle_named("./web1".as_ref()), Some("./web1".into()));
        assert_eq!(bundle_named(".".as_ref()), Some(".".into()));
    }
}
