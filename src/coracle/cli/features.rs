//! `coracle features`

use clap::Parser;
use libcoracle::ops;
use serde::Serialize;

use super::{Call, Verb, print};
use crate::failure::Failure;

/// Print what this build can do as JSON, whatever the host allows
#[derive(Debug, Parser)]
pub struct Features {}

impl Verb for Features {
    fn run(&self, _: &Call) -> Result<u8, Failure> {
        let mut text = Vec::with_capacity(8192);
        let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        ops::features()
            .serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
            .map_err(|error| Failure::new(format!("write the features as JSON: {error}")))?;
        text.push(b'\n');
        print(&String::from_utf8_lossy(&text))
    }
}
