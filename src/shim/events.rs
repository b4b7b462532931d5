//! What happens to tasks, told to containerd: one thread, one queue, so in the order in which it happened.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::api::ForwardRequest;
use containerd_shim_protos::events::task::TaskOOM;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::topics::TASK_OOM_EVENT_TOPIC;
use containerd_shim_protos::ttrpc::Code;
use coracle_cgroup::Oom;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::error::{Doing, Error, Result};
use crate::{client, log};

/// Where containerd defines its events.
const PACKAGE: &str = "containerd.events";
/// How long to wait for a containerd that is not there, in milliseconds.
const PAUSE: u16 = 500;
/// How often the last events are tried when the shim is about to end.
const LAST_TRIES: u32 = 10;

/// The queue.
pub struct Events {
    queue: Mutex<VecDeque<Entry>>,
    /// Wakes the thread.
    wake: EventFd,
}

enum Entry {
    Publish {
        topic: &'static str,
        at: SystemTime,
        event: Any,
        /// The container whose first process has ended: what it ran out of is said before.
        ends: Option<String>,
    },
    Watch {
        id: String,
        oom: Oom,
    },
    Forget {
        id: String,
    },
    Quit,
}

impl Events {
    /// Starts the thread. Events go to containerd's socket `address`, of the ttrpc kind, in containerd's `namespace`.
    /// `at_end` is called when all is said after [`quit`](Events::quit).
    pub fn start(address: String, namespace: String, at_end: impl FnOnce() + Send + 'static) -> Result<Arc<Events>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).doing(|| "create eventfd".into())?;
        let events = Arc::new(Events { queue: Mutex::default(), wake });
        let publisher =
            Publisher { events: events.clone(), address, namespace, connection: None, watched: HashMap::new() };
        let thread = std::thread::Builder::new().name("events".into());
        thread.spawn(move || publisher.run(at_end)).doing(|| "start thread".into())?;
        Ok(events)
    }

    /// Queues an event.
    pub fn publish(&self, topic: &'static str, event: &impl Message) {
        self.push(topic, event, None);
    }

    /// Queues the end of the first process of the container `id`.
    pub fn publish_end(&self, topic: &'static str, event: &impl Message, id: &str) {
        self.push(topic, event, Some(id.to_owned()));
    }

    /// Tells from now on when the container `id` runs out of memory.
    pub fn watch(&self, id: &str, oom: Oom) {
        self.add(Entry::Watch { id: id.to_owned(), oom });
    }

    /// The container `id` is gone.
    pub fn forget(&self, id: &str) {
        self.add(Entry::Forget { id: id.to_owned() });
    }

    /// Ends when all is said, or cannot be said.
    pub fn quit(&self) {
        self.add(Entry::Quit);
    }

    fn push(&self, topic: &'static str, event: &impl Message, ends: Option<String>) {
        match to_any(PACKAGE, event) {
            Ok(event) => self.add(Entry::Publish { topic, at: SystemTime::now(), event, ends }),
            Err(error) => log::error(error),
        }
    }

    fn add(&self, entry: Entry) {
        self.lock().push_back(entry);
        let _ = self.wake.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message with its type, named as containerd names it. That of the package is given: to ask the message would unpack the
/// descriptions of all types there are, and keep them.
pub fn to_any<M: Message>(package: &str, message: &M) -> Result<Any> {
    let value = message.write_to_bytes().map_err(|error| Error::new(format!("encode message: {error}")))?;
    Ok(Any { type_url: format!("{package}.{}", M::NAME), value, ..Any::default() })
}

/// The time, as containerd is told it.
pub fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32, ..Timestamp::default() }
}

/// The thread.
struct Publisher {
    events: Arc<Events>,
    address: String,
    namespace: String,
    connection: Option<UnixStream>,
    watched: HashMap<String, Oom>,
}

impl Publisher {
    fn run(mut self, at_end: impl FnOnce()) {
        let mut tries = 0;
        loop {
            let first = self.events.lock().pop_front();
            match first {
                None => self.wait(PollTimeout::NONE),
                Some(Entry::Quit) => return at_end(),
                Some(Entry::Watch { id, oom }) => drop(self.watched.insert(id, oom)),
                Some(Entry::Forget { id }) => drop(self.watched.remove(&id)),
                Some(Entry::Publish { topic, at, event, ends }) => {
                    ends.iter().for_each(|id| self.look(id));
                    let Err(error) = self.send(topic, at, event.clone()) else {
                        tries = 0;
                        continue;
                    };
                    tries += 1;
                    if tries == 1 {
                        log::error(format!("publish {topic}: {error}"));
                    }
                    let ending = self.events.lock().iter().any(|entry| matches!(entry, Entry::Quit));
                    if !ending || tries < LAST_TRIES {
                        self.events.lock().push_front(Entry::Publish { topic, at, event, ends: None });
                        std::thread::sleep(Duration::from_millis(PAUSE.into()));
                    }
                }
            }
        }
    }

    /// Until there is something in the queue. Meanwhile the containers' memory is watched.
    fn wait(&mut self, timeout: PollTimeout) {
        let mut ids = Vec::with_capacity(self.watched.len());
        let mut fds = vec![PollFd::new(self.events.wake.as_fd(), PollFlags::POLLIN)];
        for (id, oom) in &self.watched {
            let (fd, events) = oom.poll();
            ids.push(id.clone());
            fds.push(PollFd::new(fd, events));
        }
        let _ = poll(&mut fds, timeout);
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let _ = self.events.wake.read();
        for id in ids.iter().zip(&ready[1..]).filter(|(_, ready)| **ready).map(|(id, _)| id) {
            self.look(id);
        }
    }

    /// Tells if the container ran out of memory. One that cannot be asked any more is not watched any more.
    fn look(&mut self, id: &str) {
        let Some(oom) = self.watched.get_mut(id) else { return };
        match oom.take() {
            Ok(0) => {}
            Ok(_) => {
                let event = TaskOOM { container_id: id.to_owned(), ..TaskOOM::default() };
                let sent =
                    to_any(PACKAGE, &event).and_then(|event| self.send(TASK_OOM_EVENT_TOPIC, SystemTime::now(), event));
                let _ = sent.inspect_err(|error| log::error(format!("publish {TASK_OOM_EVENT_TOPIC}: {error}")));
            }
            Err(_) => drop(self.watched.remove(id)),
        }
    }

    /// Over the connection there is, or, if containerd was started anew, over another.
    fn send(&mut self, topic: &str, at: SystemTime, event: Any) -> Result<()> {
        let request = self.request(topic, at, event)?;
        if let Some(connection) = &mut self.connection
            && forward(connection, &request).is_ok()
        {
            return Ok(());
        }
        self.connection = None;
        let path = self.address.strip_prefix("unix://").unwrap_or(&self.address);
        let mut connection = client::connect(path)?;
        forward(&mut connection, &request)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn request(&self, topic: &str, at: SystemTime, event: Any) -> Result<Vec<u8>> {
        let envelope = Envelope {
            timestamp: Some(timestamp(at)).into(),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(event).into(),
            ..Envelope::default()
        };
        let forward = ForwardRequest { envelope: Some(envelope).into(), ..ForwardRequest::default() };
        client::request("containerd.services.events.ttrpc.v1.Events", "Forward", &forward)
    }
}

fn forward(connection: &mut UnixStream, request: &[u8]) -> Result<()> {
    let response = client::call(connection, request)?;
    match response.status.as_ref() {
        Some(status) if status.code.enum_value_or_default() != Code::OK => Err(Error::new(status.message.clone())),
        _ => Ok(()),
    }
}
