//! CRIU's words: the few messages of its `rpc.proto` that are said here, in the wire format of protocol buffers.
//!
//! A message is a row of fields, each a key (number and wire type) and a value: a number of variable length, or a length
//! and that many bytes, which are a text or another message.

/// What is asked for, and what an answer is to (`criu_req_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Dump, Kind::Restore, Kind::PreDump, Kind::Notify, Kind::FeatureCheck, Kind::Version];

    /// The name in `rpc.proto`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dump => "DUMP",
            Kind::Restore => "RESTORE",
            Kind::PreDump => "PRE_DUMP",
            Kind::Notify => "NOTIFY",
            Kind::FeatureCheck => "FEATURE_CHECK",
            Kind::Version => "VERSION",
        }
    }
}

/// A message being put together. What is absent, false or empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn number(mut self, field: u32, value: impl Into<Option<u32>>) -> Message {
        if let Some(value) = value.into() {
            self.varint(u64::from(field) << 3);
            self.varint(value.into());
        }
        self
    }

    /// A descriptor's number; there are no negative ones.
    pub fn descriptor(self, field: u32, number: impl Into<Option<i32>>) -> Message {
        self.number(field, number.into().and_then(|number| u32::try_from(number).ok()))
    }

    pub fn flag(self, field: u32, value: bool) -> Message {
        self.number(field, value.then_some(1))
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Message {
        if !value.is_empty() {
            self.varint(u64::from(field) << 3 | 2);
            self.varint(value.len() as u64);
            self.0.extend_from_slice(value);
        }
        self
    }

    /// A text without a character, where that means something.
    pub fn empty(mut self, field: u32) -> Message {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(0);
        self
    }

    pub fn message(self, field: u32, message: &Message) -> Message {
        self.bytes(field, &message.0)
    }

    pub fn messages(self, field: u32, messages: impl IntoIterator<Item = Message>) -> Message {
        messages.into_iter().fold(self, |all, one| all.message(field, &one))
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A request: what is asked for, and the connection stays open for more.
pub fn request(kind: Kind, more: bool) -> Message {
    Message::default().number(1, kind as u32).flag(4, more)
}

/// The answer to a notification.
pub fn notified(success: bool) -> Message {
    Message::default().number(1, Kind::Notify as u32).number(3, u32::from(success))
}

/// What CRIU says (`criu_resp`).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub kind: Option<Kind>,
    pub success: bool,
    pub errno: i32,
    /// What it is told of (`criu_notify`): a name, and a process where it is about one.
    pub script: String,
    pub pid: i32,
    /// Major and minor.
    pub version: (u32, u32),
    /// Whether the kernel tracks changes of memory, and can be asked for pages late.
    pub features: (bool, bool),
}

impl Reply {
    /// Reads a reply; `None` if it is none.
    pub fn read(bytes: &[u8]) -> Option<Reply> {
        let mut reply = Reply::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Number(n)) => reply.kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == n),
                (2, Value::Number(n)) => reply.success = n != 0,
                (5, Value::Bytes(notify)) => reply.read_notify(notify)?,
                (7, Value::Number(n)) => reply.errno = n as i32,
                (8, Value::Bytes(features)) => {
                    let number = |field| Some(number(features, field)? != 0);
                    reply.features = (number(1)?, number(2)?);
                }
                (10, Value::Bytes(version)) => {
                    reply.version = (number(version, 1)? as u32, number(version, 2)? as u32);
                }
                _ => {}
            }
        }
        Some(reply)
    }

    fn read_notify(&mut self, bytes: &[u8]) -> Option<()> {
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(script)) => self.script = String::from_utf8_lossy(script).into_owned(),
                (2, Value::Number(pid)) => self.pid = pid as i32,
                _ => {}
            }
        }
        Some(())
    }
}

/// The number in `field` of a message, 0 if there is none; `None` if it is no message.
fn number(bytes: &[u8], field: u64) -> Option<u64> {
    let mut found = 0;
    for one in Fields(bytes) {
        if let (number, Value::Number(value)) = one?
            && number == field
        {
            found = value;
        }
    }
    Some(found)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length, which nothing here has.
    Other,
}

/// The fields of a message; `None` where it is cut short or malformed, and nothing after that.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_protocol_buffers() {
        let inner = Message::default().bytes(1, b"ab").number(2, 300);
        let message =
            Message::default().number(1, 1).message(2, &inner).flag(48, true).descriptor(1, -1).flag(4, false);
        let bytes = b"\x08\x01\x12\x07\x0a\x02ab\x10\xac\x02\x80\x03\x01";
        assert_eq!(message.as_bytes(), bytes);
        assert_eq!(request(Kind::Version, true).as_bytes(), b"\x08\x0a\x20\x01");
        assert_eq!(notified(false).as_bytes(), b"\x08\x06\x18\x00");
    }

    #[test]
    fn replies() {
        let notify = Message::default().bytes(1, b"post-restore").number(2, 4711);
        let bytes = request(Kind::Notify, false).flag(2, true).message(5, &notify);
        let told = Reply {
            kind: Some(Kind::Notify),
            success: true,
            script: "post-restore".into(),
            pid: 4711,
            ..Reply::default()
        };
        assert_eq!(Reply::read(bytes.as_bytes()), Some(told));
        let version = Message::default().number(1, 4).number(2, 2).number(4, 1);
        let bytes = request(Kind::Version, false).flag(2, true).message(10, &version);
        assert_eq!(Reply::read(bytes.as_bytes()).unwrap().version, (4, 2));
        let features = Message::default().number(1, 1).number(2, 0);
        let bytes = request(Kind::FeatureCheck, false).message(8, &features).number(7, 95);
        let read = Reply::read(bytes.as_bytes()).unwrap();
        assert_eq!((read.features, read.errno, read.success), ((true, false), 95, false));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let whole = request(Kind::Dump, false).bytes(9, b"text").number(200, 70000);
        for end in 1..whole.as_bytes().len() {
            // Cut between two fields it is a shorter message.
            let cut = Reply::read(&whole.as_bytes()[..end]);
            assert!(cut.is_none() || [2, 8].contains(&end), "{end}");
        }
        for bytes in [
            &b"\x0b"[..],
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(Reply::read(bytes), None, "{bytes:x?}");
        }
        assert_eq!(Reply::read(b""), Some(Reply::default()));
        assert_eq!(Reply::read(b"\x09abcdefgh\x0dabcd").unwrap(), Reply::default());
    }
}
