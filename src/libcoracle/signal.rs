//! A signal as a user writes it.

use std::fmt;
use std::str::FromStr;

/// A signal's number, 0 to 64. 0 is sent to nobody: it asks whether the process is there (kill(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// No signal has this name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSignal(String);

impl Signal {
    /// Ends a process that does not object.
    pub const TERM: Signal = Signal(nix::libc::SIGTERM);
    /// Ends a process whatever it thinks of it.
    pub const KILL: Signal = Signal(nix::libc::SIGKILL);

    /// The number the kernel knows it by on this architecture.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl From<nix::sys::signal::Signal> for Signal {
    fn from(signal: nix::sys::signal::Signal) -> Signal {
        Signal(signal as i32)
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Takes a number, or a name in any case with or without `SIG`. Real-time signals have numbers only: their
    /// names count from a value that differs between C libraries.
    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        let unknown = || UnknownSignal(text.to_owned());
        if let Ok(number) = text.parse::<u8>() {
            return if i32::from(number) <= nix::libc::SIGRTMAX() { Ok(Signal(number.into())) } else { Err(unknown()) };
        }
        let upper = text.to_ascii_uppercase();
        let name = match upper.strip_prefix("SIG").unwrap_or(&upper) {
            "IOT" => "ABRT",
            "POLL" => "IO",
            "CLD" => "CHLD",
            other => other,
        };
        nix::sys::signal::Signal::from_str(&format!("SIG{name}")).map(Signal::from).map_err(|_| unknown())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown signal {:?}", self.0)
    }
}

impl std::error::Error for UnknownSignal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let cases = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("Term", 15),
            ("9", 9),
            ("KILL", 9),
            ("0", 0),
            ("hup", 1),
            ("usr1", 10),
            ("CHLD", 17),
            ("cld", 17),
            ("iot", 6),
            ("POLL", 29),
            ("winch", 28),
            ("SIGSYS", 31),
            ("34", 34),
            ("64", 64),
            ("007", 7),
        ];
        for (text, number) in cases {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
    }

    #[test]
    fn not_signals() {
        for text in ["", "SIG", "SIGSIGTERM", "65", "-9", "256", "99999999999", "FOO", "RTMIN+3", "9 ", "KILL\0"] {
            let error = text.parse::<Signal>().unwrap_err();
            assert_eq!(error.to_string(), format!("unknown signal {text:?}"));
        }
    }

    #[test]
    fn shows_the_name_where_there_is_one() {
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert_eq!(Signal(0).to_string(), "signal 0");
        assert_eq!(Signal(40).to_string(), "signal 40");
    }
}
