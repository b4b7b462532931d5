//! Huge pages, by size: those in use, and those reserved.

use crate::resources::Resources;
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let both = r.hugepages.iter().flat_map(|(size, limit)| {
        [
            Write::new(format!("hugetlb.{size}.max"), limit.max()),
            Write::new(format!("hugetlb.{size}.rsvd.max"), limit.max()).optional(),
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
        let hugepages = vec![("2MB".into(), Limit::To(4_194_304)), ("1GB".into(), Limit::Max)];
        assert_eq!(
            lines(&writes(&Resources { hugepages, ..Resources::default() })),
            [
                "hugetlb.2MB.max = 4194304",
                "hugetlb.2MB.rsvd.max = 4194304",
                "hugetlb.1GB.max = max",
                "hugetlb.1GB.rsvd.max = max"
            ]
        );
    }
}
