//! Containers by a regular expression instead of a name (`--regex`).

use std::ffi::OsStr;

use libcoracle::{ContainerId, Root};
use regex_lite::Regex;

use crate::failure::Failure;

/// The expression `text`, which need not match a name from end to end.
pub fn expression(text: &OsStr) -> Result<Regex, Failure> {
    let text = text.to_string_lossy();
    Regex::new(&text).map_err(|error| Failure::new(format!("invalid regular expression {text:?}: {error}")))
}

/// Does `act` to every container whose name matches, whatever becomes of the others.
///
/// # Errors
/// How many refused; why is logged.
pub fn each(
    root: &Root,
    verb: &'static str,
    pattern: &OsStr,
    act: impl Fn(&ContainerId) -> libcoracle::Result<()>,
) -> Result<(), Failure> {
    let expression = expression(pattern)?;
    let names = root.names()?;
    let ids = names.iter().filter(|name| expression.is_match(name)).filter_map(|name| name.parse().ok());
    let failed =
        ids.filter(|id: &ContainerId| act(id).inspect_err(|error| tracing::warn!("{verb} {id}: {error}")).is_err());
    match failed.count() {
        0 => Ok(()),
        1 => Err(Failure::new(format!("{verb} failed for one container"))),
        many => Err(Failure::new(format!("{verb} failed for {many} containers"))),
    }
}
