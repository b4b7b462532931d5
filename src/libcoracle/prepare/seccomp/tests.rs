//! The search against libseccomp and against the rules as they are written: the same answers for every call and every
//! kind of argument.

#[path = "../../../../integration/src/bpf.rs"]
mod bpf;

use std::collections::BTreeSet;

use coracle_plan::seccomp::{Condition, Filter};
use libseccomp::{ScmpArch, ScmpSyscall};
use oci_spec::runtime::LinuxSeccompOperator as Operator;
use serde_json::{Value, json};

use super::search::{search, value};
use super::{Call, calls, compile, empty, instruction, whole};

/// Calls of x86 that stand for others.
const MULTIPLEX: [u32; 2] = [102, 117];

/// A sequence of numbers that is the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn filter(profile: &Value) -> Filter {
    Filter::from_spec(&serde_json::from_value(profile.clone()).unwrap(), false).unwrap()
}

/// Values around those an argument is compared with, in either half.
fn values(call: &Call<'_>, index: u32) -> Vec<u64> {
    let compared = call.conditions.iter().filter(|one| one.index == index).flat_map(|one| [one.value, one.masked]);
    let around = |v: u64| [v, v.wrapping_sub(1), v.wrapping_add(1), v ^ (1 << 32), v ^ (1 << 63), !v, v << 32];
    compared.flat_map(around).chain([0, u64::MAX]).collect()
}

/// Arguments worth trying for the call of this number.
fn arguments(arch: ScmpArch, number: u32, calls: &[Call<'_>], numbers: &mut Numbers) -> Vec<[u64; 6]> {
    let name = ScmpSyscall::from_raw_syscall(number as i32).get_name_by_arch(arch).unwrap_or_default();
    let multiplexed = arch == ScmpArch::X86 && MULTIPLEX.contains(&number);
    let named: Vec<&Call<'_>> = calls.iter().filter(|call| !call.conditions.is_empty() && call.name == name).collect();
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    if multiplexed {
        all.extend((0..30).map(|function| [function, 0, 0, 0, 0, 0]));
        all.extend((0..30).flat_map(|function| (0..6).map(move |n| [function | (n << 32), n, n, n, n, n])));
    }
    if !named.is_empty() {
        let tried: Vec<Vec<u64>> = (0..6).map(|i| named.iter().flat_map(|call| values(call, i)).collect()).collect();
        all.extend((0..60).map(|_| std::array::from_fn(|i| numbers.of(&tried[i]))));
    }
    all
}

/// What the rules for a call say, read one after the other; `None` when none holds.
fn read(calls: &[&Call<'_>], narrow: bool, args: [u64; 6]) -> Option<u32> {
    let width = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    let holds = |one: &Condition| {
        let (argument, value) = (width(args[one.index as usize]), width(one.value));
        match one.operator {
            Operator::ScmpCmpNe => argument != value,
            Operator::ScmpCmpLt => argument < value,
            Operator::ScmpCmpLe => argument <= value,
            Operator::ScmpCmpEq => argument == value,
            Operator::ScmpCmpGe => argument >= value,
            Operator::ScmpCmpGt => argument > value,
            Operator::ScmpCmpMaskedEq => argument & value == width(one.masked) & value,
        }
    };
    let nothing = |one: &Condition| one.operator == Operator::ScmpCmpMaskedEq && width(one.value) == 0;
    let first = calls.iter().find(|call| call.conditions.iter().all(nothing));
    first.or_else(|| calls.iter().find(|call| call.conditions.iter().all(holds))).map(|call| value(call.rule.action))
}

/// How many answers were compared with libseccomp's, and the calls for which they are others.
#[derive(Default)]
struct Compared {
    answers: usize,
    other: BTreeSet<(String, u32)>,
    /// Instructions, ours and libseccomp's.
    lengths: (usize, usize),
}

/// Compares the program for `profile` with the rules, where a call is one number, and with libseccomp's program if it
/// makes one.
fn compare(profile: &Value, numbers: &mut Numbers) -> Compared {
    let filter = filter(profile);
    let calls = calls(&filter);
    let (context, architectures) = empty(&filter).unwrap();
    let ours: Vec<u8> = instruction::bytes(search(&architectures, &filter, &calls).unwrap()).collect();
    let theirs = whole(context, &architectures, &filter, &calls).ok();
    let lengths = (ours.len() / 8, theirs.as_ref().map_or(0, Vec::len) / 8);
    let mut compared = Compared { lengths, ..Compared::default() };
    let x32 = 0x4000_0000;
    let edges = [u32::MAX, u32::MAX - 1, 1 << 31, 3 << 30, (1 << 31) - 1, (3 << 30) - 1, x32 - 1];
    for (audit, arch) in architectures.iter().copied().chain([(0x8000_0016, ScmpArch::S390X)]) {
        let narrow = matches!(arch, ScmpArch::X86 | ScmpArch::X32 | ScmpArch::Arm);
        for number in (0..=700).chain(x32..=x32 + 700).chain(0xf_0000..=0xf_0008).chain(edges) {
            let call = ScmpSyscall::from_raw_syscall(number as i32);
            let name = call.get_name_by_arch(arch).unwrap_or_default();
            let one = ScmpSyscall::from_name_by_arch(&name, arch).is_ok_and(|other| other == call);
            let one = one && arch != ScmpArch::S390X && !(arch == ScmpArch::X86 && MULTIPLEX.contains(&number));
            let named: Vec<&Call<'_>> = calls.iter().filter(|call| one && call.name == name).collect();
            for args in arguments(arch, number, &calls, numbers) {
                let answer = bpf::answer(&ours, audit, number, args).unwrap();
                if let Some(written) = read(&named, narrow, args) {
                    assert_eq!(answer, written, "{arch:?} {name} {number} {args:x?}\n{profile}");
                }
                compared.answers += 1;
                if theirs.as_ref().is_some_and(|theirs| bpf::answer(theirs, audit, number, args) != Some(answer)) {
                    compared.other.insert((format!("{arch:?} {name}"), number));
                }
            }
        }
    }
    compared
}

fn profile(text: &str) -> Value {
    let config: Value = serde_json::from_str(text).unwrap();
    if config["linux"].is_object() { config["linux"]["seccomp"].clone() } else { config }
}

const SHIPPED: [(&str, &str); 5] = [
    ("docker", include_str!("../../../../integration/data/seccomp/docker.json")),
    ("podman", include_str!("../../../../integration/data/seccomp/podman.json")),
    ("containerd", include_str!("../../../../integration/data/seccomp/containerd.json")),
    ("docker of Debian 12", include_str!("../../../../integration/data/docker.json")),
    ("podman of Debian 12", include_str!("../../../../integration/data/podman.json")),
];

#[test]
fn default_profiles_of_engines() {
    let mut numbers = Numbers(1);
    for (name, text) in SHIPPED {
        let mut profile = profile(text);
        let compared = compare(&profile, &mut numbers);
        let (ours, theirs) = compared.lengths;
        println!("{name}: {} answers, {ours} instructions, libseccomp {theirs}", compared.answers);
        assert!(compared.other.is_empty() && ours < theirs, "{name}: {:?}", compared.other);
        for architectures in [json!([]), json!(["SCMP_ARCH_X32"]), json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])] {
            profile["architectures"] = architectures;
            let other = compare(&profile, &mut numbers).other;
            assert!(other.is_empty(), "{name}: {other:?}");
        }
    }
}

