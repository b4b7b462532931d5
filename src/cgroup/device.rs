//! Rules for access to devices, and what they amount to.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::error::Invalid;

/// The kinds of access, as bits (`BPF_DEVCG_ACC_*` of linux/bpf.h).
pub(crate) const MKNOD: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;
pub(crate) const ALL: u8 = MKNOD | READ | WRITE;

/// The kinds of device (`BPF_DEVCG_DEV_*` of linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block = 1,
    Char = 2,
}

/// Allows or denies some kinds of access to some devices; `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub allow: bool,
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u8,
}

impl Rule {
    const fn allow(kind: Kind, major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
        Rule { allow: true, kind: Some(kind), major, minor, access }
    }

    /// Whether it is about every access to every device.
    pub fn is_total(&self) -> bool {
        matches!(self, Rule { kind: None, major: None, minor: None, access: ALL, .. })
    }
}

/// What every container may do: make any node, use the devices that every container has, and its terminals.
const ALWAYS: [Rule; 11] = [
    Rule::allow(Kind::Char, None, None, MKNOD),
    Rule::allow(Kind::Block, None, None, MKNOD),
    Rule::allow(Kind::Char, Some(1), Some(3), ALL),    // null
    Rule::allow(Kind::Char, Some(1), Some(8), ALL),    // random
    Rule::allow(Kind::Char, Some(1), Some(7), ALL),    // full
    Rule::allow(Kind::Char, Some(5), Some(0), ALL),    // tty
    Rule::allow(Kind::Char, Some(1), Some(5), ALL),    // zero
    Rule::allow(Kind::Char, Some(1), Some(9), ALL),    // urandom
    Rule::allow(Kind::Char, Some(136), None, ALL),     // pts/*
    Rule::allow(Kind::Char, Some(5), Some(2), ALL),    // ptmx
    Rule::allow(Kind::Char, Some(10), Some(200), ALL), // net/tun
];

/// `list` in its order, then what is always allowed.
pub(crate) fn rules(list: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Invalid> {
    let given = list.iter().enumerate().map(|(i, rule)| parse(&format!("devices/{i}"), rule));
    given.chain(ALWAYS.into_iter().map(Ok)).collect()
}

fn parse(field: &str, from: &LinuxDeviceCgroup) -> Result<Rule, Invalid> {
    let kind = match from.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C) => Some(Kind::Char),
        Some(other) => {
            return Err(Invalid::new(&format!("{field}/type"), format!("{:?} is not a, b or c", other.as_str())));
        }
    };
    let access_field = format!("{field}/access");
    let access = match from.access().as_deref() {
        None | Some("") => return Err(Invalid::new(&access_field, "cannot be empty")),
        Some(text) => text.chars().try_fold(0, |access, c| match c {
            'r' => Ok(access | READ),
            'w' => Ok(access | WRITE),
            'm' => Ok(access | MKNOD),
            _ => Err(Invalid::new(&access_field, format!("{text:?} has more than r, w and m"))),
        })?,
    };
    Ok(Rule {
        allow: from.allow(),
        kind,
        major: number(&format!("{field}/major"), from.major())?,
        minor: number(&format!("{field}/minor"), from.minor())?,
        access,
    })
}

/// Clients write -1 for any number.
fn number(field: &str, value: Option<i64>) -> Result<Option<u32>, Invalid> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Invalid::new(field, format!("{value} is not the number of a device"))),
    }
}

/// What `rules` come down to: whether access is allowed where none of the returned rules matches, and those rules
/// without the leading ones that change nothing.
pub(crate) fn effective(rules: &[Rule]) -> (bool, &[Rule]) {
    let total = rules.iter().rposition(Rule::is_total);
    let base = total.is_some_and(|i| rules[i].allow);
    let rest = &rules[total.map_or(0, |i| i + 1)..];
    let first = rest.iter().position(|rule| rule.allow != base).unwrap_or(rest.len());
    (base, &rest[first..])
}

/// Whether `rules` let a process do `access` to a device: each kind of access is decided by the last rule about it,
/// and what no rule is about is denied. The definition that the compiled forms are tested against.
#[cfg(any(test, fuzzing))]
pub(crate) fn allowed(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let about = |rule: &&Rule| {
            rule.kind.is_none_or(|k| k == kind)
                && rule.major.is_none_or(|m| m == major)
                && rule.minor.is_none_or(|m| m == minor)
                && rule.access & bit != 0
        };
        rules.iter().rev().find(about).is_some_and(|rule| rule.allow)
    })
}

