//! The processors a further process may run on (config.md, `process.execCPUAffinity`).

use oci_spec::runtime::Process;

use crate::Result;
use crate::invalid::Invalid;
use crate::step::Step;

/// One more than the highest processor number a kernel can be built for (CONFIG_NR_CPUS).
const MOST: usize = 8192;

/// Where a process runs before it is in its cgroup, and the step that says where it runs from then on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// A bit mask.
    pub initial: Option<Vec<u64>>,
    pub last: Option<Vec<u64>>,
    /// Nothing is configured.
    pub free: bool,
}

/// The affinity of `process`.
///
/// # Errors
/// A list of processors that is none, or names one no kernel has.
pub fn of(process: &Process) -> Result<Affinity> {
    let configured = process.exec_cpu_affinity().as_ref();
    let list = |field: &str, list: Option<&String>| {
        let list = list.filter(|list| !list.is_empty());
        let problem = |problem| Invalid::new(format!("/process/execCPUAffinity/{field}"), problem);
        list.map(|list| mask(list).map_err(problem)).transpose()
    };
    let initial = list("initial", configured.and_then(|c| c.initial().as_ref()))?;
    let last = list("final", configured.and_then(|c| c.cpu_affinity_final().as_ref()))?;
    Ok(Affinity { free: initial.is_none() && last.is_none(), initial, last })
}

impl Affinity {
    /// What the process does once it is in its cgroup. The runtime's own affinity is its caller's business; with an
    /// initial one alone, the kernel decides what becomes of it.
    pub fn step(&self) -> Option<Step> {
        (self.free || self.last.is_some()).then(|| Step::Affinity(self.last.clone()))
    }
}

/// The bit mask of a list like `0-3,7`.
fn mask(list: &str) -> std::result::Result<Vec<u64>, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{list:?} is no list of CPUs like 0-3,7"));
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if last >= MOST {
            return Err(format!("no kernel has a CPU {last}"));
        }
        for cpu in first..=last {
            if mask.len() <= cpu / 64 {
                mask.resize(cpu / 64 + 1, 0);
            }
            mask[cpu / 64] |= 1 << (cpu % 64);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_masks() {
        let cases: [(&str, Option<&[u64]>); 8] = [
            ("0", Some(&[1])),
            ("0-3,7", Some(&[0b1000_1111])),
            ("64", Some(&[0, 1])),
            ("63-64", Some(&[1 << 63, 1])),
            ("8191", None),
            ("8192", None),
            ("x", None),
            ("1-", None),
        ];
        for (list, want) in cases {
            match want {
                Some(want) => assert_eq!(mask(list).as_deref(), Ok(want), "{list}"),
                None => assert_eq!(mask(list).is_err(), list != "8191", "{list}"),
            }
        }
    }
}
