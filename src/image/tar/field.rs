//! Numbers as tar writes them: octal text, or base 256 where the first bit is set; decimal in pax records.

use crate::error::{Error, Escaped, Result};
use crate::tar::Time;

/// A number of a header: octal digits between spaces and NULs, or a big-endian two's complement with the first bit set.
pub fn number(field: &[u8], what: &str) -> Result<i128> {
    let invalid = || Error::invalid(format!("the {what} field \"{}\" is no number", Escaped(field)));
    let Some(first) = field.first() else { return Err(invalid()) };
    if first & 0x80 != 0 {
        return base256(field).ok_or_else(invalid);
    }
    let end = field.iter().rposition(|b| !matches!(b, 0 | b' ')).map_or(0, |last| last + 1);
    let start = field[..end].iter().position(|&b| b != b' ').unwrap_or(end);
    let mut value: i128 = 0;
    for &digit in &field[start..end] {
        if !digit.is_ascii_digit() || digit > b'7' {
            return Err(invalid());
        }
        value = value * 8 + i128::from(digit - b'0');
    }
    Ok(value)
}

fn base256(field: &[u8]) -> Option<i128> {
    // The first bit says that it is binary, the second is the sign.
    let negative = field[0] & 0x40 != 0;
    let fill = if negative { 0xff } else { 0 };
    let bytes: Vec<u8> =
        field.iter().enumerate().map(|(i, &b)| if i > 0 { b } else { b & 0x7f | fill & 0x80 }).collect();
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(15));
    if high.iter().any(|&b| b != fill) {
        return None;
    }
    let mut value = [fill; 16];
    value[16 - low.len()..].copy_from_slice(low);
    Some(i128::from_be_bytes(value))
}

/// A decimal number of a pax record: digits, perhaps after a minus.
pub fn decimal(text: &[u8], what: &str) -> Result<i128> {
    let invalid = || Error::invalid(format!("{what} \"{}\" is no number", Escaped(text)));
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 30 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid());
    }
    let value = digits.iter().fold(0, |value: i128, digit| value * 10 + i128::from(digit - b'0'));
    Ok(if negative { -value } else { value })
}

/// A size: not negative, and such that sums of sizes do not overflow.
pub fn size(number: i128, what: &str) -> Result<u64> {
    u64::try_from(number)
        .ok()
        .filter(|&size| size < 1 << 62)
        .ok_or_else(|| Error::invalid(format!("{what} {number} is out of range")))
}

/// Seconds since 1970 with a fraction, as in the pax record `mtime`. Digits beyond nanoseconds are dropped.
pub fn time(text: &[u8]) -> Result<Time> {
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Error::invalid(format!("time \"{}\" is no number", Escaped(text))));
    }
    let mut nanoseconds = 0;
    for place in 0..9 {
        nanoseconds = nanoseconds * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    let mut seconds = decimal(whole, "time")?;
    if whole.starts_with(b"-") && nanoseconds > 0 {
        // -1.25 s is 0.75 s after -2 s.
        (seconds, nanoseconds) = (seconds - 1, 1_000_000_000 - nanoseconds);
    }
    moment(seconds, nanoseconds)
}

/// A moment that a file system can be asked for.
pub fn moment(seconds: i128, nanoseconds: u32) -> Result<Time> {
    // Beyond this the kernel's own time in nanoseconds overflows.
    const MOST: i128 = 1 << 55;
    match i64::try_from(seconds) {
        Ok(seconds) if i128::from(seconds).abs() < MOST => Ok(Time { seconds, nanoseconds }),
        _ => Err(Error::invalid(format!("time {seconds} is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_headers() {
        let good: [(&[u8], i128); 9] = [
            (b"0000644\0", 0o644),
            (b"   644 \0", 0o644),
            (b"77777777777", 0o77_777_777_777),
            (b"\0\0\0\0", 0),
            (b"", -1),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 1], (0x20 << 32) + 1),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb], -5),
            (&[0xff; 12], -1),
            (&[0x80, 0, 0, 0, 0, 0, 0, 5], 5),
        ];
        for (field, value) in good {
            match number(field, "size") {
                Ok(found) => assert_eq!(found, value, "{field:?}"),
                Err(_) => assert!(field.is_empty()),
            }
        }
        for bad in [&b"64x\0"[..], b"6 4", b"-1", b"0x1f", b"8", b"12\x0034"] {
            assert!(number(bad, "size").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times() {
        let t = |text: &str| time(text.as_bytes()).map(|t| (t.seconds, t.nanoseconds)).ok();
        assert_eq!(t("1"), Some((1, 0)));
        assert_eq!(t("1.5"), Some((1, 500_000_000)));
        assert_eq!(t("1.123456789987"), Some((1, 123_456_789)));
        assert_eq!(t("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(t("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(t("1."), Some((1, 0)));
        for bad in ["", ".5", "1.x", "1e5", "--1", "+1", "9223372036854775807", "1.-5"] {
            assert_eq!(t(bad), None, "{bad}");
        }
    }
}
