//! Handles and objects of RDMA devices.

use crate::resources::{Rdma, Resources};
use crate::write::Write;

/// Both versions spell it alike.
pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    r.rdma.iter().map(|limits| Write::new("rdma.max", line(limits))).collect()
}

fn line(limits: &Rdma) -> String {
    let named = [("hca_handle", limits.handles), ("hca_object", limits.objects)];
    let set = named.into_iter().filter_map(|(name, limit)| Some(format!(" {name}={}", limit?)));
    limits.device.clone() + &set.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::lines;

    #[test]
    fn table() {
        let limits = |device: &str, handles, objects| Rdma { device: device.into(), handles, objects };
        let rdma = vec![limits("mlx5_0", Some(3), Some(4)), limits("mlx5_1", None, Some(0))];
        assert_eq!(
            lines(&writes(&Resources { rdma, ..Resources::default() })),
            ["rdma.max = mlx5_0 hca_handle=3 hca_object=4", "rdma.max = mlx5_1 hca_object=0"]
        );
    }
}
