//! Registries that are slow, broken, wary or hostile, on the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod access;
mod hostile;
mod image;
mod server;
mod transport;
