pub mod id;
pub mod ops;
pub mod signal;

pub use id::ContainerId;
pub use signal::Signal;
