//! The command line of the test program.

/// What to do with which tests.
#[derive(Debug)]
pub struct Options {
    pub filters: Vec<String>,
    pub skips: Vec<String>,
    pub threads: usize,
    pub list: bool,
    pub coverage: bool,
}

impl Options {
    /// `[FILTER…] [--skip TEXT]… [--threads N] [--list] [--coverage]`; other options, which cargo may pass, are ignored.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Options {
        // One after the other: what a test has open, a neighbour's child would inherit.
        let mut options = Options { filters: Vec::new(), skips: Vec::new(), threads: 1, list: false, coverage: false };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => options.list = true,
                "--coverage" => options.coverage = true,
                "--skip" => options.skips.extend(args.next()),
                "--threads" => options.threads = args.next().and_then(|count| count.parse().ok()).unwrap_or(1),
                other if other.starts_with('-') => {}
                _ => options.filters.push(arg),
            }
        }
        options
    }

    /// Whether a test of this name is to be run: any filter is part of it, no skip is.
    pub fn wants(&self, name: &str) -> bool {
        let chosen = self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()));
        chosen && !self.skips.iter().any(|skip| name.contains(skip.as_str()))
    }

    /// Whether every test is wanted.
    pub fn is_all(&self) -> bool {
        self.filters.is_empty() && self.skips.is_empty()
    }
}
