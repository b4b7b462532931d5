//! The seccomp filter, compiled to the bytes the kernel loads: as a search over the numbers of calls (`search.rs`), or by
//! libseccomp, whose tables of names both need, where another architecture than the usual ones is wanted too.

mod condition;
mod enosys;
mod instruction;
mod search;
#[cfg(test)]
mod tests;

use std::io::{Read, Seek};

use coracle_plan::seccomp::{Action, Condition, Filter, Rule};
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::LinuxSeccompOperator as Operator;

use crate::error::{Context, Error, Kind, Result};

/// From this many rules on libseccomp sorts them into a tree; below, and with none at all in 2.5, it should not.
const TREE: usize = 32;

/// A system call that a rule names, with conditions that all have to hold.
pub struct Call<'a> {
    name: &'a str,
    rule: &'a Rule,
    conditions: &'a [Condition],
}

/// The program for `filter`, as an array of struct sock_filter.
///
/// # Errors
/// What libseccomp does not know, by its JSON pointer; names of system calls are no error, as profiles name calls
/// of other kernels and architectures.
pub fn compile(filter: &Filter) -> Result<Vec<u8>> {
    if filter.strict {
        filter.rules.iter().try_for_each(known)?;
    }
    let (context, architectures) = empty(filter)?;
    let calls = calls(filter);
    match search::search(&architectures, filter, &calls) {
        Some(code) => Ok(instruction::bytes(code).collect()),
        None => whole(context, &architectures, filter, &calls),
    }
}

/// The program for `filter` as libseccomp makes it.
fn whole(
    mut context: ScmpFilterContext,
    architectures: &[(u32, ScmpArch)],
    filter: &Filter,
    calls: &[Call<'_>],
) -> Result<Vec<u8>> {
    if calls.len() > TREE {
        let sorted = context.set_ctl_optimize(2);
        sorted.map_err(|e| Error::new(Kind::Unsupported, format!("sort the rules of the seccomp filter: {e}")))?;
    }
    for call in calls {
        let refused = |e| {
            let text = format!("config.json {}: add rule for {}: {e}", call.rule.pointer, call.name);
            Error::new(Kind::InvalidConfig, text)
        };
        let number = ScmpSyscall::from_name(call.name).map_err(refused)?;
        let conditions: Vec<ScmpArgCompare> = call.conditions.iter().map(compare).collect();
        context.add_rule_conditional(action(call.rule.action), number, &conditions).map_err(refused)?;
    }
    let mut program = if filter.unknown_is_enosys { enosys::stub(architectures, &filter.rules) } else { Vec::new() };
    program.extend(export(&mut context)?);
    Ok(program)
}

/// A filter without rules, and its architectures.
fn empty(filter: &Filter) -> Result<(ScmpFilterContext, Vec<(u32, ScmpArch)>)> {
    let refused = |pointer: &str, what: &str, error: SeccompError| {
        Error::new(Kind::InvalidConfig, format!("config.json {pointer}: {what}: {error}"))
    };
    let mut context = ScmpFilterContext::new(action(filter.default))
        .map_err(|e| refused("/linux/seccomp/defaultAction", "use as default action", e))?;
    let mut architectures = architectures(filter)?;
    architectures.retain(|(_, arch)| {
        // Unknown to this libseccomp, or of another byte order: no program of it runs on this machine, and the kernel
        // ends what calls from an architecture the filter lacks.
        let added = context.add_arch(*arch).map(drop);
        let passed =
            |error: &_| tracing::debug!("config.json /linux/seccomp/architectures: passed over {arch:?}: {error}");
        added.inspect_err(passed).is_ok()
    });
    // The child sets no_new_privs itself, or does without it.
    context.set_ctl_nnp(false).map_err(|e| refused("/linux/seccomp", "leave no_new_privs alone", e))?;
    Ok((context, architectures))
}

/// What the rules say, one call and one set of conditions each. A rule with the default action says nothing.
fn calls(filter: &Filter) -> Vec<Call<'_>> {
    let rules = filter.rules.iter().filter(|rule| rule.action != filter.default);
    let named = rules.flat_map(|rule| rule.names.iter().map(move |name| (rule, name.as_str())));
    let mut all = Vec::new();
    for (rule, name) in named {
        if !knows_call(name) {
            tracing::debug!("{}: system call {name} is not known and is passed over", rule.pointer);
            continue;
        }
        let twice = |a: &Condition| rule.conditions.iter().filter(|b| b.index == a.index).count() > 1;
        // libseccomp takes one condition per argument; several on one argument are alternatives, as in runc.
        if rule.conditions.iter().any(twice) {
            all.extend(rule.conditions.chunks(1).map(|conditions| Call { name, rule, conditions }));
        } else {
            all.push(Call { name, rule, conditions: &rule.conditions });
        }
    }
    all
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

/// The native architecture, which libseccomp always has, then the others of the filter, with their audit numbers.
fn architectures(filter: &Filter) -> Result<Vec<(u32, ScmpArch)>> {
    let mut all = vec![ScmpArch::native()];
    for (i, arch) in filter.architectures.iter().enumerate() {
        let name = arch.to_string();
        let arch = name.parse().map_err(|e| {
            let text = format!("config.json /linux/seccomp/architectures/{i}: {name}: {e}");
            Error::new(Kind::InvalidConfig, text)
        })?;
        if !all.contains(&arch) && arch != ScmpArch::Native {
            all.push(arch);
        }
    }
    Ok(all.into_iter().map(|arch| (enosys::audit_number(arch), arch)).collect())
}

fn known(rule: &Rule) -> Result<()> {
    let unknown = rule.names.iter().position(|name| ScmpSyscall::from_name(name).is_err());
    let Some(n) = unknown else { return Ok(()) };
    let text = format!("config.json {}/names/{n}: {} is no known system call", rule.pointer, rule.names[n]);
    Err(Error::new(Kind::InvalidConfig, text))
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

fn export(context: &mut ScmpFilterContext) -> Result<Vec<u8>> {
    let fd = memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC).context(|| "create a memory file")?;
    // The kernel's own answer instead of "a system failure"; libseccomp has that since 2.5.
    let _ = context.set_api_sysrawrc(true);
    context.export_bpf(&fd).map_err(|error| {
        let operation = "compile the seccomp filter of config.json";
        match error.sysrawrc() {
            Some(raw) => Error::system(operation, Errno::from_raw(-raw)),
            None => Error::new(Kind::Unsupported, format!("{operation}: {error}")),
        }
    })?;
    let mut file = std::fs::File::from(fd);
    let mut program = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut program)).context(|| "read the compiled seccomp filter")?;
    Ok(program)
}
