pub mod id;
pub mod signal;

pub use id::ContainerId;
pub use signal::Signal;
