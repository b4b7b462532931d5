//! What is in the container's network namespace from its start.

use crate::Plan;
use crate::namespaces::{Kind, Wanted};
use crate::step::Step;

/// A new network namespace has nothing but a loopback interface, which is down.
pub fn loopback(plan: &mut Plan, wanted: &Wanted) {
    if wanted.is_new(Kind::Network) {
        plan.init.push(Step::LoopbackUp);
    }
}
