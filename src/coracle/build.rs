//! Where the program begins: `coracle_sys::early`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        println!("cargo::rustc-link-arg-bin=coracle=-Wl,--entry=coracle_entry");
    }
}
