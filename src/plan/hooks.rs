//! Which hook runs when (config.md, POSIX-platform Hooks): all of them are the parent's business.

use oci_spec::runtime::{Hook, Spec};

use crate::host_step::{HookKind, HostStep};
use crate::invalid::Invalid;
use crate::step::{Point, Step};
use crate::{Plan, Result};

/// The hooks of the create phase, at the point where mounts are made and the root is not yet changed.
pub fn before_pivot(plan: &mut Plan, spec: &Spec) -> Result<()> {
    check(spec)?;
    let before = plan.host.len();
    for kind in [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer] {
        let hooks = of(spec, kind);
        if !hooks.is_empty() {
            plan.host.push((Point::Mounted, HostStep::Hooks { kind, hooks: hooks.to_vec() }));
        }
    }
    if plan.host.len() > before {
        // Hooks may look at the limits, or change them: they are set by then.
        plan.host.insert(before, (Point::Mounted, HostStep::Limits));
        plan.init.push(Step::Sync(Point::Mounted));
    }
    Ok(())
}

/// The hooks of one kind.
pub fn of(spec: &Spec, kind: HookKind) -> &[Hook] {
    let Some(hooks) = spec.hooks() else { return &[] };
    let list = match kind {
        HookKind::Prestart => hooks.prestart(),
        HookKind::CreateRuntime => hooks.create_runtime(),
        HookKind::CreateContainer => hooks.create_container(),
        HookKind::StartContainer => hooks.start_container(),
        HookKind::Poststart => hooks.poststart(),
        HookKind::Poststop => hooks.poststop(),
    };
    list.as_deref().unwrap_or_default()
}

/// All kinds, in the order in which they run.
pub const ALL: [HookKind; 6] = [
    HookKind::Prestart,
    HookKind::CreateRuntime,
    HookKind::CreateContainer,
    HookKind::StartContainer,
    HookKind::Poststart,
    HookKind::Poststop,
];

fn check(spec: &Spec) -> Result<()> {
    for kind in ALL {
        for (i, hook) in of(spec, kind).iter().enumerate() {
            let at = |field: &str| format!("/hooks/{}/{i}/{field}", kind.name());
            if !hook.path().is_absolute() {
                return Err(Invalid::new(at("path"), "must be an absolute path"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(Invalid::new(at("timeout"), "must be greater than zero"));
            }
        }
    }
    Ok(())
}
