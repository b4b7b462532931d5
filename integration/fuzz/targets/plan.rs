//! config.json to a plan, and the seccomp filter that it names to a program.
//!
//! What is read is planned or refused; a plan ends with the program's execution; a filter has an answer for every call.

#![no_main]

#[path = "../../src/bpf.rs"]
mod bpf;
mod wrong;

use coracle_plan::source::Source;
use coracle_plan::{CreateOptions, Host, Plan, Step};
use libcoracle::bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|config: &[u8]| {
    let Ok(spec) = bundle::parse("config.json", config, &mut Vec::new()) else { return };
    let options = CreateOptions {
        id: "fuzz".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        gate: true,
        ..CreateOptions::default()
    };
    for host in [Host::rootful(), Host::hybrid(), Host::rootless()] {
        let Ok(mut plan) = Plan::create(&spec, &host, &options) else { continue };
        if wrong::is("end") {
            plan.init.pop();
        }
        assert!(matches!(plan.init.last(), Some(Step::Exec { .. })), "{plan}");
        for source in &plan.sources {
            let Source::Seccomp(filter) = source else { continue };
            let Ok(mut program) = libcoracle::compile_filter(filter) else { continue };
            if wrong::is("filter") {
                program.truncate(program.len() / 2);
            }
            for arch in [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0] {
                for number in [0, 1, 41, 102, 359, 450, 1 << 30, u32::MAX] {
                    let answer = |args| bpf::answer(&program, arch, number, args);
                    assert!(answer([0; 6]).is_some() && answer([u64::MAX; 6]).is_some());
                }
            }
        }
    }
});
