//! Options of those who speak to registries.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use coracle_image::registry::Access;

#[derive(Debug, Args)]
pub struct Registries {
    /// Check certificates, and never use plain HTTP
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = ArgAction::Set)]
    tls_verify: bool,
    /// Name and password for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
    /// Look for credentials in FILE [default: auth.json of podman, then config.json of docker]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Registries {
    pub fn access(&self) -> Access {
        Access { tls_verify: self.tls_verify, credentials: self.creds.clone(), authfile: self.authfile.clone() }
    }
}
