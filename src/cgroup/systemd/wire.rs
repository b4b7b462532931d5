//! Messages as bytes (D-Bus specification, "Marshaling" and "Message Format").

use super::value::{Value, all, first};

/// A message, sent or received. What is not there is empty or 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    pub kind: Kind,
    pub serial: u32,
    /// The serial of the call this answers.
    pub reply_to: u32,
    pub destination: String,
    pub path: String,
    pub interface: String,
    pub member: String,
    pub error: String,
    pub body: Vec<Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// The most that is read for one message, in bytes. Answers to what is asked here are a few hundred.
const MAX_MESSAGE: usize = 1 << 20;

/// How deep variants may be nested.
const MAX_DEPTH: usize = 16;

/// The part of the header whose length is always the same.
const FIXED: usize = 16;

const LITTLE: u8 = b'l';

// Header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR: u8 = 4;
const REPLY_TO: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

impl Message {
    /// The message in little-endian bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        self.body.iter().for_each(|value| body.value(value));
        let mut fields = Vec::new();
        let mut field = |code: u8, value: Value| {
            fields.push(Value::Struct(vec![Value::Byte(code), value.variant()]));
        };
        let texts = [
            (INTERFACE, &self.interface),
            (MEMBER, &self.member),
            (ERROR, &self.error),
            (DESTINATION, &self.destination),
        ];
        if !self.path.is_empty() {
            field(PATH, Value::Path(self.path.clone()));
        }
        texts.into_iter().filter(|(_, text)| !text.is_empty()).for_each(|(code, text)| field(code, Value::str(text)));
        if self.reply_to != 0 {
            field(REPLY_TO, Value::U32(self.reply_to));
        }
        if !self.body.is_empty() {
            let signature = self.body.iter().map(Value::signature).collect();
            field(SIGNATURE, Value::Signature(signature));
        }
        let mut message = Encoder(vec![LITTLE, self.kind as u8, 0, 1]);
        message.value(&Value::U32(u32::try_from(body.0.len()).unwrap_or(u32::MAX)));
        message.value(&Value::U32(self.serial));
        message.value(&Value::Array("(yv)".into(), fields));
        message.align(8);
        message.0.extend(body.0);
        message.0
    }

    /// How many bytes the message has that begins with `bytes`; `None` while there are too few to tell.
    pub fn length(bytes: &[u8]) -> Result<Option<usize>> {
        let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
        let mut decoder = Decoder::new(fixed, 4);
        let body = decoder.u32()? as usize;
        decoder.u32()?;
        let header = FIXED + decoder.u32()? as usize;
        let length = header.next_multiple_of(8) + body;
        if length > MAX_MESSAGE { Err(Malformed) } else { Ok(Some(length)) }
    }

    /// Reads a whole message.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let kind = match *bytes.get(1).ok_or(Malformed)? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return Err(Malformed),
        };
        let mut decoder = Decoder::new(bytes, 8);
        let mut message = Message { kind, serial: decoder.u32()?, ..Message::default() };
        let Value::Array(_, fields) = decoder.value("a(yv)")? else { return Err(Malformed) };
        let mut signature = String::new();
        for field in fields {
            let Value::Struct(pair) = field else { return Err(Malformed) };
            let [Value::Byte(code), Value::Variant(value)] = pair.as_slice() else { return Err(Malformed) };
            let text = || value.text().map(str::to_owned).ok_or(Malformed);
            match (*code, value.as_ref()) {
                (PATH, _) => message.path = text()?,
                (INTERFACE, _) => message.interface = text()?,
                (MEMBER, _) => message.member = text()?,
                (ERROR, _) => message.error = text()?,
                (DESTINATION, _) => message.destination = text()?,
                (SIGNATURE, _) => signature = text()?,
                (REPLY_TO, Value::U32(serial)) => message.reply_to = *serial,
                _ => {}
            }
        }
        decoder.align(8)?;
        let types = all(&signature).ok_or(Malformed)?;
        message.body = types.into_iter().map(|one| decoder.value(one)).collect::<Result<_>>()?;
        Ok(message)
    }
}

/// The alignment of a type, in bytes.
fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

#[derive(Debug, Default)]
struct Encoder(Vec<u8>);

impl Encoder {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.0.extend(bytes);
    }

    fn length(&mut self, length: usize) {
        self.number(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Byte(n) => self.0.push(*n),
            Value::Bool(b) => self.length(usize::from(*b)),
            Value::I16(n) => self.number(n.to_le_bytes()),
            Value::U16(n) => self.number(n.to_le_bytes()),
            Value::I32(n) => self.number(n.to_le_bytes()),
            Value::U32(n) => self.number(n.to_le_bytes()),
            Value::I64(n) => self.number(n.to_le_bytes()),
            Value::U64(n) => self.number(n.to_le_bytes()),
            Value::F64(n) => self.number(n.to_le_bytes()),
            Value::Str(text) | Value::Path(text) => {
                self.length(text.len());
                self.text(text);
            }
            Value::Signature(text) => self.signature(text),
            Value::Variant(inner) => {
                self.signature(&inner.signature());
                self.value(inner);
            }
            Value::Array(of, elements) => {
                self.length(0);
                let length_at = self.0.len() - 4;
                self.align(alignment(of));
                let start = self.0.len();
                elements.iter().for_each(|element| self.value(element));
                let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
                self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
            Value::Entry(entry) => {
                self.align(8);
                self.value(&entry.0);
                self.value(&entry.1);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.text(text);
    }
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
    depth: usize,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Decoder<'a> {
        Decoder { bytes, at, little: bytes.first() == Some(&LITTLE), depth: 0 }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or(Malformed)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(bytes)
    }

    fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.align(N)?;
        let mut bytes: [u8; N] = self.take(N)?.try_into().map_err(|_| Malformed)?;
        if !self.little {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?.to_vec();
        if self.take(1)? != [0] {
            return Err(Malformed);
        }
        String::from_utf8(text).map_err(|_| Malformed)
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.take(1)?[0];
        self.text(usize::from(length))
    }

    /// A value of the one complete type `signature`.
    fn value(&mut self, signature: &str) -> Result<Value> {
        Ok(match signature.as_bytes().first().ok_or(Malformed)? {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(self.u32()? != 0),
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' => Value::U32(self.u32()?),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::F64(f64::from_le_bytes(self.number()?)),
            b's' => Value::Str(self.long_text()?),
            b'o' => Value::Path(self.long_text()?),
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let inner = self.signature()?;
                let Some((one, "")) = first(&inner) else { return Err(Malformed) };
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Malformed);
                }
                let value = self.value(one)?.variant();
                self.depth -= 1;
                value
            }
            b'a' => self.array(&signature[1..])?,
            b'(' => {
                self.align(8)?;
                let types = all(&signature[1..signature.len() - 1]).ok_or(Malformed)?;
                Value::Struct(types.into_iter().map(|one| self.value(one)).collect::<Result<_>>()?)
            }
            b'{' => {
                self.align(8)?;
                let types = all(&signature[1..signature.len() - 1]).ok_or(Malformed)?;
                let [key, value] = types.as_slice() else { return Err(Malformed) };
                Value::Entry(Box::new((self.value(key)?, self.value(value)?)))
            }
            _ => return Err(Malformed),
        })
    }

    fn long_text(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    fn array(&mut self, of: &str) -> Result<Value> {
        let length = self.u32()? as usize;
        self.align(alignment(of))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Malformed)?;
        let mut elements = Vec::new();
        while self.at < end {
            elements.push(self.value(of)?);
        }
        if self.at == end { Ok(Value::Array(of.to_owned(), elements)) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests;
