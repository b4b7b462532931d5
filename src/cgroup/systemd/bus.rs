//! A connection to the service manager, by D-Bus: calls are answered one after the other, and word of jobs is kept.
//!
//! systemd listens on a socket of its own (`systemd/private`), where no daemon stands between; its users may reach that
//! one or the message bus only, so both are spoken. The caller is known by the socket's credentials.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::value::Value;
use super::wire::{Kind, Message};

/// How long an answer or the end of a job may take.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const DAEMON: &str = "org.freedesktop.DBus";

/// Why a call was not answered as hoped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The other side refused it.
    Refused {
        name: String,
        message: String,
    },
    Kernel(Errno),
    /// What came back makes no sense.
    Nonsense(&'static str),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused { name, message } if message.is_empty() => f.write_str(name),
            Failure::Refused { message, .. } => f.write_str(message),
            Failure::Kernel(errno) => write!(f, "{} ({errno:?})", errno.desc()),
            Failure::Nonsense(what) => write!(f, "systemd answered with {what}"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => Failure::Kernel(Errno::ETIMEDOUT),
            Some(errno) => Failure::Kernel(errno),
            None => Failure::Nonsense("an early end"),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    /// What was read and is not yet a whole message.
    bytes: Vec<u8>,
    serial: u32,
    /// Path and result of the jobs that have ended and nobody asked for.
    ended: Vec<(String, String)>,
}

/// Where the service manager can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// Its own socket.
    Direct(PathBuf),
    /// A message bus, by path or by abstract name.
    Daemon(PathBuf),
    Abstract(Vec<u8>),
}

