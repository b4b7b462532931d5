//! Times as they are written down.

use nix::time::{ClockId, clock_gettime};

/// Now, as RFC 3339 in UTC with nanoseconds (trailing zeros dropped), like Go's RFC3339Nano.
pub fn now() -> String {
    match clock_gettime(ClockId::CLOCK_REALTIME) {
        Ok(time) => rfc3339(time.tv_sec(), time.tv_nsec()),
        Err(_) => rfc3339(0, 0),
    }
}

fn rfc3339(seconds: i64, nanoseconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanoseconds != 0 {
        text.push_str(format!(".{nanoseconds:09}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar: years start in March, so that
/// the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_like_go_does() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z"),
            (1_795_309_696, 157_216_865, "2026-11-22T01:08:16.157216865Z"),
            (4_107_542_399, 1, "2100-02-28T23:59:59.000000001Z"),
        ] {
            assert_eq!(rfc3339(seconds, nanoseconds), text);
        }
    }
}
