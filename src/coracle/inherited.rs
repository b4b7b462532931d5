//! The descriptors the caller handed over.
//!
//! A runtime that looks at them late finds its own among them, and passes a container what was never meant for it
//! (CVE-2024-21626 was a leak of that kind). So they are counted before anything is opened. Descriptors 0 to 2 need
//! no care: the standard library opens `/dev/null` in the place of those that are closed before `main` begins.

use coracle_sys::fds::is_open;

use crate::failure::Failure;

/// The first descriptor that is not one of the standard three.
const FIRST: u32 = 3;

/// How many descriptors were open, without a gap, from 3 on.
#[derive(Debug, Clone, Copy)]
pub struct Inherited(u32);

impl Inherited {
    /// Counts them. Has to be the first thing a process does.
    pub fn record() -> Inherited {
        let mut count = 0;
        while is_open((FIRST + count) as i32) {
            count += 1;
        }
        Inherited(count)
    }

    /// Checks that the caller did hand over `wanted` descriptors after those of socket activation (sd_listen_fds(3)),
    /// and returns how many the latter are.
    pub fn check(self, wanted: u32) -> Result<u32, Failure> {
        let listening = listen_fds();
        self.check_after(listening, wanted)?;
        Ok(listening)
    }

    /// Checks that the caller did hand over `wanted` descriptors; those of socket activation are the container's own
    /// process's, if anybody's.
    pub fn check_alone(self, wanted: u32) -> Result<(), Failure> {
        self.check_after(0, wanted)
    }

    fn check_after(self, listening: u32, wanted: u32) -> Result<(), Failure> {
        if listening > self.0 {
            let missing = FIRST + self.0;
            return Err(Failure::new(format!("LISTEN_FDS is {listening}, but descriptor {missing} is not open")));
        }
        let found = self.0 - listening;
        if wanted > found {
            let missing = FIRST + self.0;
            return Err(Failure::new(format!(
                "unable to stat preserved-fd {found} (of {wanted}): descriptor {missing} is not open"
            )));
        }
        Ok(())
    }
}

/// How many descriptors socket activation passed to this process; 0 when the variables are another's.
fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_that_is_missing() {
        assert!(Inherited(2).check(2).is_ok());
        assert!(Inherited(0).check(0).is_ok());
        let failure = Inherited(1).check(3).unwrap_err();
        assert_eq!(failure.log_text(), "unable to stat preserved-fd 1 (of 3): descriptor 4 is not open");
    }
}
