//! `coracle update`

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Parser;
use libcoracle::ops;
use ops::update::Changes;
use serde_json::{Map, Value};

use super::size::Size;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Change the limits of a container
///
/// What is not given stays as it is. If one of the limits cannot be set, none is changed. SIZE is a number of bytes, or
/// one with a unit such as 512k, 20m or 1.5GiB; -1 is no limit.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Update {
    /// Read the limits from FILE, which has the form of linux.resources; - is standard input
    #[arg(long, short, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of block device use, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Period of the bound on processor time, microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<String>,
    /// Processor time in each period, microseconds; -1 is no limit
    #[arg(long, value_name = "N")]
    cpu_quota: Option<String>,
    /// Processor time that may be saved up, microseconds
    #[arg(long, value_name = "N")]
    cpu_burst: Option<String>,
    /// Shares of processor time among the siblings, 2 to 262144
    #[arg(long, value_name = "N")]
    cpu_share: Option<String>,
    /// Period of the bound on real-time processes, microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_period: Option<String>,
    /// Time of real-time processes in each period, microseconds
    #[arg(long, value_name = "N")]
    cpu_rt_runtime: Option<String>,
    /// Processors that may be used, such as 0-3,8
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that may be used
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// 1: run only when nothing else wants to; 0: as usual
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<String>,
    /// Memory
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Memory that is not taken away easily
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Memory and swap together
    #[arg(long, value_name = "SIZE")]
    memory_swap: Option<String>,
    /// Ignored
    #[arg(long, value_name = "SIZE", hide = true)]
    kernel_memory: Option<String>,
    /// Ignored
    #[arg(long, value_name = "SIZE", hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Processes and threads; -1 is no limit
    #[arg(long, value_name = "N")]
    pids_limit: Option<i64>,
    /// Intel RDT: schema of the L3 cache
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Intel RDT: schema of the memory bandwidth
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Update {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        let resources = match &self.resources {
            Some(file) => read(file),
            None => self.options(),
        };
        let changes = Changes {
            resources: resources.map_err(|failure| failure.during("update", &id))?,
            l3_cache_schema: self.l3_cache_schema.clone(),
            mem_bw_schema: self.mem_bw_schema.clone(),
        };
        ops::update(&root, &id, &changes).map_err(|error| Failure::from(error).during("update", &id))?;
        Ok(0)
    }
}

impl Update {
    /// `linux.resources` of the options.
    fn options(&self) -> Result<Value, Failure> {
        let mut to = Value::Object(Map::new());
        let mut put = |part: &str, field: &str, value: Option<Value>| {
            if let Some(value) = value {
                to[part][field] = value;
            }
        };
        put("blockIO", "weight", self.blkio_weight.map(Value::from));
        put("cpu", "period", parse::<u64>("cpu-period", &self.cpu_period)?);
        put("cpu", "quota", parse::<i64>("cpu-quota", &self.cpu_quota)?);
        put("cpu", "burst", parse::<u64>("cpu-burst", &self.cpu_burst)?);
        put("cpu", "shares", parse::<u64>("cpu-share", &self.cpu_share)?);
        put("cpu", "realtimePeriod", parse::<u64>("cpu-rt-period", &self.cpu_rt_period)?);
        put("cpu", "realtimeRuntime", parse::<i64>("cpu-rt-runtime", &self.cpu_rt_runtime)?);
        put("cpu", "cpus", self.cpuset_cpus.clone().map(Value::from));
        put("cpu", "mems", self.cpuset_mems.clone().map(Value::from));
        put("cpu", "idle", parse::<i64>("cpu-idle", &self.cpu_idle)?);
        put("memory", "limit", parse::<Size>("memory", &self.memory)?);
        put("memory", "reservation", parse::<Size>("memory-reservation", &self.memory_reservation)?);
        put("memory", "swap", parse::<Size>("memory-swap", &self.memory_swap)?);
        put("pids", "limit", self.pids_limit.map(Value::from));
        let kernel = parse::<Size>("kernel-memory", &self.kernel_memory)?;
        if kernel.or(parse::<Size>("kernel-memory-tcp", &self.kernel_memory_tcp)?).is_some() {
            tracing::warn!("Kernel memory settings are ignored and will be removed");
        }
        Ok(to)
    }
}

impl From<Size> for Value {
    fn from(size: Size) -> Value {
        Value::from(size.0)
    }
}

/// The value of `option`, if it was given.
fn parse<T: FromStr<Err: Display> + Into<Value>>(
    option: &str,
    text: &Option<String>,
) -> Result<Option<Value>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let value =
        text.parse::<T>().map_err(|error| Failure::new(format!("invalid value for {option}: {text:?}: {error}")))?;
    Ok(Some(value.into()))
}

/// `linux.resources` in `file`.
fn read(file: &Path) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut bytes).map(drop),
        _ => std::fs::read(file).map(|read| bytes = read),
    };
    read.map_err(|error| Failure::system(format!("open {}", file.display()), &error))?;
    let name = if file.to_str() == Some("-") { Path::new("standard input") } else { file };
    Ok(ops::update::resources(name, &bytes)?)
}
