//! What can be done with containers: one verb, one file.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
mod groundwork;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod resume;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

pub use crate::OCI_VERSION;
pub use checkpoint::checkpoint;
pub use create::create;
pub use delete::delete;
pub use events::events;
pub use exec::exec;
pub use features::features;
pub use kill::kill;
pub use list::list;
pub use pause::pause;
pub use ps::ps;
pub use restore::restore;
pub use resume::resume;
pub use run::run;
pub use spec::spec;
pub use start::start;
pub use state::state;
pub use update::update;
