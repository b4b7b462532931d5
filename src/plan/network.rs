//! What is in the container's network namespace from its start.

use crate::namespaces::{Kind, Wanted};
use crate::step::Step;
use crate::{Plan, Source};

/// A new network namespace has nothing but a loopback interface, which is down.
pub fn loopback(plan: &mut Plan, wanted: &Wanted) {
    if wanted.is_new(Kind::Network) {
        plan.init.push(Step::LoopbackUp);
    }
}

impl Plan {
    /// Has a network namespace given by path refused when it is opened and shows to be the runtime's own:
    /// `needed_by` is what of the configuration would change the host.
    pub(crate) fn network_not_ours(&mut self, needed_by: &str) {
        for source in &mut self.sources {
            if let Source::Namespace { kind: Kind::Network, not_ours, .. } = source {
                *not_ours = Some(needed_by.to_owned());
            }
        }
    }
}
