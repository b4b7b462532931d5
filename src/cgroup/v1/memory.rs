//! Memory, and memory and swap together.

use nix::errno::Errno;

use crate::dir::Dir;
use crate::error::Error;
use crate::resources::Resources;
use crate::write::{Refused, Write};

const LIMIT: &str = "memory.limit_in_bytes";

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let memory = &r.memory;
    let mut writes = Vec::new();
    if let Some(limit) = memory.limit {
        // Never above that of memory and swap: lowered before it, raised after it.
        writes.push(Write::new(LIMIT, limit.minus_one()).later_if_refused());
    }
    if let Some(swap) = memory.swap {
        let write = Write::new("memory.memsw.limit_in_bytes", swap.minus_one());
        writes.push(if memory.swap_implied { write.optional() } else { write });
    }
    if let Some(reservation) = memory.reservation {
        writes.push(Write::new("memory.soft_limit_in_bytes", reservation.minus_one()));
    }
    if let Some(disable) = memory.disable_oom_killer {
        let write = Write::new("memory.oom_control", u8::from(disable));
        writes.push(if disable { write } else { write.optional() });
    }
    if let Some(swappiness) = memory.swappiness {
        writes.push(Write::new("memory.swappiness", swappiness));
    }
    writes
}

/// Adds to a limit that is refused as too low how much is in use.
pub(crate) fn explain(dir: &Dir, refused: Refused<'_>) -> Error {
    let number = |file| dir.read(file).unwrap_or_default().trim_end().to_owned();
    if refused.errno == Errno::EBUSY && refused.write.file == LIMIT {
        return Error::refused(format!(
            "unable to set memory limit to {} (current usage: {}, peak usage: {})",
            refused.write.value,
            number("memory.usage_in_bytes"),
            number("memory.max_usage_in_bytes")
        ));
    }
    refused.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Limit, Memory};
    use crate::write::lines;

    #[test]
    fn table() {
        let to = |n| Some(Limit::To(n));
        let some = Memory::default;
        let cases: [(Memory, &[&str]); 5] = [
            (some(), &[]),
            (
                Memory { limit: to(100), swap: to(300), ..some() },
                &["memory.limit_in_bytes = 100", "memory.memsw.limit_in_bytes = 300"],
            ),
            (
                Memory { limit: Some(Limit::Max), swap: Some(Limit::Max), swap_implied: true, ..some() },
                &["memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1"],
            ),
            (Memory { reservation: to(5), ..some() }, &["memory.soft_limit_in_bytes = 5"]),
            (
                Memory { swappiness: Some(0), disable_oom_killer: Some(true), ..some() },
                &["memory.oom_control = 1", "memory.swappiness = 0"],
            ),
        ];
        for (memory, want) in cases {
            assert_eq!(lines(&writes(&Resources { memory, ..Resources::default() })), want);
        }
    }
}
