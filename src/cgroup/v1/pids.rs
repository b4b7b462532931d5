//! How many processes and threads there may be: as on v2.

pub(crate) use crate::v2::pids::writes;
