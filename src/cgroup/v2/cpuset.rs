//! Which processors and memory nodes may be used.

use crate::resources::Resources;
use crate::write::Write;

/// Both versions spell it alike.
pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let cpus = r.cpus.iter().map(|cpus| Write::new("cpuset.cpus", cpus));
    let mems = r.mems.iter().map(|mems| Write::new("cpuset.mems", mems));
    cpus.chain(mems).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::lines;

    #[test]
    fn table() {
        let r = Resources { cpus: Some("0-1,3".into()), mems: Some("0".into()), ..Resources::default() };
        assert_eq!(lines(&writes(&r)), ["cpuset.cpus = 0-1,3", "cpuset.mems = 0"]);
        assert_eq!(writes(&Resources::default()), []);
    }
}
