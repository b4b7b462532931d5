//! The command line containerd gives a shim (runtime/v2/README.md of containerd, "Commands").

use crate::error::{Error, Result};

/// What the shim is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// Answer requests until the last container is gone.
    #[default]
    Serve,
    /// Start a shim, or find the one of the same group, and print its address.
    Start,
    /// Clean up after a shim that is gone.
    Delete,
    /// Say what the runtime can do.
    Info,
    /// Say which version this is.
    Version,
}

/// The flags, in the spelling of programs written in Go: `-id ID`, `--id ID` or `-id=ID`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args {
    pub action: Action,
    /// The container's.
    pub id: String,
    /// containerd's, not the kernel's.
    pub namespace: String,
    /// containerd's socket, of the gRPC kind.
    pub address: String,
    /// Where this shim listens, for [`Action::Serve`].
    pub socket: String,
}

impl Args {
    /// # Errors
    /// A flag or a command there is not, and a flag without its value.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Args> {
        let mut args = Args::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                args.action = match word.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    _ => return Err(Error::invalid(format!("unknown command {word:?}"))),
                };
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let mut value = || {
                let value = value.map(String::from).or_else(|| words.next());
                value.ok_or_else(|| Error::invalid(format!("flag -{name} needs a value")))
            };
            match name {
                "id" => args.id = value()?,
                "namespace" => args.namespace = value()?,
                "address" => args.address = value()?,
                "socket" => args.socket = value()?,
                // The working directory is the bundle, and events go to containerd's socket.
                "bundle" | "publish-binary" => drop(value()?),
                "debug" => {}
                "info" => args.action = Action::Info,
                "v" => args.action = Action::Version,
                _ => return Err(Error::invalid(format!("unknown flag -{name}"))),
            }
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Args> {
        Args::parse(words.split(' ').map(String::from))
    }

    #[test]
    fn what_containerd_says() {
        let args = parse("-namespace k8s.io -address /run/c.sock -publish-binary /bin/c -id a1 -debug start").unwrap();
        let wanted = Args {
            action: Action::Start,
            id: "a1".into(),
            namespace: "k8s.io".into(),
            address: "/run/c.sock".into(),
            socket: String::new(),
        };
        assert_eq!(args, wanted);
        assert_eq!(parse("--id=a=b -bundle /x delete").unwrap().id, "a=b");
        assert_eq!(parse("-info").unwrap().action, Action::Info);
    }

    #[test]
    fn what_it_does_not() {
        for words in ["stop", "-nosuch", "-id"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
