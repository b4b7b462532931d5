//! Hooks that fail, and options of a call that do not fit.

use integration::Bundle;
use serde_json::{Value, json};

use super::Case;

/// One hook of a kind.
fn hook(says: &'static str, kind: &'static str, hook: Value) -> Case {
    Case::patch(says, json!({"hooks": {kind: [hook]}}))
}

pub fn cases() -> Vec<Case> {
    vec![
        hook("config.json /hooks/prestart/0/path: must be given", "prestart", json!({"args": ["x"]})),
        hook(
            "config.json /hooks/createRuntime/0/path: must be an absolute path",
            "createRuntime",
            json!({"path": "bin/true"}),
        ),
        hook("config.json /hooks/poststop/0/path: must be an absolute path", "poststop", json!({"path": "bin/true"}))
            .taken(LATER),
        hook("config.json /hooks/poststop/0/path: must not be empty", "poststop", json!({"path": ""})).taken(LATER),
        hook(
            "config.json /hooks/createContainer/0/timeout: must be greater than zero",
            "createContainer",
            json!({"path": "/bin/true", "timeout": 0}),
        ),
        hook(
            "config.json /hooks/createContainer/0/timeout: must be greater than zero",
            "createContainer",
            json!({"path": "/bin/true", "timeout": -1}),
        ),
        hook(
            "config.json /hooks/createRuntime/0/timeout: must be a whole number",
            "createRuntime",
            json!({"path": "/bin/true", "timeout": 1.5}),
        ),
        hook(
            "config.json /hooks/createRuntime/0/env: must be a list",
            "createRuntime",
            json!({"path": "/bin/true", "env": "A=b"}),
        ),
        hook(
            "config.json /hooks/createRuntime/0/args/0: contains a NUL byte",
            "createRuntime",
            json!({"path": "/bin/true", "args": ["\u{0}"]}),
        ),
        Case::patch("config.json /hooks/prestart: must be a list, not an object", json!({"hooks": {"prestart": {}}})),
        hook("/nonexistent/hook: no such file or directory", "prestart", json!({"path": "/nonexistent/hook"})),
        hook("/nonexistent/hook: no such file or directory", "createRuntime", json!({"path": "/nonexistent/hook"})),
        hook("/nonexistent/hook: no such file or directory", "createContainer", json!({"path": "/nonexistent/hook"})),
        hook("/etc/passwd: permission denied", "createRuntime", json!({"path": "/etc/passwd"})),
        hook("/etc: permission denied", "createRuntime", json!({"path": "/etc"})),
        hook("createRuntime hook #0: exit status 1", "createRuntime", json!({"path": "/bin/false"})).hidden(RUN),
        hook("createContainer hook #0: exit status 1", "createContainer", json!({"path": "/bin/false"})).hidden(RUN),
        hook("prestart hook #0: exit status 1", "prestart", json!({"path": "/bin/false"})).hidden(RUN),
        hook(
            "hook ran past specified timeout of 1.0s",
            "createRuntime",
            json!({"path": "/bin/sleep", "args": ["sleep", "30"], "timeout": 1}),
        )
        .hidden(RUN),
        Case::new("cannot allocate tty if", |bundle: Bundle| bundle.patch(json!({"process": {"terminal": true}})))
            .hidden(CALL),
        Case::patch("cannot use console socket if", json!({}))
            .options(&["--console-socket", "/nonexistent"])
            .hidden(CALL),
        Case::patch("/nonexistent/socket", json!({"process": {"terminal": true}}))
            .options(&["--console-socket", "/nonexistent/socket"])
            .hidden(CALL),
        Case::patch("/dev/null", json!({"process": {"terminal": true}}))
            .options(&["--console-socket", "/dev/null"])
            .hidden(CALL),
        Case::patch("/nonexistent/pid: no such file or directory", json!({}))
            .options(&["--pid-file", "/nonexistent/pid"])
            .hidden(CALL),
        Case::patch("/proc/sys/pid", json!({})).options(&["--pid-file", "/proc/sys/pid"]).hidden(CALL),
        Case::patch("preserved-fd", json!({}))
            .options(&["--preserve-fds", "3"])
            .hidden(CALL)
            .taken("it passes descriptors of its own on"),
    ]
}

const RUN: &str = "it shows when the hook is run";
const CALL: &str = "it is about an option of the call, not the bundle";
const LATER: &str = "it finds out when the hook is run";
