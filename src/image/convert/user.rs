//! Who runs: `USER[:GROUP]` of an image or a command line, looked up in the image's own files.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// Groups one user can be in (the kernel's NGROUPS_MAX).
const GROUPS_LIMIT: usize = 65536;

/// The texts of an image's /etc/passwd and /etc/group, empty if it has none.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    pub passwd: String,
    pub group: String,
}

/// The ids of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub additional: Vec<u32>,
}

/// A line of /etc/passwd.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl Accounts {
    /// The ids of `USER[:GROUP]`; nobody said is root. A number is always an id and never a name, so that a line
    /// `1000:x:0:0:` makes nobody root; a number that is none (negative, over 32 bits) is an error (CVE-2024-40635).
    pub fn find(&self, spec: &str) -> Result<Ids> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let unknown = |kind: &str, name: &str| Error::invalid(format!("no {kind} {name:?} in the image"));
        let user = if user.is_empty() { "0" } else { user };
        let account = match number(user)? {
            Some(uid) => {
                let known = self.users().find(|account| account.uid == uid);
                known.unwrap_or(Account { name: "", uid, gid: 0 })
            }
            None => self.users().find(|account| account.name == user).ok_or_else(|| unknown("user", user))?,
        };
        // An explicit group is all that is wanted.
        let Some(group) = group.filter(|group| !group.is_empty()) else {
            return Ok(Ids { uid: account.uid, gid: account.gid, additional: self.groups_of(account.name)? });
        };
        let gid = match number(group)? {
            Some(gid) => gid,
            None => {
                let named = self.groups().find(|(name, ..)| *name == group);
                named.ok_or_else(|| unknown("group", group))?.1
            }
        };
        Ok(Ids { uid: account.uid, gid, additional: Vec::new() })
    }

    fn users(&self) -> impl Iterator<Item = Account<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let (uid, gid) = (fields.nth(1)?, fields.next()?);
            Some(Account { name, uid: number(uid).ok()??, gid: number(gid).ok()?? })
        })
    }

    /// Name, id and members of each group.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let gid = number(fields.nth(1)?).ok()??;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }

    fn groups_of(&self, user: &str) -> Result<Vec<u32>> {
        if user.is_empty() {
            return Ok(Vec::new());
        }
        let member = |members: &str| members.split(',').any(|member| member.trim() == user);
        let found: BTreeSet<u32> =
            self.groups().filter(|(.., members)| member(members)).map(|(_, gid, _)| gid).collect();
        if found.len() > GROUPS_LIMIT {
            return Err(Error::invalid(format!("user {user:?} is in more than {GROUPS_LIMIT} groups")));
        }
        Ok(found.into_iter().collect())
    }
}

/// The id that `text` is; `None` if it is a name, an error if it looks like a number that no id can be. The highest
/// number means "no change" to the kernel.
fn number(text: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id != u32::MAX && digits == text => Ok(Some(id)),
        _ => Err(Error::invalid(format!("id {text} is out of range"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(spec: &str) -> Option<(u32, u32, Vec<u32>)> {
        let accounts = Accounts {
            passwd: "root:x:0:0::/root:/bin/sh\nbroken\nweb:x:33:34::/:\n1000:x:0:0::/:\nbad:x:4294967296:0::/:\n"
                .into(),
            group: "root:x:0:\nadm:x:4:web,root\nssl:x:110: web\nstaff:x:50:\nbad:x:-1:web\n".into(),
        };
        accounts.find(spec).ok().map(|ids| (ids.uid, ids.gid, ids.additional))
    }

    #[test]
    fn users_and_groups() {
        type Found<'a> = Option<(u32, u32, &'a [u32])>;
        let cases: &[(&str, Found<'_>)] = &[
            ("", Some((0, 0, &[4]))),
            ("root", Some((0, 0, &[4]))),
            ("web", Some((33, 34, &[4, 110]))),
            ("33", Some((33, 34, &[4, 110]))),
            ("web:staff", Some((33, 50, &[]))),
            ("web:7", Some((33, 7, &[]))),
            ("web:", Some((33, 34, &[4, 110]))),
            (":staff", Some((0, 50, &[]))),
            ("1000", Some((1000, 0, &[]))),
            ("12345:6", Some((12345, 6, &[]))),
            ("nosuch", None),
            ("web:nosuch", None),
            ("bad", None),
            ("-1", None),
            ("+1", None),
            ("4294967295", None),
            ("4294967296", None),
            ("web:-1", None),
            ("web:1:2", None),
        ];
        for (spec, expected) in cases {
            let expected = expected.map(|(uid, gid, groups)| (uid, gid, groups.to_vec()));
            assert_eq!(find(spec), expected, "{spec:?}");
        }
    }
}