/// Rules and accesses that overlap often: few numbers, drawn by a fixed sequence.
#[cfg(test)]
pub(crate) mod random {
    use super::*;

    pub struct Random(u64);

    impl Random {
        pub fn new(seed: u64) -> Random {
            Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
        }

        pub fn below(&mut self, n: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            u32::try_from(self.0 >> 33).unwrap() % n
        }

        pub fn rule(&mut self) -> Rule {
            let number = |random: &mut Random| [None, Some(0), Some(1), Some(2)][random.below(4) as usize];
            let rule = Rule {
                allow: self.below(2) == 0,
                kind: [None, Some(Kind::Block), Some(Kind::Char)][self.below(3) as usize],
                major: number(self),
                minor: number(self),
                access: u8::try_from(self.below(7)).unwrap() + 1,
            };
            // Rules about everything are what real lists start with.
            if self.below(8) == 0 { Rule { kind: None, major: None, minor: None, access: ALL, ..rule } } else { rule }
        }

        pub fn rules(&mut self) -> Vec<Rule> {
            let n = self.below(9);
            (0..n).map(|_| self.rule()).collect()
        }
    }

    /// Every access the rules above can tell apart.
    pub fn accesses() -> impl Iterator<Item = (Kind, u32, u32, u8)> {
        [Kind::Block, Kind::Char].into_iter().flat_map(|kind| {
            (0..4).flat_map(move |major| {
                (0..4).flat_map(move |minor| (0..=ALL).map(move |access| (kind, major, minor, access)))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Result<Vec<Rule>, Invalid> {
        rules(&serde_json::from_str::<Vec<LinuxDeviceCgroup>>(json).unwrap())
    }

    #[test]
    fn default_devices_stay_usable_under_deny_all() {
        let rules = from(r#"[{"allow": false, "access": "rwm"}]"#).unwrap();
        for (kind, major, minor, access, want) in [
            (Kind::Char, 1, 3, READ | WRITE, true),
            (Kind::Char, 136, 77, READ | WRITE, true),
            (Kind::Char, 10, 200, READ | WRITE, true),
            (Kind::Char, 4, 64, MKNOD, true),
            (Kind::Block, 8, 0, MKNOD, true),
            (Kind::Block, 8, 0, READ, false),
            (Kind::Char, 1, 1, READ, false),
        ] {
            assert_eq!(allowed(&rules, kind, major, minor, access), want, "{kind:?} {major}:{minor} {access}");
        }
        assert!(!allowed(&from("[]").unwrap(), Kind::Block, 8, 0, READ), "nothing is allowed without a rule");
    }

    #[test]
    fn the_last_rule_decides() {
        let rules = from(
            r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "access": "rw"},
                {"allow": false, "type": "b", "major": 8, "minor": 1, "access": "w"}]"#,
        )
        .unwrap();
        assert!(allowed(&rules, Kind::Block, 8, 0, READ | WRITE));
        assert!(allowed(&rules, Kind::Block, 8, 1, READ));
        assert!(!allowed(&rules, Kind::Block, 8, 1, READ | WRITE));
    }

    #[test]
    fn fields_that_are_refused() {
        for (json, pointer) in [
            (r#"[{"allow": true, "access": ""}]"#, "/linux/resources/devices/0/access"),
            (r#"[{"allow": true}]"#, "/linux/resources/devices/0/access"),
            (r#"[{"allow": true, "access": "rx"}]"#, "/linux/resources/devices/0/access"),
            (
                r#"[{"allow": true, "access": "r"}, {"allow": true, "type": "p", "access": "r"}]"#,
                "/linux/resources/devices/1/type",
            ),
            (r#"[{"allow": true, "major": -2, "access": "r"}]"#, "/linux/resources/devices/0/major"),
            (r#"[{"allow": true, "minor": 4294967296, "access": "r"}]"#, "/linux/resources/devices/0/minor"),
        ] {
            assert_eq!(from(json).unwrap_err().pointer, pointer, "{json}");
        }
    }

    #[test]
    fn effective_rules_mean_the_same() {
        let mut random = random::Random::new(1);
        for _ in 0..2000 {
            let rules = random.rules();
            let (base, rest) = effective(&rules);
            let mut shorter = vec![Rule { allow: base, kind: None, major: None, minor: None, access: ALL }];
            shorter.extend(rest);
            for (kind, major, minor, access) in random::accesses() {
                assert_eq!(
                    allowed(&rules, kind, major, minor, access),
                    allowed(&shorter, kind, major, minor, access),
                    "{rules:?}"
                );
            }
        }
    }
}
