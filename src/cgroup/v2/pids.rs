//! How many processes and threads there may be.

use crate::resources::Resources;
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    r.pids.iter().map(|limit| Write::new("pids.max", limit.max())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Limit;
    use crate::write::lines;

    #[test]
    fn table() {
        for (limit, want) in
            [(Limit::To(1), "pids.max = 1"), (Limit::To(500), "pids.max = 500"), (Limit::Max, "pids.max = max")]
        {
            assert_eq!(lines(&writes(&Resources { pids: Some(limit), ..Resources::default() })), [want]);
        }
        assert_eq!(writes(&Resources::default()), []);
    }
}
