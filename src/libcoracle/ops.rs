//! What can be done with containers: one verb, one file.

pub mod features;
pub mod spec;

pub use features::features;
pub use spec::spec;
