//! Access to devices: the kernel keeps a default and exceptions from it, all in one direction.

use std::collections::BTreeMap;

use crate::device::{ALL, Kind, MKNOD, READ, Rule, WRITE, effective};
use crate::write::Write;

/// Devices of one kind; `None` is any number. Ordered so that wider ones come first.
pub(crate) type Devices = (Kind, Option<u32>, Option<u32>);

/// The writes after which exactly what `rules` allow is allowed.
///
/// # Errors
/// What the kernel cannot express: an exception from an exception.
pub(crate) fn writes(rules: &[Rule]) -> Result<Vec<Write>, String> {
    let (base, rest) = effective(rules);
    let (reset, file) = if base { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    let exceptions = exceptions(base, rest)?;
    let lines = exceptions.iter().map(|(devices, access)| Write::new(file, line(*devices, *access)));
    Ok(std::iter::once(Write::new(reset, "a")).chain(lines).collect())
}

/// The exceptions from `base` that `rules` leave, with the kinds of access of each.
pub(crate) fn exceptions(base: bool, rules: &[Rule]) -> Result<BTreeMap<Devices, u8>, String> {
    let mut exceptions: BTreeMap<Devices, u8> = BTreeMap::new();
    for rule in rules {
        let kinds = rule.kind.map_or(vec![Kind::Block, Kind::Char], |kind| vec![kind]);
        for devices in kinds.into_iter().map(|kind| (kind, rule.major, rule.minor)) {
            if rule.allow != base {
                *exceptions.entry(devices).or_default() |= rule.access;
                continue;
            }
            for (other, access) in &mut exceptions {
                if covers(devices, *other) {
                    *access &= !rule.access;
                } else if common(devices, *other).is_some() && *access & rule.access != 0 {
                    return Err(format!(
                        "cgroup v1 cannot except {} from {}",
                        line(devices, rule.access),
                        line(*other, *access)
                    ));
                }
            }
        }
    }
    complete(&mut exceptions);
    exceptions.retain(|_, access| *access != 0);
    Ok(exceptions)
}

/// To open a device for reading and writing one exception must have both, so those about the same devices are united. To
/// make its node is asked for alone.
fn complete(exceptions: &mut BTreeMap<Devices, u8>) {
    let all: Vec<(Devices, u8)> = exceptions.iter().map(|(devices, access)| (*devices, *access)).collect();
    let pairs = all.iter().flat_map(|(a, _)| all.iter().filter_map(|(b, _)| common(*a, *b)));
    for devices in pairs {
        let over = all.iter().filter(|(other, _)| covers(*other, devices));
        let union = over.clone().fold(0, |union, (_, access)| union | access);
        // Nothing to add where one of them says it all.
        if over.clone().all(|(_, access)| (union & !access) & (READ | WRITE) != 0) {
            exceptions.insert(devices, union);
        }
    }
}

/// Whether `a` has all devices of `b`.
fn covers(a: Devices, b: Devices) -> bool {
    common(a, b) == Some(b)
}

/// The devices that are in both.
fn common(a: Devices, b: Devices) -> Option<Devices> {
    let number = |a: Option<u32>, b: Option<u32>| match (a, b) {
        (Some(a), Some(b)) if a != b => None,
        _ => Some(a.or(b)),
    };
    (a.0 == b.0).then_some(())?;
    Some((a.0, number(a.1, b.1)?, number(a.2, b.2)?))
}

/// As the kernel reads it: `c 1:3 rwm`.
fn line((kind, major, minor): Devices, access: u8) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let kind = match kind {
        Kind::Block => 'b',
        Kind::Char => 'c',
    };
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let access: String = letters.into_iter().filter(|(bit, _)| access & ALL & bit != 0).map(|(_, c)| c).collect();
    format!("{kind} {}:{} {access}", number(major), number(minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{allowed, random, rules};
    use crate::write::lines;

    /// The kernel's answer after `writes`: security/device_cgroup.c in a few lines.
    fn kernel(writes: &[Write], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
        let base = writes[0].file == "devices.allow";
        let letter = if kind == Kind::Block { "b" } else { "c" };
        let matching = writes[1..].iter().filter_map(|write| {
            assert_eq!(write.file, if base { "devices.deny" } else { "devices.allow" });
            let mut words = write.value.split(' ');
            let (k, numbers, accesses) = (words.next()?, words.next()?, words.next()?);
            let (a, b) = numbers.split_once(':')?;
            let is = |text: &str, n: u32| text == "*" || text == n.to_string();
            (k == letter && is(a, major) && is(b, minor)).then_some(accesses)
        });
        let bits = |accesses: &str| {
            accesses.chars().fold(0, |bits, c| {
                bits | [('r', READ), ('w', WRITE), ('m', MKNOD)].iter().find(|(l, _)| *l == c).unwrap().1
            })
        };
        let mut masks = matching.map(bits);
        if base { !masks.any(|mask| mask & access != 0) } else { masks.any(|mask| access & !mask == 0) }
    }

    #[test]
    fn the_kernel_answers_as_the_rules_do() {
        let mut random = random::Random::new(3);
        let mut expressed = 0;
        for _ in 0..3000 {
            let rules = random.rules();
            let Ok(writes) = writes(&rules) else { continue };
            expressed += 1;
            for (kind, major, minor, access) in random::accesses().filter(|(.., access)| *access != 0) {
                // It asks about making a node apart from opening one.
                if access & MKNOD != 0 && access != MKNOD {
                    continue;
                }
                assert_eq!(
                    kernel(&writes, kind, major, minor, access),
                    allowed(&rules, kind, major, minor, access),
                    "{rules:?} {:?}: {kind:?} {major}:{minor} {access}",
                    lines(&writes)
                );
            }
        }
        assert!(expressed > 1000, "{expressed}");
    }

    #[test]
    fn default_rules() {
        let list: Vec<_> = serde_json::from_str(
            r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"}]"#,
        )
        .unwrap();
        assert_eq!(
            lines(&writes(&rules(&list).unwrap()).unwrap()),
            [
                "devices.deny = a",
                "devices.allow = b *:* m",
                "devices.allow = b 8:0 r",
                "devices.allow = c *:* m",
                "devices.allow = c 1:3 rwm",
                "devices.allow = c 1:5 rwm",
                "devices.allow = c 1:7 rwm",
                "devices.allow = c 1:8 rwm",
                "devices.allow = c 1:9 rwm",
                "devices.allow = c 5:0 rwm",
                "devices.allow = c 5:2 rwm",
                "devices.allow = c 10:200 rwm",
                "devices.allow = c 136:* rwm"
            ]
        );
    }

    #[test]
    fn a_hole_in_an_exception_is_refused() {
        let rule = |allow, major, access| Rule { allow, kind: Some(Kind::Char), major, minor: None, access };
        let rules = [rule(true, None, ALL), rule(false, Some(4), WRITE)];
        assert_eq!(writes(&rules).unwrap_err(), "cgroup v1 cannot except c 4:* w from c *:* rwm");
        let rules = [rule(true, Some(4), ALL), rule(false, None, WRITE)];
        assert_eq!(lines(&writes(&rules).unwrap()), ["devices.deny = a", "devices.allow = c 4:* rm"]);
    }
}
