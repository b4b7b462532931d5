//! Ids, signals and users, as they come from the command line.

#![no_main]

mod wrong;

use libcoracle::{ContainerId, Signal, UserSpec};
use libfuzzer_sys::fuzz_target;

/// As the C library reads a number: up to what is none.
fn sloppy(text: &str) -> Option<UserSpec> {
    let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    Some(UserSpec { uid: number(uid)?, gid: gid.and_then(number) })
}

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<ContainerId>() {
        // It becomes the name of a directory.
        assert_eq!(id.to_string(), text);
        assert!(!text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0', '\n', ' ']));
    }
    if let Ok(signal) = text.parse::<Signal>() {
        assert!((0..=64).contains(&signal.number()));
        let name = signal.to_string();
        assert!(name.starts_with("signal ") || name.parse() == Ok(signal), "{name}");
    }
    let user = if wrong::is("user") { sloppy(text) } else { text.parse().ok() };
    if let Some(user) = user {
        // Every digit counts (CVE-2026-30892).
        let plain = |part: &str| part.trim_start_matches('0').to_owned();
        let parts: Vec<String> = text.split(':').map(plain).collect();
        let numbers: Vec<String> =
            [Some(user.uid), user.gid].into_iter().flatten().map(|n| plain(&n.to_string())).collect();
        assert_eq!(parts, numbers);
    }
});
