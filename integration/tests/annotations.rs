//! Annotations for the runtime itself, and who may give them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use integration::{Bundle, Context, Test, test};
use serde_json::{Value, json};

fn annotated(t: &Context, annotations: Value) -> Bundle {
    t.bundle().patch(json!({"annotations": annotations}))
}

/// Instructions of a filter that lets everything pass but system call 162 (sync), which fails with errno 5.
const PROGRAM: [(u16, u8, u8, u32); 4] =
    [(0x20, 0, 0, 0), (0x15, 0, 1, 162), (0x06, 0, 0, 0x0005_0005), (0x06, 0, 0, 0x7fff_0000)];

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, i| word << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn program() -> String {
    let bytes = PROGRAM
        .iter()
        .flat_map(|(code, yes, no, k)| [&code.to_le_bytes()[..], &[*yes, *no], &k.to_le_bytes()].concat());
    base64(&bytes.collect::<Vec<_>>())
}

const NONE_IN_RUNC: &[(&str, &str)] = &[("runc", "does not have it")];

pub const TESTS: &[Test] = &[
    test("annotations: the caller's groups are kept", &[], |t| {
        for (value, groups) in [(json!("1"), json!([11, 12])), (json!("0"), json!([])), (json!(null), json!([]))] {
            let bundle = annotated(t, json!({"run.oci.keep_original_groups": value}));
            let bundle = bundle.with(t.coracle().launched("groups=11,12"));
            let facts = bundle.facts();
            let mut seen: Vec<u64> = facts.at("/groups").as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            seen.retain(|group| *group != 0);
            assert_eq!(json!(seen), groups, "{value}");
            let mut container = bundle.args(&["/guest", "trap"]).start();
            assert_eq!(container.line(), "ready");
            let facts = container.exec(["/guest", "probe"]).facts();
            let kept = facts.at("/groups").as_array().unwrap().contains(&json!(11));
            assert_eq!(kept, value == "1", "exec, {value}");
        }
    })
    .known(NONE_IN_RUNC),
    test("annotations: what hooks print goes to files", &[], |t| {
        let (out, err) = (t.path("out"), t.path("err"));
        fs::write(&out, "before\n").unwrap();
        let hook = |script: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
        let bundle = annotated(t, json!({"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err}));
        let bundle =
            bundle.patch(json!({"hooks": {"prestart": hook("echo one; echo two >&2"), "poststop": hook("echo last")}}));
        bundle.run().ok();
        assert_eq!(fs::read_to_string(&out).unwrap(), "before\none\nlast\n");
        assert_eq!(fs::read_to_string(&err).unwrap(), "two\n");
        assert_eq!(fs::metadata(&err).unwrap().mode() & 0o077, 0);
        let failing = bundle.patch(json!({"hooks": {"prestart": hook("echo why; exit 3")}}));
        failing.run().fails().stderr(out.to_str().unwrap());
    })
    .known(NONE_IN_RUNC),
    test("annotations: a pidfd for whoever listens", &[], |t| {
        let path = t.path("socket").to_str().unwrap().to_owned();
        let mut agent = t.helper(&["pidfd", &path]).spawn();
        assert_eq!(agent.line(), "listening");
        let container = annotated(t, json!({"run.oci.pidfd_receiver": path})).args(&["/guest", "trap"]).create();
        let told = agent.line();
        assert!(told.contains(&container.pid().to_string()), "{told} is not about {}", container.pid());
    })
    .known(NONE_IN_RUNC),
    test("annotations: unknown system calls may be an error", &[], |t| {
        let seccomp = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["sync", "nosuchcall"], "action": "SCMP_ACT_ERRNO"}]}}});
        annotated(t, json!({})).patch(seccomp.clone()).run().ok();
        let strict = annotated(t, json!({"run.oci.seccomp_fail_unknown_syscall": "1"})).patch(seccomp);
        strict.run().fails().stderr("/linux/seccomp/syscalls/0/names/1: nosuchcall");
    })
    .known(NONE_IN_RUNC),
    test("annotations: a seccomp program ready made", &[], |t| {
        let seccomp = json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
            [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]}}});
        let bundle = annotated(t, json!({"run.oci.seccomp_bpf_data": program()})).patch(seccomp);
        let calls = |number| bundle.run_args(&["/guest", "syscall", number]).stdout.trim().to_owned();
        assert_eq!((calls("162").as_str(), calls("140").as_str()), ("EIO", "ok"));
        annotated(t, json!({"run.oci.seccomp_bpf_data": "AAAA"})).run().fails().stderr("run.oci.seccomp_bpf_data");
    })
    .known(NONE_IN_RUNC),
    test("annotations: a label is given in one of four ways", &[], |t| {
        let wrong = annotated(t, json!({"run.oci.mount_context_type": "content"}));
        wrong.run().fails().stderr("run.oci.mount_context_type");
        annotated(t, json!({"run.oci.mount_context_type": "rootcontext"})).run().ok();
    })
    .known(NONE_IN_RUNC),
    test("annotations: a container that asks for a machine does not get less", &[], |t| {
        annotated(t, json!({"run.oci.handler": "krun"})).run().fails().stderr("there is no handler krun");
    })
    .known(NONE_IN_RUNC),
    test("annotations: only the caller and root give orders", &[], |t| {
        let file = t.path("out");
        let hook = json!({"prestart": [{"path": "/bin/echo", "args": ["echo", "said"]}]});
        let orders = json!({"run.oci.hooks.stdout": file, "run.oci.handler": "krun"});
        let bundle = annotated(t, orders.clone()).patch(json!({"hooks": hook}));
        bundle.save();
        let config = bundle.path().join("config.json");
        let run = || bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        chown(&config, Some(4321), None).unwrap();
        run().ok().stderr("is not obeyed");
        chown(&config, Some(0), None).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
        run().ok().stderr("is not obeyed");
        assert!(fs::symlink_metadata(&file).is_err(), "an order was obeyed");
        // The state shows them all the same.
        let mut container = annotated(t, json!({"run.oci.hooks.stdout": file})).args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        assert_eq!(container.state()["annotations"]["run.oci.hooks.stdout"], json!(file));
    })
    .known(NONE_IN_RUNC),
];
