//! Spans of time as programs written in Go accept them.

use std::str::FromStr;
use std::time::Duration;

/// A span of time such as `5s`, `100ms` or `1m30s`: numbers with units, and nothing else but a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub length: Duration,
    pub negative: bool,
}

/// A text that is none.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSpan;

impl std::fmt::Display for NoSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a span of time such as 5s, 100ms or 1m30s")
    }
}

impl std::error::Error for NoSpan {}

/// What a Go duration can hold, nanoseconds.
const MOST: u128 = i64::MAX as u128;

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Span, NoSpan> {
        let negative = text.starts_with('-');
        let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
        if rest == "0" {
            return Ok(Span { length: Duration::ZERO, negative });
        }
        if rest.is_empty() {
            return Err(NoSpan);
        }
        let mut nanoseconds = 0u128;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(NoSpan)?;
            let (number, after) = rest.split_at(end);
            let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            nanoseconds += part(number, &after[..unit])?;
            rest = &after[unit..];
            if nanoseconds > MOST {
                return Err(NoSpan);
            }
        }
        // Checked against what fits in 63 bits.
        let length = Duration::from_nanos(u64::try_from(nanoseconds).map_err(|_| NoSpan)?);
        Ok(Span { length, negative })
    }
}

/// The nanoseconds in `number` of `unit`, fractions of one dropped.
fn part(number: &str, unit: &str) -> Result<u128, NoSpan> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(NoSpan),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| -> Result<u128, NoSpan> {
        match text {
            "" => Ok(0),
            // Longer ones are out of range anyway.
            text if text.len() <= 19 => text.parse().map_err(|_| NoSpan),
            _ => Err(NoSpan),
        }
    };
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(NoSpan);
    }
    // More digits than these are less than a nanosecond of an hour.
    let fraction = fraction.get(..fraction.len().min(15)).ok_or(NoSpan)?;
    let part = digits(fraction)? * scale / 10u128.pow(fraction.len() as u32);
    Ok(digits(whole)? * scale + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases: &[(&str, Option<(i128, bool)>)] = &[
            ("5s", Some((5_000_000_000, false))),
            ("100ms", Some((100_000_000, false))),
            ("1m30s", Some((90_000_000_000, false))),
            ("1h1m1s1ms1us1ns", Some((3_661_001_001_001, false))),
            ("1.5h", Some((5_400_000_000_000, false))),
            (".5s", Some((500_000_000, false))),
            ("5.s", Some((5_000_000_000, false))),
            ("2µs", Some((2000, false))),
            ("2μs", Some((2000, false))),
            ("0.3ns", Some((0, false))),
            ("0.1234567890123456789s", Some((123_456_789, false))),
            ("0", Some((0, false))),
            ("-0", Some((0, true))),
            ("0s", Some((0, false))),
            ("+3s", Some((3_000_000_000, false))),
            ("-1s", Some((1_000_000_000, true))),
            ("9223372036854775807ns", Some((i64::MAX as i128, false))),
            ("9223372036854775808ns", None),
            ("99999999999999999999s", None),
            ("2562047h", Some((2_562_047 * 3_600_000_000_000, false))),
            ("2562048h", None),
            ("", None),
            ("-", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("1.000000000000000.5s", None),
            ("5d", None),
            ("5S", None),
            (" 5s", None),
            ("5s ", None),
            ("5 s", None),
            ("--5s", None),
            ("5s-1s", None),
            ("1e3s", None),
        ];
        for (text, want) in cases {
            let got = text.parse::<Span>().ok().map(|span| (span.length.as_nanos() as i128, span.negative));
            assert_eq!(got, *want, "{text:?}");
        }
    }
}
