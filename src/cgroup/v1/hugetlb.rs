//! Huge pages, by size: those in use, and those reserved.

use crate::resources::Resources;
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let both = r.hugepages.iter().flat_map(|(size, limit)| {
        [
            Write::new(format!("hugetlb.{size}.limit_in_bytes"), limit.minus_one()),
            Write::new(format!("hugetlb.{size}.rsvd.limit_in_bytes"), limit.minus_one()).optional(),
        ]
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Limit;
    use crate::write::lines;

    #[test]
    fn table() {
        let hugepages = vec![("64KB".into(), Limit::To(65_536)), ("1GB".into(), Limit::Max)];
        assert_eq!(
            lines(&writes(&Resources { hugepages, ..Resources::default() })),
            [
                "hugetlb.64KB.limit_in_bytes = 65536",
                "hugetlb.64KB.rsvd.limit_in_bytes = 65536",
                "hugetlb.1GB.limit_in_bytes = -1",
                "hugetlb.1GB.rsvd.limit_in_bytes = -1"
            ]
        );
    }
}
