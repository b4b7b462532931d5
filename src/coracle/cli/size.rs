//! Amounts of memory as Docker's clients write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub i64);

/// A text that is none.
#[derive(Debug, PartialEq, Eq)]
pub enum NoSize {
    Number(String),
    Suffix(String),
}

impl fmt::Display for NoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSize::Number(text) => write!(f, "invalid size: '{text}'"),
            NoSize::Suffix(text) => write!(f, "invalid suffix: '{text}'"),
        }
    }
}

impl std::error::Error for NoSize {}

impl FromStr for Size {
    type Err = NoSize;

    /// A number, a blank if need be, and `b`, or one of `k m g t p` (multiples of 1024) with or without `b` or `ib`, in
    /// any case.
    fn from_str(text: &str) -> Result<Size, NoSize> {
        if text == "-1" {
            return Ok(Size(-1));
        }
        let wrong = || NoSize::Number(text.to_owned());
        let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(wrong)?;
        let (number, suffix) = text.split_at(end + 1);
        let number = number.strip_suffix(' ').unwrap_or(number);
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = Some(number).filter(|_| plain).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        let suffix = suffix.to_ascii_lowercase();
        let unit = match suffix.as_str() {
            "" | "b" => "",
            text => text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(text),
        };
        let shift = match unit {
            "" if suffix.is_empty() || suffix == "b" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            "t" => 40,
            "p" => 50,
            _ => return Err(NoSize::Suffix(suffix)),
        };
        let bytes = number * (1u64 << shift) as f64;
        // What is lost above 2^53 is less than a page.
        if bytes >= i64::MAX as f64 { Err(wrong()) } else { Ok(Size(bytes as i64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let number = |text: &str| Err(NoSize::Number(text.to_owned()));
        let suffix = |text: &str| Err(NoSize::Suffix(text.to_owned()));
        let cases = [
            ("-1", Ok(Size(-1))),
            ("0", Ok(Size(0))),
            ("32", Ok(Size(32))),
            ("32b", Ok(Size(32))),
            ("32B", Ok(Size(32))),
            ("32k", Ok(Size(32 << 10))),
            ("32K", Ok(Size(32 << 10))),
            ("32kb", Ok(Size(32 << 10))),
            ("32KiB", Ok(Size(32 << 10))),
            ("20m", Ok(Size(20 << 20))),
            ("1.5GiB", Ok(Size(3 << 29))),
            ("2t", Ok(Size(2 << 40))),
            ("2pb", Ok(Size(2 << 50))),
            ("32 m", Ok(Size(32 << 20))),
            ("32.", Ok(Size(32))),
            (".5k", Ok(Size(512))),
            ("1.9", Ok(Size(1))),
            ("", number("")),
            ("m", number("m")),
            (" m", number(" m")),
            ("-2", number("-2")),
            ("-1k", number("-1k")),
            ("+1k", number("+1k")),
            ("1 2", number("1 2")),
            ("1..2", number("1..2")),
            (".", number(".")),
            ("1e3", number("1e3")),
            ("inf", number("inf")),
            ("0x10", number("0x10")),
            ("9000p", number("9000p")),
            ("32mm", suffix("mm")),
            ("32kib ", number("32kib ")),
            ("32ib", suffix("ib")),
            ("32bb", suffix("bb")),
            ("32e", suffix("e")),
            ("32 kbit", suffix("kbit")),
            ("32ü", suffix("ü")),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Size>(), want, "{text:?}");
        }
    }
}
