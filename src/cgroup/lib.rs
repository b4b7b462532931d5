use nix::{errno::Errno, unistd::Pid};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};
#[derive(Debug)]
pub struct Error(String);
impl Error {
    pub fn errno(&self) -> Option<Errno> {
        None
    }
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
pub type Result<T> = std::result::Result<T, Error>;
pub struct Resources;
pub struct Invalid {
    pub pointer: String,
    pub problem: String,
}
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.problem)
    }
}
pub trait Cgroup {
    fn dir(&self) -> Option<BorrowedFd<'_>>;
    fn needs_add(&self) -> bool;
    fn add(&self, pid: Pid) -> Result<()>;
    fn set(&self, r: &Resources) -> Result<()>;
    fn freeze(&self, f: bool) -> Result<()>;
    fn is_frozen(&self) -> Result<bool>;
    fn kill(&self, s: i32) -> Result<()>;
    fn pids(&self) -> Result<Vec<Pid>>;
    fn remove(&self) -> Result<()>;
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Location {}
impl Location {
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        BTreeMap::new()
    }
}
pub struct Layout;
impl Layout {
    pub fn detect() -> Result<Layout> {
        Ok(Layout)
    }
}
pub enum Driver {
    Cgroupfs,
    Systemd,
}
pub fn resources(_: &oci_spec::runtime::LinuxResources, _: &Layout) -> std::result::Result<Resources, Invalid> {
    Ok(Resources)
}
struct N;
impl Cgroup for N {
    fn dir(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn needs_add(&self) -> bool {
        false
    }
    fn add(&self, _: Pid) -> Result<()> {
        Ok(())
    }
    fn set(&self, _: &Resources) -> Result<()> {
        Ok(())
    }
    fn freeze(&self, _: bool) -> Result<()> {
        Ok(())
    }
    fn is_frozen(&self) -> Result<bool> {
        Ok(false)
    }
    fn kill(&self, _: i32) -> Result<()> {
        Ok(())
    }
    fn pids(&self) -> Result<Vec<Pid>> {
        Ok(vec![])
    }
    fn remove(&self) -> Result<()> {
        Ok(())
    }
}
pub struct Created(Box<dyn Cgroup>, Location);
impl Deref for Created {
    type Target = dyn Cgroup;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
impl Created {
    pub fn location(&self) -> &Location {
        &self.1
    }
    pub fn keep(self) -> Box<dyn Cgroup> {
        self.0
    }
}
pub fn create(_: &Layout, _: Driver, _: &str, _: Option<&Path>, _: bool) -> Result<Created> {
    Ok(Created(Box::new(N), Location {}))
}
pub fn open(_: &Location) -> Result<Box<dyn Cgroup>> {
    Ok(Box::new(N))
}
