//! The seccomp filter, compiled by libseccomp to the bytes the kernel loads.

mod enosys;

use std::io::{Read, Seek};

use coracle_plan::seccomp::{Action, Condition, Filter, Rule};
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::LinuxSeccompOperator as Operator;

use crate::error::{Context, Error, Kind, Result};

/// From this many rules on libseccomp sorts them into a tree; below, and with none at all in 2.5, it should not.
const TREE: usize = 32;

/// The program for `filter`, as an array of struct sock_filter.
///
/// # Errors
/// What libseccomp does not know, by its JSON pointer; names of system calls are no error, as profiles name calls
/// of other kernels and architectures.
pub fn compile(filter: &Filter) -> Result<Vec<u8>> {
    let refused = |pointer: &str, what: String, error: SeccompError| {
        Error::new(Kind::InvalidConfig, format!("config.json {pointer}: {what}: {error}"))
    };
    let mut context = ScmpFilterContext::new(action(filter.default))
        .map_err(|e| refused("/linux/seccomp/defaultAction", "use as default action".to_owned(), e))?;
    let architectures = architectures(filter)?;
    for (_, arch) in &architectures {
        // Unknown to this libseccomp, or of another byte order: no program of it runs on this machine, and the kernel
        // ends what calls from an architecture the filter lacks.
        if let Err(error) = context.add_arch(*arch) {
            tracing::debug!("config.json /linux/seccomp/architectures: passed over {arch:?}: {error}");
        }
    }
    // The child sets no_new_privs itself, or does without it.
    context.set_ctl_nnp(false).map_err(|e| refused("/linux/seccomp", "leave no_new_privs alone".to_owned(), e))?;
    if filter.rules.iter().map(|rule| rule.names.len()).sum::<usize>() > TREE {
        context.set_ctl_optimize(2).map_err(|e| refused("/linux/seccomp", "sort the rules".to_owned(), e))?;
    }
    if filter.strict {
        filter.rules.iter().try_for_each(known)?;
    }
    for rule in filter.rules.iter().filter(|rule| rule.action != filter.default) {
        add(&mut context, rule)?;
    }
    let mut program = if filter.unknown_is_enosys { enosys::stub(&architectures, &filter.rules) } else { Vec::new() };
    program.extend(export(&context)?);
    Ok(program)
}

/// Whether the libseccomp of this build makes filters for the architecture of this name, on whatever machine.
pub fn knows(architecture: &str) -> bool {
    let Ok(architecture) = architecture.parse() else { return false };
    // An architecture of the other byte order has no place beside the native one.
    ScmpFilterContext::new(ScmpAction::Allow)
        .is_ok_and(|mut filter| filter.remove_arch(ScmpArch::native()).is_ok() && filter.add_arch(architecture).is_ok())
}

/// Whether this libseccomp knows a system call of this name on this machine.
pub fn knows_call(name: &str) -> bool {
    ScmpSyscall::from_name(name).is_ok()
}

/// The native architecture, which libseccomp always has, then those of the filter, with their audit numbers.
fn architectures(filter: &Filter) -> Result<Vec<(u32, ScmpArch)>> {
    let mut all = vec![ScmpArch::native()];
    for (i, arch) in filter.architectures.iter().enumerate() {
        let name = arch.to_string();
        all.push(name.parse().map_err(|e| {
            let text = format!("config.json /linux/seccomp/architectures/{i}: {name}: {e}");
            Error::new(Kind::InvalidConfig, text)
        })?);
    }
    Ok(all.into_iter().map(|arch| (enosys::audit_number(arch), arch)).collect())
}

fn known(rule: &Rule) -> Result<()> {
    let unknown = rule.names.iter().position(|name| ScmpSyscall::from_name(name).is_err());
    let Some(n) = unknown else { return Ok(()) };
    let text = format!("config.json {}/names/{n}: {} is no known system call", rule.pointer, rule.names[n]);
    Err(Error::new(Kind::InvalidConfig, text))
}

fn add(context: &mut ScmpFilterContext, rule: &Rule) -> Result<()> {
    let conditions: Vec<ScmpArgCompare> = rule.conditions.iter().map(compare).collect();
    let twice = |a: &Condition| rule.conditions.iter().filter(|b| b.index == a.index).count() > 1;
    for name in &rule.names {
        let Ok(number) = ScmpSyscall::from_name(name) else {
            tracing::debug!("{}: system call {name} is not known and is passed over", rule.pointer);
            continue;
        };
        let put = |context: &mut ScmpFilterContext, conditions: &[ScmpArgCompare]| {
            let added = context.add_rule_conditional(action(rule.action), number, conditions).map(drop);
            added.map_err(|e| {
                Error::new(Kind::InvalidConfig, format!("config.json {}: add rule for {name}: {e}", rule.pointer))
            })
        };
        // libseccomp takes one condition per argument; several on one argument are alternatives, as in runc.
        if rule.conditions.iter().any(twice) {
            conditions.iter().try_for_each(|one| put(context, std::slice::from_ref(one)))?;
        } else {
            put(context, &conditions)?;
        }
    }
    Ok(())
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::KillProcess => ScmpAction::KillProcess,
        Action::KillThread => ScmpAction::KillThread,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(number) => ScmpAction::Errno(number.into()),
        Action::Trace(message) => ScmpAction::Trace(message),
        Action::Notify => ScmpAction::Notify,
        Action::Log => ScmpAction::Log,
        Action::Allow => ScmpAction::Allow,
    }
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let (operator, value) = match condition.operator {
        Operator::ScmpCmpNe => (ScmpCompareOp::NotEqual, condition.value),
        Operator::ScmpCmpLt => (ScmpCompareOp::Less, condition.value),
        Operator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, condition.value),
        Operator::ScmpCmpEq => (ScmpCompareOp::Equal, condition.value),
        Operator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, condition.value),
        Operator::ScmpCmpGt => (ScmpCompareOp::Greater, condition.value),
        Operator::ScmpCmpMaskedEq => (ScmpCompareOp::MaskedEqual(condition.value), condition.masked),
    };
    ScmpArgCompare::new(condition.index, operator, value)
}

fn export(context: &ScmpFilterContext) -> Result<Vec<u8>> {
    let fd = memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC).context(|| "create a memory file")?;
    context
        .export_bpf(&fd)
        .map_err(|e| Error::new(Kind::Unsupported, format!("compile the seccomp filter of config.json: {e}")))?;
    let mut file = std::fs::File::from(fd);
    let mut program = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut program)).context(|| "read the compiled seccomp filter")?;
    Ok(program)
}
