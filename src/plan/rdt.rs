//! Cache and memory bandwidth classes (config-linux.md, IntelRdt; the kernel's resctrl documentation).

use std::fmt;

use oci_spec::runtime::Spec;

use crate::host_step::HostStep;
use crate::invalid::Invalid;
use crate::step::Point;
use crate::{Plan, Result};

/// What of resctrl a container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rdt {
    /// The class: a directory below the mount point, made and removed with the container where it is its id.
    pub class: Class,
    /// What is written to `schemata`, one write after the other, each of whole lines.
    pub schemata: Vec<String>,
    /// Whether the container has a monitoring group of its own.
    pub monitoring: bool,
}

/// Which directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Class {
    /// One of the container's own, with its id as name.
    #[default]
    Own,
    /// The mount point itself.
    Root,
    Named(String),
}

impl fmt::Display for Rdt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.class {
            Class::Own => f.write_str("a class of its own")?,
            Class::Root => f.write_str("the default class")?,
            Class::Named(name) => write!(f, "class {name}")?,
        }
        if !self.schemata.is_empty() {
            write!(f, " ({})", self.schemata.concat().trim_end().replace('\n', ", "))?;
        }
        if self.monitoring { f.write_str(" with a monitoring group") } else { Ok(()) }
    }
}

/// Plans `linux.intelRdt`.
///
/// # Errors
/// A class that is no name, a schema of another kind or with a line break in it.
pub fn all(plan: &mut Plan, spec: &Spec) -> Result<()> {
    const AT: &str = "/linux/intelRdt";
    let Some(config) = spec.linux().as_ref().and_then(|l| l.intel_rdt().as_ref()) else { return Ok(()) };
    let invalid = |field: &str, problem: &str| Err(Invalid::new(format!("{AT}/{field}"), problem));
    let class = match config.clos_id().as_deref() {
        None | Some("") => Class::Own,
        Some("/") => Class::Root,
        Some("." | ".." | "info" | "mon_data" | "mon_groups") => {
            return invalid("closID", "is not the name of a class");
        }
        Some(name) if name.contains(['/', '\n', '\0']) => return invalid("closID", "is not the name of a class"),
        Some(name) => Class::Named(name.to_owned()),
    };
    let cache = config.l3_cache_schema().as_deref().filter(|text| !text.is_empty());
    let bandwidth = config.mem_bw_schema().as_deref().filter(|text| !text.is_empty());
    if cache.is_some_and(|text| !text.starts_with("L3:")) {
        plan.warnings.push(format!("config.json {AT}/l3CacheSchema: should start with L3:"));
    }
    match bandwidth {
        Some(text) if !text.starts_with("MB:") => return invalid("memBwSchema", "must start with MB:"),
        Some(text) if text.contains('\n') => return invalid("memBwSchema", "must not contain line breaks"),
        _ => {}
    }
    let lines = config.schemata().as_deref().unwrap_or_default();
    if let Some(i) = lines.iter().position(|line| line.contains('\n')) {
        return invalid(&format!("schemata/{i}"), "must not contain line breaks");
    }
    // The kernel takes a domain once in a write: the lines of `schemata` may say again what the others said.
    let whole = |lines: Vec<&str>| lines.iter().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    let first = whole(cache.into_iter().chain(bandwidth).collect());
    let then = whole(lines.iter().map(String::as_str).collect());
    let schemata = [first, then].into_iter().filter(|text| !text.is_empty()).collect();
    let monitoring = config.enable_monitoring().unwrap_or(false);
    plan.host.push((Point::Ready, HostStep::Rdt(Rdt { class, schemata, monitoring })));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rdt(config: serde_json::Value) -> Result<Rdt> {
        let mut spec = Spec::default();
        let mut linux = spec.linux().clone().unwrap();
        linux.set_intel_rdt(Some(serde_json::from_value(config).unwrap()));
        spec.set_linux(Some(linux));
        let mut plan = Plan::default();
        all(&mut plan, &spec)?;
        match plan.host.pop() {
            Some((Point::Ready, HostStep::Rdt(rdt))) => Ok(rdt),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn schemas_in_their_order() {
        let config = serde_json::json!({
            "schemata": ["L2:0=f", "L3:0=1"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=ff",
        });
        let rdt = rdt(config).unwrap();
        assert_eq!(rdt.schemata, ["L3:0=ff\nMB:0=20\n", "L2:0=f\nL3:0=1\n"]);
        assert_eq!(rdt.class, Class::Own);
    }

    #[test]
    fn nothing_asked_for_nothing_written() {
        let rdt = rdt(serde_json::json!({"closID": "/", "enableMonitoring": true})).unwrap();
        assert_eq!(rdt, Rdt { class: Class::Root, schemata: Vec::new(), monitoring: true });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for config in [
            serde_json::json!({"closID": "a/b"}),
            serde_json::json!({"closID": ".."}),
            serde_json::json!({"memBwSchema": "L3:0=1"}),
            serde_json::json!({"memBwSchema": "MB:0=1\nL3:0=1"}),
            serde_json::json!({"schemata": ["L3:0=1\nMB:0=1"]}),
        ] {
            assert!(rdt(config.clone()).is_err(), "{config}");
        }
    }
}