impl Bus {
    /// Connects to the system's service manager or, for a `user`, to the caller's own.
    ///
    /// # Errors
    /// The sockets that were tried, each with the reason.
    pub fn connect(user: bool) -> std::result::Result<Bus, String> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let addresses = if user {
            let runtime = env("XDG_RUNTIME_DIR");
            users(env("DBUS_SESSION_BUS_ADDRESS").as_deref(), runtime.as_deref(), nix::unistd::geteuid().as_raw())
        } else {
            system()
        };
        let mut tried = Vec::new();
        for address in &addresses {
            match Bus::open(address) {
                Ok(bus) => return Ok(bus),
                Err(failure) => tried.push(format!("{address}: {failure}")),
            }
        }
        Err(tried.join("; "))
    }

    fn open(address: &Address) -> Result<Bus> {
        let stream = match address {
            Address::Direct(path) | Address::Daemon(path) => UnixStream::connect(path)?,
            Address::Abstract(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        };
        let mut bus = Bus { stream, bytes: Vec::new(), serial: 0, ended: Vec::new() };
        bus.authenticate()?;
        if !matches!(address, Address::Direct(_)) {
            bus.ask_daemon("Hello", Vec::new())?;
            let rule = format!("type='signal',sender='{SYSTEMD}',interface='{SYSTEMD}.Manager',member='JobRemoved'");
            bus.ask_daemon("AddMatch", vec![Value::Str(rule)])?;
            bus.ask("Subscribe", Vec::new())?;
        }
        Ok(bus)
    }

    /// EXTERNAL without a name: the other side looks at the socket. Inside a user namespace the caller would not know
    /// its own number as the other side sees it.
    ///
    /// All of it in one go, as systemd does not notice a first message that comes in together with the last line.
    fn authenticate(&mut self) -> Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
                if line.starts_with(b"OK ") {
                    return Ok(());
                }
                if !line.starts_with(b"DATA") {
                    return Err(Failure::Kernel(Errno::EACCES));
                }
            }
            if self.bytes.len() > 1024 {
                return Err(Failure::Nonsense("an endless line"));
            }
            self.receive()?;
        }
    }

    fn ask_daemon(&mut self, member: &str, body: Vec<Value>) -> Result<Vec<Value>> {
        self.call(DAEMON, "/org/freedesktop/DBus", DAEMON, member, body)
    }

    /// Calls a method of the service manager.
    pub fn ask(&mut self, member: &str, body: Vec<Value>) -> Result<Vec<Value>> {
        self.call(SYSTEMD, SYSTEMD_PATH, &format!("{SYSTEMD}.Manager"), member, body)
    }

    /// A property of the service manager.
    pub fn property(&mut self, name: &str) -> Result<Value> {
        let body = vec![Value::Str(format!("{SYSTEMD}.Manager")), Value::str(name)];
        let answer = self.call(SYSTEMD, SYSTEMD_PATH, "org.freedesktop.DBus.Properties", "Get", body)?;
        match answer.into_iter().next() {
            Some(Value::Variant(value)) => Ok(*value),
            _ => Err(Failure::Nonsense("no value")),
        }
    }

    fn call(&mut self, to: &str, path: &str, interface: &str, member: &str, body: Vec<Value>) -> Result<Vec<Value>> {
        self.serial += 1;
        let call = Message {
            serial: self.serial,
            destination: to.into(),
            path: path.into(),
            interface: interface.into(),
            member: member.into(),
            body,
            ..Message::default()
        };
        self.stream.write_all(&call.encode())?;
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.next(end)?;
            match message.kind {
                _ if message.reply_to != self.serial => self.keep(&message),
                Kind::Return => return Ok(message.body),
                Kind::Error => {
                    let text = message.body.first().and_then(Value::text).unwrap_or_default();
                    return Err(Failure::Refused { name: message.error, message: text.to_owned() });
                }
                Kind::Call | Kind::Signal => {}
            }
        }
    }

    /// Calls a method that starts a job, and waits for its end. The job's result, `done` if all is well.
    pub fn job(&mut self, member: &str, body: Vec<Value>) -> Result<String> {
        let answer = self.ask(member, body)?;
        let job = answer.first().and_then(Value::text).ok_or(Failure::Nonsense("no job"))?.to_owned();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.ended.iter().position(|(path, _)| *path == job) {
                return Ok(self.ended.swap_remove(at).1);
            }
            let message = self.next(end)?;
            self.keep(&message);
        }
    }

    /// Remembers the end of a job (`JobRemoved`: number, path, unit, result).
    fn keep(&mut self, message: &Message) {
        if let (Kind::Signal, "JobRemoved", [_, Value::Path(job), _, Value::Str(result)]) =
            (message.kind, message.member.as_str(), message.body.as_slice())
        {
            self.ended.push((job.clone(), result.clone()));
        }
    }

    fn next(&mut self, end: Instant) -> Result<Message> {
        loop {
            let length = Message::length(&self.bytes).map_err(|_| Failure::Nonsense("no message"))?;
            if let Some(length) = length.filter(|length| self.bytes.len() >= *length) {
                let message = Message::decode(&self.bytes[..length]);
                self.bytes.drain(..length);
                return message.map_err(|_| Failure::Nonsense("a malformed message"));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Kernel(Errno::ETIMEDOUT));
            }
            self.stream.set_read_timeout(Some(left))?;
            self.receive()?;
        }
    }

    /// Takes in what has come, or waits for something.
    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Failure::Nonsense("the end of the connection")),
            Ok(n) => {
                self.bytes.extend_from_slice(&buffer[..n]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Direct(path) | Address::Daemon(path) => write!(f, "{}", path.display()),
            Address::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

fn system() -> Vec<Address> {
    vec![Address::Direct("/run/systemd/private".into()), Address::Daemon("/run/dbus/system_bus_socket".into())]
}

/// The ways to the service manager of user `uid`, whose session has these variables.
fn users(session: Option<&str>, runtime: Option<&str>, uid: u32) -> Vec<Address> {
    let fallback = format!("/run/user/{uid}");
    let runtime = Path::new(runtime.unwrap_or(&fallback));
    let mut addresses = vec![Address::Direct(runtime.join("systemd/private"))];
    addresses.extend(session.into_iter().flat_map(|list| list.split(';')).filter_map(address));
    let bus = Address::Daemon(runtime.join("bus"));
    if !addresses.contains(&bus) {
        addresses.push(bus);
    }
    addresses
}

/// One address of a list (D-Bus specification, "Server Addresses"), if it is a Unix socket.
fn address(text: &str) -> Option<Address> {
    let pairs = text.strip_prefix("unix:")?.split(',').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| match key {
        "path" => Some(Address::Daemon(std::ffi::OsString::from_vec(unescaped(value)?).into())),
        "abstract" => unescaped(value).map(Address::Abstract),
        _ => None,
    })
}

/// Undoes the spelling `%20` of bytes.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
