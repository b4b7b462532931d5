//! Values as people write them: the text format of GVariant, as in `busctl` and `org.systemd.property.*` annotations.
//!
//! <https://docs.gtk.org/glib/gvariant-text-format.html>. Of the types only those that D-Bus has too are read.

use super::value::{Value, first};

/// How deep containers may be nested.
const MAX_DEPTH: usize = 16;

/// Reads one value.
///
/// # Errors
/// What cannot be read, from the place where that shows.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { rest: text.trim_start(), depth: 0 };
    let value = reader.value(None)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(format!("unexpected {:?}", reader.rest)) }
}

/// The words for types, and how signatures spell those.
const WORDS: [(&str, &str); 12] = [
    ("byte", "y"),
    ("boolean", "b"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

struct Reader<'a> {
    /// Begins with no blank.
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    /// Passes over `token` if it is next.
    fn accept(&mut self, token: char) -> bool {
        let next = self.rest.starts_with(token);
        if next {
            self.skip(token.len_utf8());
        }
        next
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.accept(token) { Ok(()) } else { Err(format!("expected {token:?} before {:?}", self.rest)) }
    }

    /// A word or a number.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
        let word = &self.rest[..end.unwrap_or(self.rest.len())];
        self.skip(word.len());
        word
    }

    /// A value of type `want`, or of what it looks like.
    fn value(&mut self, want: Option<&str>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("nested too deep".into());
        }
        let value = match self.rest.chars().next() {
            Some('@') => self.annotated(),
            Some('[') => self.array(want),
            Some('{') => self.dictionary(want),
            Some('(') => self.tuple(want),
            Some('<') => {
                self.skip(1);
                let inner = self.value(None)?;
                self.expect('>').map(|()| inner.variant())
            }
            Some('\'' | '"') => self.string().and_then(|text| string(text, want)),
            Some(_) => self.plain(want),
            None => Err("a value is missing".into()),
        }?;
        self.depth -= 1;
        match want {
            Some(want) if value.signature() != want => {
                Err(format!("type {} is not the expected {want}", value.signature()))
            }
            _ => Ok(value),
        }
    }

    fn annotated(&mut self) -> Result<Value, String> {
        let (signature, _) = first(&self.rest[1..]).ok_or_else(|| format!("no type in {:?}", self.rest))?;
        self.skip(1 + signature.len());
        self.value(Some(signature))
    }

    /// A number, `true` or `false`, or a word for the type of the value after it.
    fn plain(&mut self, want: Option<&str>) -> Result<Value, String> {
        let before = self.rest;
        match self.word() {
            "" => Err(format!("unexpected {before:?}")),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => match WORDS.iter().find(|(name, _)| *name == word) {
                Some((_, signature)) => self.value(Some(signature)),
                None => {
                    number(word, want).ok_or_else(|| format!("{word:?} is not a number of type {}", of(want, word)))
                }
            },
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.skip(at + 1);
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('\n') => {}
                Some(digits @ ('u' | 'U')) => {
                    let digits = if digits == 'u' { 4 } else { 8 };
                    let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    let c = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    text.push(c.ok_or_else(|| format!("{hex:?} is not the number of a character"))?);
                }
                Some(c) => text.push(c),
                None => {}
            }
        }
        Err(format!("no end of the string {}", self.rest))
    }

    fn array(&mut self, want: Option<&str>) -> Result<Value, String> {
        let mut of = want.and_then(|want| want.strip_prefix('a')).map(str::to_owned);
        let mut elements = Vec::new();
        self.expect('[')?;
        while !self.accept(']') {
            let element = self.value(of.as_deref())?;
            of.get_or_insert_with(|| element.signature());
            elements.push(element);
            if !self.accept(',') {
                self.expect(']')?;
                break;
            }
        }
        let of = of.ok_or("an empty array needs a type, as in @as []")?;
        Ok(Value::Array(of, elements))
    }

    fn dictionary(&mut self, want: Option<&str>) -> Result<Value, String> {
        let mut types = want.and_then(|want| {
            let (key, value) = want.strip_prefix("a{")?.strip_suffix('}')?.split_at(1);
            Some((key.to_owned(), value.to_owned()))
        });
        let mut entries = Vec::new();
        self.expect('{')?;
        while !self.accept('}') {
            let key = self.value(types.as_ref().map(|(key, _)| key.as_str()))?;
            self.expect(':')?;
            let value = self.value(types.as_ref().map(|(_, value)| value.as_str()))?;
            types.get_or_insert_with(|| (key.signature(), value.signature()));
            entries.push(Value::Entry(Box::new((key, value))));
            if !self.accept(',') {
                self.expect('}')?;
                break;
            }
        }
        let (key, value) = types.ok_or("an empty dictionary needs a type, as in @a{ss} {}")?;
        Ok(Value::Array(format!("{{{key}{value}}}"), entries))
    }

    fn tuple(&mut self, want: Option<&str>) -> Result<Value, String> {
        let mut types = want.and_then(|want| want.strip_prefix('(')?.strip_suffix(')'));
        let mut fields = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            let next = types.and_then(first);
            fields.push(self.value(next.map(|(one, _)| one))?);
            types = next.map(|(_, rest)| rest);
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        if fields.is_empty() { Err("D-Bus has no empty tuples".into()) } else { Ok(Value::Struct(fields)) }
    }
}

