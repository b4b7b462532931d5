//! The value of the mount options `idmap=` and `ridmap=`: an id mapping written out, as crun takes it.
//!
//! `uids=0-1-10#10-11-10;gids=0-100-10`: from the first id on the file system, to the second on the host, as many as the
//! third says; `#` between ranges. `@` before a range: its second id is one of the container's.

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

/// The maps of users and groups that `text` says; `users` and `groups` are those of the container's user namespace.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(
    text: &str,
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
) -> Result<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>), String> {
    let (mut uids, mut gids) = (None, None);
    for part in text.split(';') {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("\"{part}\" is neither uids= nor gids="))?;
        let (slot, container) = match key {
            "uids" => (&mut uids, users),
            "gids" => (&mut gids, groups),
            _ => return Err(format!("\"{key}\" is neither uids nor gids")),
        };
        let ranges = value.split('#').map(|text| range(text, container)).collect::<Result<Vec<_>, _>>()?;
        if slot.replace(ranges).is_some() {
            return Err(format!("{key} are given twice"));
        }
    }
    match (uids, gids) {
        (Some(uids), Some(gids)) => Ok((uids, gids)),
        _ => Err("both uids= and gids= are needed".to_owned()),
    }
}

fn range(text: &str, container: &[LinuxIdMapping]) -> Result<LinuxIdMapping, String> {
    let wrong = || format!("\"{text}\" is no range such as 0-1000-10");
    let (relative, digits) = match text.strip_prefix('@') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let numbers: Vec<u32> = digits.split('-').map(|n| n.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let &[from, mut to, size] = numbers.as_slice() else { return Err(wrong()) };
    if size == 0 {
        return Err(wrong());
    }
    if relative {
        let holds = |map: &&LinuxIdMapping| to.checked_sub(map.container_id()).is_some_and(|n| n < map.size());
        let map = container.iter().find(holds);
        let map = map.ok_or_else(|| format!("\"{text}\": id {to} is not mapped in the container's user namespace"))?;
        to = to - map.container_id() + map.host_id();
    }
    let built = LinuxIdMappingBuilder::default().container_id(from).host_id(to).size(size).build();
    built.map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map((container, host, size): (u32, u32, u32)) -> LinuxIdMapping {
        LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size).build().unwrap()
    }

    fn text(maps: &[LinuxIdMapping]) -> String {
        let one = |m: &LinuxIdMapping| format!("{}-{}-{}", m.container_id(), m.host_id(), m.size());
        maps.iter().map(one).collect::<Vec<_>>().join("#")
    }

    #[test]
    fn values() {
        let container = [map((0, 0, 1)), map((1, 2, 1000))];
        let cases = [
            ("uids=0-1-10#10-11-10;gids=0-100-10", Some(("0-1-10#10-11-10", "0-100-10"))),
            ("gids=5-6-7;uids=1-2-3", Some(("1-2-3", "5-6-7"))),
            ("uids=@1-3-10;gids=@0-0-1", Some(("1-4-10", "0-0-1"))),
            ("uids=0-1-10", None),
            ("uids=0-1-10;gids=", None),
            ("uids=0-1;gids=0-1-1", None),
            ("uids=0-1-0;gids=0-1-1", None),
            ("uids=0-1--1;gids=0-1-1", None),
            ("uids=0-1-1;uids=0-1-1", None),
            ("uids=@0-5000-1;gids=0-1-1", None),
            ("users=0-1-1;gids=0-1-1", None),
            ("", None),
        ];
        for (value, wanted) in cases {
            let got = parse(value, &container, &container).ok();
            let got = got.as_ref().map(|(uids, gids)| (text(uids), text(gids)));
            assert_eq!(got, wanted.map(|(uids, gids)| (uids.to_owned(), gids.to_owned())), "{value}");
        }
    }
}
