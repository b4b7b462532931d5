//! Memory and swap, which v2 counts apart from each other.

use crate::resources::{Limit, Memory, Resources};
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(limit) = swap(&r.memory) {
        let write = Write::new("memory.swap.max", limit.max());
        // A host that does not account for swap has none to limit, or to allow.
        let pointless = matches!(limit, Limit::Max | Limit::To(0));
        writes.push(if pointless { write.optional() } else { write });
    }
    if let Some(limit) = r.memory.limit {
        writes.push(Write::new("memory.max", limit.max()));
    }
    if let Some(reservation) = r.memory.reservation {
        writes.push(Write::new("memory.low", reservation.max()));
    }
    writes
}

/// The limit on swap alone.
pub(crate) fn swap(memory: &Memory) -> Option<Limit> {
    match (memory.swap?, memory.limit) {
        (Limit::To(both), Some(Limit::To(limit))) => Some(Limit::To(both.saturating_sub(limit))),
        (both, _) => Some(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::lines;

    #[test]
    fn table() {
        let to = |n| Some(Limit::To(n));
        let max = Some(Limit::Max);
        let cases: [(_, _, _, &[&str]); 7] = [
            (None, None, None, &[]),
            (to(4096), None, None, &["memory.max = 4096"]),
            (to(100), to(300), None, &["memory.swap.max = 200", "memory.max = 100"]),
            (to(100), to(100), None, &["memory.swap.max = 0", "memory.max = 100"]),
            (to(100), max, None, &["memory.swap.max = max", "memory.max = 100"]),
            (max, max, None, &["memory.swap.max = max", "memory.max = max"]),
            (None, None, to(50), &["memory.low = 50"]),
        ];
        for (limit, swap, reservation, want) in cases {
            let memory = Memory { limit, swap, reservation, ..Memory::default() };
            assert_eq!(lines(&writes(&Resources { memory, ..Resources::default() })), want);
        }
    }
}
