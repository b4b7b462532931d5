//! What the resctrl filesystem says of a container (`events`), with the keys of runc.

use std::path::Path;

use serde::Serialize;

use super::Groups;

/// What applies to the container's class, and what its processes use.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    l3_cache_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    l3_cache_schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mem_bw_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mem_bw_schema: String,
    /// Of each cache, which is each socket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mbm_stats: Vec<Bandwidth>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmt_stats: Vec<Occupancy>,
    /// The lines of the class, those of other resources too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemata: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct CacheInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    cbm_mask: String,
    #[serde(skip_serializing_if = "zero")]
    min_cbm_bits: u64,
    #[serde(skip_serializing_if = "zero")]
    num_closids: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct BandwidthInfo {
    #[serde(skip_serializing_if = "zero")]
    bandwidth_gran: u64,
    #[serde(skip_serializing_if = "zero")]
    delay_linear: u64,
    #[serde(skip_serializing_if = "zero")]
    min_bandwidth: u64,
    #[serde(skip_serializing_if = "zero")]
    num_closids: u64,
}

/// Bytes over the memory bus since the group was made.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Bandwidth {
    #[serde(skip_serializing_if = "zero")]
    mbm_total_bytes: u64,
    #[serde(skip_serializing_if = "zero")]
    mbm_local_bytes: u64,
}

/// Bytes of the cache.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Occupancy {
    #[serde(skip_serializing_if = "zero")]
    llc_occupancy: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn zero(number: &u64) -> bool {
    *number == 0
}

impl Groups {
    /// What there is to tell below the resctrl mounted at `root`. What the hardware does not have is left out.
    pub fn stats(&self, root: &Path) -> Stats {
        let mut stats = Stats::default();
        let whole = read(&root.join("schemata")).unwrap_or_default();
        let own = read(&self.joined.join("schemata")).unwrap_or_default();
        if let Some(cbm_mask) = read(&root.join("info/L3/cbm_mask")) {
            let at = |file: &str| number(&root.join("info/L3").join(file));
            let (min_cbm_bits, num_closids) = (at("min_cbm_bits"), at("num_closids"));
            stats.l3_cache_info = Some(CacheInfo { cbm_mask, min_cbm_bits, num_closids });
            stats.l3_cache_schema_root = line(&whole, "L3");
            stats.l3_cache_schema = line(&own, "L3");
        }
        if read(&root.join("info/MB/num_closids")).is_some() {
            let at = |file: &str| number(&root.join("info/MB").join(file));
            stats.mem_bw_info = Some(BandwidthInfo {
                bandwidth_gran: at("bandwidth_gran"),
                delay_linear: at("delay_linear"),
                min_bandwidth: at("min_bandwidth"),
                num_closids: at("num_closids"),
            });
            stats.mem_bw_schema_root = line(&whole, "MB");
            stats.mem_bw_schema = line(&own, "MB");
        }
        stats.schemata = own.lines().map(|line| line.trim().to_owned()).collect();
        self.monitored(root, &mut stats);
        stats
    }

    /// Adds what the hardware counts for the monitoring group, or else the class.
    fn monitored(&self, root: &Path, stats: &mut Stats) {
        let features = read(&root.join("info/L3_MON/mon_features")).unwrap_or_default();
        let counts = |name: &str| features.lines().any(|feature| feature == name);
        let group = self.monitoring.as_ref().unwrap_or(&self.joined);
        let Ok(domains) = std::fs::read_dir(group.join("mon_data")) else { return };
        let mut domains: Vec<_> = domains.flatten().map(|entry| entry.path()).collect();
        domains.sort();
        for domain in domains {
            let at = |file: &str| number(&domain.join(file));
            if counts("mbm_total_bytes") || counts("mbm_local_bytes") {
                let (mbm_total_bytes, mbm_local_bytes) = (at("mbm_total_bytes"), at("mbm_local_bytes"));
                stats.mbm_stats.push(Bandwidth { mbm_total_bytes, mbm_local_bytes });
            }
            if counts("llc_occupancy") {
                stats.cmt_stats.push(Occupancy { llc_occupancy: at("llc_occupancy") });
            }
        }
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// 0 where there is no number: the kernel writes `Unavailable` and `Error` too.
fn number(path: &Path) -> u64 {
    read(path).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The line of `resource` in schemata.
fn line(schemata: &str, resource: &str) -> String {
    let mut lines = schemata.lines().map(str::trim);
    lines.find(|line| line.split(':').next() == Some(resource)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_class_with_a_monitoring_group() {
        let root = std::env::temp_dir().join(format!("coracle-rdt-stats-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("schemata", "    L3:0=fff;1=fff\n    MB:0=100;1=100\n");
        put("web1/schemata", "    L3:0=f;1=f\n    MB:0=20;1=100\n    L2:0=3\n");
        put("info/L3/cbm_mask", "fff\n");
        put("info/L3/min_cbm_bits", "2\n");
        put("info/L3/num_closids", "16\n");
        put("info/MB/bandwidth_gran", "10\n");
        put("info/MB/delay_linear", "1\n");
        put("info/MB/min_bandwidth", "10\n");
        put("info/MB/num_closids", "8\n");
        put("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n");
        for (domain, number) in [("mon_L3_00", 1), ("mon_L3_01", 2)] {
            let at = format!("web1/mon_groups/web1/mon_data/{domain}");
            put(&format!("{at}/llc_occupancy"), &format!("{}\n", number * 100));
            put(&format!("{at}/mbm_total_bytes"), &format!("{}\n", number * 10));
            put(&format!("{at}/mbm_local_bytes"), "Unavailable\n");
        }
        let groups =
            Groups { joined: root.join("web1"), class: None, monitoring: Some(root.join("web1/mon_groups/web1")) };
        let said = serde_json::to_value(groups.stats(&root)).unwrap();
        let wanted = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "fff", "min_cbm_bits": 2, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fff;1=fff", "l3_cache_schema": "L3:0=f;1=f",
            "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
            "mem_bw_schema_root": "MB:0=100;1=100", "mem_bw_schema": "MB:0=20;1=100",
            "mbm_stats": [{"mbm_total_bytes": 10}, {"mbm_total_bytes": 20}],
            "cmt_stats": [{"llc_occupancy": 100}, {"llc_occupancy": 200}],
            "schemata": ["L3:0=f;1=f", "MB:0=20;1=100", "L2:0=3"],
        });
        assert_eq!(said, wanted);
        std::fs::remove_dir_all(&root).unwrap();
        let nothing = Groups { joined: PathBuf::from("/nonexistent"), ..Groups::default() };
        assert_eq!(serde_json::to_string(&nothing.stats(&root)).unwrap(), "{}");
    }
}
