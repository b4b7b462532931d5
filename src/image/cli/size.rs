//! Amounts: `512m`, `1.5`.

use coracle_image::error::{Error, Result};

/// Bytes: a number with one of the units b, k, m, g, t, which are powers of 1024.
pub fn bytes(text: &str) -> Result<i64> {
    let invalid = || Error::invalid(format!("{text:?} must be a number of bytes, like 512m"));
    let lower = text.to_ascii_lowercase();
    let (number, shift) = match lower.strip_suffix(['b', 'k', 'm', 'g', 't']) {
        None => (lower.as_str(), 0),
        Some(number) => {
            (number, lower.bytes().last().map_or(0, |unit| 10 * b"bkmgt".iter().position(|u| *u == unit).unwrap_or(0)))
        }
    };
    let number: i64 = number.parse().map_err(|_| invalid())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(invalid)
}

/// Thousandths of processors.
pub fn processors(text: &str) -> Result<i64> {
    let invalid = || Error::invalid(format!("{text:?} must be a number of processors, like 1.5"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 || (whole.is_empty() && part.is_empty()) {
        return Err(invalid());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let part: i64 = format!("{part:0<3}").parse().map_err(|_| invalid())?;
    // 10 thousandths are the least time the kernel gives.
    whole.checked_mul(1000).map(|whole| whole + part).filter(|all| *all >= 10).ok_or_else(invalid)
}

/// For people: three digits and a unit.
pub fn shown(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" || value >= 99.95 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, expected) in [
            ("1", Some(1)),
            ("2k", Some(2048)),
            ("512M", Some(512 << 20)),
            ("1g", Some(1 << 30)),
            ("3b", Some(3)),
            ("", None),
            ("0", None),
            ("-1", None),
            ("1x", None),
            ("m", None),
            ("9223372036854775807k", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            (".25", Some(250)),
            ("0.01", Some(10)),
            ("", None),
            (".", None),
            ("0", None),
            ("-1", None),
            ("1.2345", None),
            ("x", None),
        ] {
            assert_eq!(processors(text).ok(), expected, "{text}");
        }
        for (amount, text) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (999_600, "1.0 MB")]
        {
            assert_eq!(shown(amount), text);
        }
    }
}
