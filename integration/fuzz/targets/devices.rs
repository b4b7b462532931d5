//! Rules for devices to a program for the kernel, against what the rules mean.
//!
//! The input is a list of rules of five bytes, and every number in it is also one that is asked for.

#![no_main]

mod wrong;

use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

fn rule(bytes: &[u8]) -> Option<LinuxDeviceCgroup> {
    let &[flags, kind, access, major, minor] = bytes else { return None };
    let letters = ["r", "w", "m"].into_iter().enumerate().filter(|(bit, _)| access & 1 << bit != 0);
    let mut rule = LinuxDeviceCgroupBuilder::default()
        .allow(flags & 1 != 0)
        .access(letters.map(|(_, letter)| letter).collect::<String>());
    rule = match kind % 4 {
        0 => rule,
        1 => rule.typ(LinuxDeviceType::A),
        2 => rule.typ(LinuxDeviceType::B),
        _ => rule.typ(LinuxDeviceType::C),
    };
    if flags & 2 != 0 {
        rule = rule.major(number(major));
    }
    if flags & 4 != 0 {
        rule = rule.minor(number(minor));
    }
    rule.build().ok()
}

/// Small ones, those of the devices every container has, the highest, and "any".
fn number(byte: u8) -> i64 {
    match byte {
        254 => i64::from(u32::MAX),
        255 => -1,
        small => small.into(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let rules: Vec<LinuxDeviceCgroup> = bytes.chunks_exact(5).take(40).filter_map(rule).collect();
    let mut meant = rules.clone();
    if let Some(first) = meant.first_mut()
        && wrong::is("rule")
    {
        first.set_allow(!first.allow());
    }
    let asked = bytes.chunks_exact(5).take(40).map(|rule| (number(rule[3]) as u32, number(rule[4]) as u32));
    let devices: Vec<_> = asked.chain([(1, 3), (10, 200), (136, 7), (9, 9)]).collect();
    coracle_cgroup::check_device_program(&rules, &meant, &devices);
});
