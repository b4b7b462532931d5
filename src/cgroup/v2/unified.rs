//! `linux.resources.unified`: files named by the user, written as they are.

use crate::resources::Resources;
use crate::write::Write;

/// A control file takes one setting a write, so a value of several lines is several writes.
pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let lines = r.unified.iter().flat_map(|(file, value)| {
        let value = value.strip_suffix('\n').unwrap_or(value);
        value.split('\n').map(move |line| Write::new(file.clone(), line))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::lines;

    #[test]
    fn table() {
        let unified = vec![
            ("io.max".into(), "8:0 rbps=1\n8:16 rbps=2\n".into()),
            ("memory.high".into(), "100".into()),
            ("memory.oom.group".into(), String::new()),
        ];
        assert_eq!(
            lines(&writes(&Resources { unified, ..Resources::default() })),
            ["io.max = 8:0 rbps=1", "io.max = 8:16 rbps=2", "memory.high = 100", "memory.oom.group = "]
        );
    }
}
