//! Values as D-Bus knows them, each with its type (D-Bus specification, "Type System").

/// One value of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Str(String),
    /// An object path.
    Path(String),
    /// A list of types.
    Signature(String),
    Variant(Box<Value>),
    /// The type of its elements, which may be none.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    /// Key and value of a dictionary, which is an array of these.
    Entry(Box<(Value, Value)>),
}

impl Value {
    pub fn str(text: impl Into<String>) -> Value {
        Value::Str(text.into())
    }

    pub fn variant(self) -> Value {
        Value::Variant(Box::new(self))
    }

    /// Its type, as signatures spell it.
    pub fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".into(),
            Value::Bool(_) => "b".into(),
            Value::I16(_) => "n".into(),
            Value::U16(_) => "q".into(),
            Value::I32(_) => "i".into(),
            Value::U32(_) => "u".into(),
            Value::I64(_) => "x".into(),
            Value::U64(_) => "t".into(),
            Value::F64(_) => "d".into(),
            Value::Str(_) => "s".into(),
            Value::Path(_) => "o".into(),
            Value::Signature(_) => "g".into(),
            Value::Variant(_) => "v".into(),
            Value::Array(of, _) => format!("a{of}"),
            Value::Struct(fields) => format!("({})", fields.iter().map(Value::signature).collect::<String>()),
            Value::Entry(entry) => format!("{{{}{}}}", entry.0.signature(), entry.1.signature()),
        }
    }

    /// The text of a string, an object path or a signature.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Path(text) | Value::Signature(text) => Some(text),
            _ => None,
        }
    }
}

/// How deep types may be nested: 32 arrays and 32 structs in the specification.
const DEPTH: usize = 64;

/// The first complete type of `signature` and the rest; `None` if it does not begin with one.
pub(crate) fn first(signature: &str) -> Option<(&str, &str)> {
    let length = length(signature.as_bytes(), DEPTH)?;
    Some(signature.split_at(length))
}

fn length(signature: &[u8], depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let types = |mut at: usize, end: u8| -> Option<(usize, usize)> {
        let mut count = 0;
        while *signature.get(at)? != end {
            at += length(&signature[at..], depth)?;
            count += 1;
        }
        Some((at + 1, count))
    };
    match signature.first()? {
        b'y' | b'b' | b'n' | b'q' | b'i' | b'u' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => Some(1),
        // The entry of a dictionary can only be in an array.
        b'a' if signature.get(1) == Some(&b'{') => {
            let basic = signature.get(2).is_some_and(|key| b"ybnqiuxtdsog".contains(key));
            types(2, b'}').filter(|(_, count)| basic && *count == 2).map(|(end, _)| end)
        }
        b'a' => Some(1 + length(&signature[1..], depth)?),
        b'(' => types(1, b')').filter(|(_, count)| *count > 0).map(|(end, _)| end),
        _ => None,
    }
}

/// The complete types of `signature`; `None` if it is malformed.
pub(crate) fn all(mut signature: &str) -> Option<Vec<&str>> {
    let mut types = Vec::new();
    while !signature.is_empty() {
        let (one, rest) = first(signature)?;
        types.push(one);
        signature = rest;
    }
    Some(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_types() {
        let cases: [(&str, Option<&[&str]>); 14] = [
            ("", Some(&[])),
            ("s", Some(&["s"])),
            ("ssa(sv)a(sa(sv))", Some(&["s", "s", "a(sv)", "a(sa(sv))"])),
            ("aayi", Some(&["aay", "i"])),
            ("a{sv}u", Some(&["a{sv}", "u"])),
            ("a", None),
            ("(", None),
            ("()", None),
            ("(s", None),
            ("z", None),
            ("{sv}", None),
            ("a{vs}", None),
            ("a{s}", None),
            ("a{svs}", None),
        ];
        for (signature, want) in cases {
            assert_eq!(all(signature).as_deref(), want, "{signature}");
        }
        assert_eq!(all(&"a".repeat(100)), None, "too deep");
    }

    #[test]
    fn values_know_their_type() {
        let pair = Value::Struct(vec![Value::str("a"), Value::U64(1).variant()]);
        assert_eq!(Value::Array("(sv)".into(), vec![pair]).signature(), "a(sv)");
        let entry = Value::Entry(Box::new((Value::Byte(1), Value::Path("/".into()))));
        assert_eq!(entry.signature(), "{yo}");
    }
}
