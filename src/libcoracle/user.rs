//! `UID[:GID]` of the command line.

use std::fmt;
use std::str::FromStr;

/// A user and perhaps a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserSpec {
    pub uid: u32,
    pub gid: Option<u32>,
}

/// It is not `UID` or `UID:GID` in decimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUser(String);

impl FromStr for UserSpec {
    type Err = InvalidUser;

    /// All of `text` counts: a part that does not parse is never passed over (CVE-2026-30892).
    fn from_str(text: &str) -> Result<UserSpec, InvalidUser> {
        let number = |part: &str| match part.parse::<u32>() {
            // The kernel takes the highest number for "no change".
            Ok(n) if n != u32::MAX && part.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => Err(InvalidUser(text.to_owned())),
        };
        match text.split_once(':') {
            Some((uid, gid)) => Ok(UserSpec { uid: number(uid)?, gid: Some(number(gid)?) }),
            None => Ok(UserSpec { uid: number(text)?, gid: None }),
        }
    }
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid user \"{}\": must be UID or UID:GID, in numbers", self.0)
    }
}

impl std::error::Error for InvalidUser {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_and_nothing_else() {
        let ok = |text: &str| text.parse::<UserSpec>().ok().map(|user| (user.uid, user.gid));
        for (text, user) in [
            ("0", Some((0, None))),
            ("1", Some((1, None))),
            ("1000:100", Some((1000, Some(100)))),
            ("4294967294", Some((4_294_967_294, None))),
            ("", None),
            ("x", None),
            ("1:", None),
            (":1", None),
            ("-1", None),
            ("+1", None),
            ("1:2:3", None),
            ("1 ", None),
            ("4294967295", None),
            ("4294967296", None),
        ] {
            assert_eq!(ok(text), user, "{text:?}");
        }
    }
}
