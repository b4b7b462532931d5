//! Lists of processors and memory nodes: `0-3,7` (cpuset(7), list format).

use crate::Result;
use crate::invalid::Invalid;

/// The numbers in `text` as a bit mask, in words of 64; all are below `limit`.
///
/// # Errors
/// [`Invalid`] at `pointer` for anything but numbers and rising ranges.
pub fn mask(pointer: &str, text: &str, limit: usize) -> Result<Vec<u64>> {
    let refuse = |problem: String| Invalid::new(pointer, problem);
    let number = |part: &str| match part.trim().parse::<usize>() {
        Ok(n) if n < limit => Ok(n),
        Ok(n) => Err(refuse(format!("{n} is not below {limit}"))),
        Err(_) => Err(refuse(format!("\"{text}\" is no list of numbers and ranges, such as 0-3,7"))),
    };
    let mut mask = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(refuse(format!("the range {part} ends before it begins")));
        }
        mask.resize(mask.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|n| mask[n / 64] |= 1 << (n % 64));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn lists() {
        for (text, bits) in [
            ("0", Some(vec![1])),
            ("0-3,7", Some(vec![0b1000_1111])),
            (" 1 , 2 ", Some(vec![0b110])),
            ("64", Some(vec![0, 1])),
            ("63-64", Some(vec![1 << 63, 1])),
            ("", None),
            ("1-", None),
            ("-1", None),
            ("3-1", None),
            ("a", None),
            ("1,,2", None),
            ("128", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(mask("/x", text, 128).ok(), bits, "{text:?}");
        }
    }
}