fn string(text: String, want: Option<&str>) -> Result<Value, String> {
    match want {
        Some("o") if !text.starts_with('/') => Err(format!("{text:?} is not an object path")),
        _ if text.contains('\0') => Err("a string contains a zero byte".into()),
        Some("o") => Ok(Value::Path(text)),
        Some("g") if super::value::all(&text).is_none() => Err(format!("{text:?} is not a list of types")),
        Some("g") => Ok(Value::Signature(text)),
        _ => Ok(Value::Str(text)),
    }
}

fn of<'a>(want: Option<&'a str>, word: &str) -> &'a str {
    want.unwrap_or(if word.contains('.') { "d" } else { "i" })
}

/// `word` as a number of type `want`, else as one with a fraction or a 32-bit one.
fn number(word: &str, want: Option<&str>) -> Option<Value> {
    let want = of(want, word);
    if want == "d" {
        return word.parse().ok().map(Value::F64);
    }
    let (sign, digits) = match word.as_bytes().first()? {
        b'-' => ("-", &word[1..]),
        b'+' => ("", &word[1..]),
        _ => ("", word),
    };
    let (radix, digits) = match digits.strip_prefix("0x") {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        None => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(&format!("{sign}{digits}"), radix).ok()?;
    match want {
        "y" => number.try_into().ok().map(Value::Byte),
        "n" => number.try_into().ok().map(Value::I16),
        "q" => number.try_into().ok().map(Value::U16),
        "i" => number.try_into().ok().map(Value::I32),
        "u" => number.try_into().ok().map(Value::U32),
        "x" => number.try_into().ok().map(Value::I64),
        "t" => number.try_into().ok().map(Value::U64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let text = |text: &str| Value::str(text);
        let list = |items: &[&str]| Value::Array("s".into(), items.iter().map(|item| Value::str(*item)).collect());
        let cases = [
            ("true", Value::Bool(true)),
            ("5", Value::I32(5)),
            ("-5", Value::I32(-5)),
            ("0x1f", Value::I32(31)),
            ("010", Value::I32(8)),
            ("0", Value::I32(0)),
            ("5.5", Value::F64(5.5)),
            ("uint64 18446744073709551615", Value::U64(u64::MAX)),
            ("@t 7", Value::U64(7)),
            ("byte 0xff", Value::Byte(255)),
            ("int64 -9", Value::I64(-9)),
            ("double 3", Value::F64(3.0)),
            ("'it''", text("it")),
            (r#""a 'b'\n\u00e9""#, text("a 'b'\né")),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("@g 'a{sv}'", Value::Signature("a{sv}".into())),
            ("['a', 'b']", list(&["a", "b"])),
            (" [ 'a' , ] ", list(&["a"])),
            ("@as []", list(&[])),
            ("[uint32 1, 2]", Value::Array("u".into(), vec![Value::U32(1), Value::U32(2)])),
            ("('a', uint64 1)", Value::Struct(vec![text("a"), Value::U64(1)])),
            ("@(st) ('a', 1)", Value::Struct(vec![text("a"), Value::U64(1)])),
            ("<'a'>", text("a").variant()),
            ("{'a': 1}", Value::Array("{si}".into(), vec![Value::Entry(Box::new((text("a"), Value::I32(1))))])),
            ("@a{sv} {}", Value::Array("{sv}".into(), vec![])),
        ];
        for (given, want) in cases {
            // What follows a string is not part of it.
            let given = given.strip_suffix("''").map_or(given.to_owned(), |start| format!("{start}'"));
            assert_eq!(parse(&given), Ok(want), "{given}");
        }
    }

    #[test]
    fn refused() {
        for given in [
            "",
            " ",
            "x",
            "'a",
            "[1",
            "[",
            "(",
            "()",
            "[]",
            "{}",
            "{'a'}",
            "{'a': }",
            "5 5",
            "[1, 'a']",
            "byte 256",
            "uint64 -1",
            "int32 2147483648",
            "@",
            "@z 1",
            "@s 1",
            "boolean 1",
            "objectpath 'a'",
            "-",
            "0x",
            "--1",
            "<1",
            "string 'a\\u0000'",
        ] {
            assert!(parse(given).is_err(), "{given}: {:?}", parse(given));
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