/// A profile of some rules about few calls, so that they meet: of up to `actions` actions and `conditions` conditions.
fn random(numbers: &mut Numbers, actions: usize, conditions: usize) -> Value {
    const NAMES: &str = "read write clone socket socketcall connect accept4 send semop semget ipc shmat personality chown32 \
        stat64 fadvise64_64 arm_fadvise64_64 sync_file_range2 execve openat breakpoint pidfd_open futex_waitv rt_sigaction \
        no_such_call time mmap2 process_vm_readv";
    const OPERATORS: [&str; 7] = [
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ];
    const VALUES: [u64; 8] = [0, 1, 2, 7, 0xffff_ffff, 1 << 32, (7 << 32) + 2, u64::MAX];
    let kinds = 1 + numbers.below(actions);
    let actions = ["ALLOW", "ERRNO", "KILL_PROCESS", "LOG", "TRAP", "TRACE"].map(|name| format!("SCMP_ACT_{name}"));
    let names: Vec<&str> = NAMES.split_whitespace().collect();
    let rules: Vec<Value> = (0..1 + numbers.below(12))
        .map(|_| {
            let args: Vec<Value> = (0..numbers.below(conditions + 1))
                .map(|_| {
                    let op = numbers.of(&OPERATORS);
                    json!({"index": numbers.below(3), "value": numbers.of(&VALUES), "valueTwo": numbers.of(&VALUES), "op": op})
                })
                .collect();
            let some: Vec<&str> = (0..1 + numbers.below(4)).map(|_| numbers.of(&names)).collect();
            json!({"names": some, "action": numbers.of(&actions[..kinds]), "args": args})
        })
        .collect();
    let architectures = ["X86_64", "X86", "X32", "AARCH64", "ARM", "RISCV64"].map(|name| format!("SCMP_ARCH_{name}"));
    let architectures: Vec<String> = (0..numbers.below(4)).map(|_| numbers.of(&architectures)).collect();
    json!({"defaultAction": numbers.of(&actions), "architectures": architectures, "syscalls": rules})
}

/// What is compared with the rules as they are written in `compare` holds for every profile. libseccomp's program is
/// another where several conditions or actions meet on a call: it loses some, and has an order of its own.
#[test]
fn random_profiles() {
    let mut numbers = Numbers(2);
    for (actions, conditions) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
        for _ in 0..50 {
            let mut profile = random(&mut numbers, actions, conditions);
            // So that nothing that is named is newer than what is known.
            let last = json!({"names": ["futex_waitv"], "action": "SCMP_ACT_ALLOW"});
            profile["syscalls"].as_array_mut().unwrap().push(last);
            let other = compare(&profile, &mut numbers).other;
            assert!(actions + conditions > 2 || other.is_empty(), "{other:?}\n{profile}");
        }
    }
}

#[test]
fn other_architectures_are_left_to_libseccomp() {
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_MIPSEL"],
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]});
    let filter = filter(&profile);
    let (_, architectures) = empty(&filter).unwrap();
    assert_eq!(architectures.len(), 2);
    assert!(search(&architectures, &filter, &calls(&filter)).is_none());
    let program = compile(&filter).unwrap();
    // AUDIT_ARCH_MIPSEL, where read is 4003.
    assert_eq!(bpf::answer(&program, 0x4000_0008, 4003, [0; 6]), Some(0x7fff_0000));
}
