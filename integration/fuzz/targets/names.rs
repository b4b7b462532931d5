//! Ids, signals and users, as they come from the command line.

#![no_main]

use libcoracle::{ContainerId, Signal, UserSpec};
use libfuzzer_sys::fuzz_target;

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
    if let Ok(user) = text.parse::<UserSpec>() {
        // Every digit counts (CVE-2026-30892).
        let plain = |part: &str| part.trim_start_matches('0').to_owned();
        let parts: Vec<String> = text.split(':').map(plain).collect();
        let numbers: Vec<String> =
            [Some(user.uid), user.gid].into_iter().flatten().map(|n| plain(&n.to_string())).collect();
        assert_eq!(parts, numbers);
    }
});
