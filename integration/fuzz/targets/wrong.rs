//! Proof that a target can fail: it is told to do something wrong and has to notice (`hack/fuzz`).

/// Whether this is to be done wrong.
pub fn is(what: &str) -> bool {
    std::env::var_os("FUZZ_WRONG").is_some_and(|asked| asked == what)
}
