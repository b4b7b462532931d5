//! The processors a further process may run on (config.md, `process.execCPUAffinity`).

use oci_spec::runtime::Process;

use crate::Result;
use crate::number_list::mask;
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
        list.map(|list| mask(&format!("/process/execCPUAffinity/{field}"), list, MOST)).transpose()
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
