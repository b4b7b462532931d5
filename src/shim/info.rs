//! `-info`: what the runtime is and can do, for those who ask before they use it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

use crate::error::{Doing, Error, Result};
use crate::options::Options;
use crate::runtime;

/// The type of what `coracle features` prints, in containerd's naming of JSON.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Reads the runtime's options from standard input and prints a message of the kind `containerd.types.RuntimeInfo`.
pub fn print() -> Result<()> {
    let mut input = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut input).doing(|| "read standard input".into())?;
    let any = Any::parse_from_bytes(&input).map_err(|error| Error::invalid(format!("read options: {error}")))?;
    let program = runtime::program(&Options::from_any(Some(&any))?);
    let version = RuntimeVersion { version: env!("CARGO_PKG_VERSION").into(), ..RuntimeVersion::default() };
    let features = Any { type_url: FEATURES.into(), value: features(&program)?, ..Any::default() };
    let info = RuntimeInfo {
        name: "io.containerd.coracle.v2".into(),
        version: Some(version).into(),
        options: Some(any).filter(|any| !any.type_url.is_empty()).into(),
        features: Some(features).into(),
        ..RuntimeInfo::default()
    };
    let answer = info.write_to_bytes().map_err(|error| Error::new(format!("encode answer: {error}")))?;
    std::io::stdout().write_all(&answer).doing(|| "write answer".into())
}

fn features(program: &Path) -> Result<Vec<u8>> {
    let what = || format!("execute {} features", program.display());
    let output = Command::new(program).arg("features").stderr(Stdio::inherit()).output().doing(what)?;
    if output.status.success() { Ok(output.stdout) } else { Err(Error::new(format!("{}: {}", what(), output.status))) }
}
