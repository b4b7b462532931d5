//! Marks on the packets that the container sends.

use crate::resources::Resources;
use crate::write::Write;

/// For `net_cls`.
pub(crate) fn class_id(r: &Resources) -> Vec<Write> {
    r.class_id.iter().map(|id| Write::new("net_cls.classid", id)).collect()
}

/// For `net_prio`: one interface a write.
pub(crate) fn priorities(r: &Resources) -> Vec<Write> {
    r.priorities.iter().map(|(name, value)| Write::new("net_prio.ifpriomap", format!("{name} {value}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::lines;

    #[test]
    fn table() {
        let priorities = vec![("eth0".into(), 5), ("lo".into(), 0)];
        let r = Resources { class_id: Some(0x10_0001), priorities, ..Resources::default() };
        assert_eq!(lines(&class_id(&r)), ["net_cls.classid = 1048577"]);
        assert_eq!(lines(&super::priorities(&r)), ["net_prio.ifpriomap = eth0 5", "net_prio.ifpriomap = lo 0"]);
    }
}
