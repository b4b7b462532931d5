//! What is put right in a container that was not started but restored.

use crate::Plan;
use crate::filesystem::Remount;
use crate::source::{Attributes, Slot, Source, Tree};
use crate::step::Step;
use crate::target::Target;

/// A step for each mount of the host's that can be seen when all mounts are made, which sets its attributes.
pub fn attributes(of: &Plan) -> Vec<Step> {
    let mounts: Vec<(&Target, Option<Slot>)> = of
        .init
        .iter()
        .filter_map(|step| match step {
            Step::AttachTree { slot, target, .. } => Some((target, Some(*slot))),
            Step::MountFs(mount) => Some((&mount.target, None)),
            Step::MountOld(mount) => Some((&mount.target, None)),
            _ => None,
        })
        .collect();
    let covered = |at: usize| mounts[at + 1..].iter().any(|(later, _)| covers(later, mounts[at].0));
    let set = |(at, (target, slot)): (usize, &(&Target, Option<Slot>))| {
        let attributes = tree(of, (*slot)?)?.attributes;
        // What nobody named may be what the kernel holds on to.
        let attributes = Attributes { implied: 0, ..attributes };
        let wanted = attributes != Attributes::default() && !covered(at);
        let remount = || Remount { params: Vec::new(), attributes, propagation: Vec::new(), target: (*target).clone() };
        wanted.then(|| Step::Remount(Box::new(remount())))
    };
    mounts.iter().enumerate().filter_map(set).collect()
}

/// The tree in a slot, whoever opens it.
fn tree(of: &Plan, slot: Slot) -> Option<&Tree> {
    let by_child = || {
        of.init.iter().find_map(|step| match step {
            Step::OpenTree { slot: own, tree } if *own == slot => Some(&**tree),
            _ => None,
        })
    };
    match of.sources.get(slot.0)? {
        Source::Tree(tree) => Some(tree),
        Source::ByChild => by_child(),
        _ => None,
    }
}

/// Whether a mount on `later` hides what is mounted on `target`.
fn covers(later: &Target, target: &Target) -> bool {
    let (later, target) = (later.path.as_bytes(), target.path.as_bytes());
    target.strip_prefix(later).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{CreateOptions, Host};

    #[test]
    fn mounts_of_the_host_that_can_be_seen() {
        let mut config: Value = serde_json::from_str(include_str!("../../config.json.example")).unwrap();
        let bind = |at: &str, options: &[&str]| {
            let options = [&["bind"], options].concat();
            json!({"destination": at, "source": "/src", "options": options})
        };
        config["mounts"] = json!([
            bind("/ro", &["ro"]),
            bind("/plain", &["rbind"]),
            bind("/a/b", &["ro"]),
            {"destination": "/a", "type": "tmpfs"},
            bind("/twice", &["ro"]),
            bind("/twice", &["nosuid", "rro"]),
            bind("/ab", &["nodev"]),
        ]);
        let spec = serde_json::from_value(config).unwrap();
        let options = CreateOptions { rootfs: "/bundle/rootfs".into(), ..CreateOptions::default() };
        let plan = Plan::create(&spec, &Host::rootful(), &options).unwrap();
        let plan = plan.mount_attributes((7, 9)).to_string();
        let steps: Vec<&str> =
            plan.lines().filter_map(|line| line.split_once("remount ")).map(|(_, step)| step).collect();
        assert_eq!(steps, ["/ro (ro)", "/twice (rro,nosuid)", "/ab (nodev)"], "{plan}");
    }
}
