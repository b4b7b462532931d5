//! Files that are no configuration, and values of the wrong type.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use integration::Context;
use nix::sys::stat::Mode;
use serde_json::json;

use super::Case;

/// config.json with this text.
fn text(says: &'static str, text: &'static [u8]) -> Case {
    Case::files(says, move |bundle| fs::write(bundle.join("config.json"), text).unwrap())
}

/// Something else under the name config.json.
fn instead(says: &'static str, make: impl Fn(&Path) + 'static) -> Case {
    Case::files(says, move |bundle| {
        fs::remove_file(bundle.join("config.json")).unwrap();
        make(&bundle.join("config.json"));
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        instead("JSON specification file config.json not found", |path| {
            fs::write(path.with_file_name("no-config"), "").unwrap()
        }),
        instead("config.json: is a directory, not a file", |path| fs::create_dir(path).unwrap()),
        instead("config.json: is a FIFO, not a file", |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()).hangs(),
        instead("config.json: is a device, not a file", |path| symlink("/dev/zero", path).unwrap()).hangs(),
        instead("JSON specification file config.json not found", |path| symlink("/nonexistent", path).unwrap()),
        instead("open config.json: too many symbolic links encountered (ELOOP)", |path| {
            symlink("config.json", path).unwrap()
        }),
        instead("config.json: is larger than 16 MiB", |path| {
            fs::write(path, "").unwrap();
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
        })
        .hangs(),
        text("config.json: malformed JSON: EOF while parsing a value at line 1 column 0", b""),
        text("config.json: malformed JSON: trailing comma at line 3 column 1", b"{\n\"ociVersion\": \"1.0.0\",\n}"),
        text(
            "config.json: malformed JSON: EOF while parsing an object at line 2 column 0",
            b"{\"ociVersion\": \"1.0.0\"\n",
        ),
        text("config.json: malformed JSON: trailing characters at line 2 column 1", b"{\"ociVersion\": \"1.0.0\"}\nx"),
        text("config.json: malformed JSON: not UTF-8 at line 1 column 17", b"{\"ociVersion\": \"\xff\"}"),
        text("config.json: malformed JSON: a byte order mark at line 1 column 1", b"\xef\xbb\xbf{}"),
        text("config.json: malformed JSON: expected value at line 1 column 1", b"\x00\x00\x00"),
        text("config cannot be null", b"null"),
        text("config.json: must be an object, not a list", b"[]"),
        text("config.json /ociVersion: is given twice", b"{\"ociVersion\": \"1.0.0\", \"ociVersion\": \"1.0.0\"}"),
        text("config.json /ociVersion: must be given", b"{}"),
        Case::patch("config.json /ociVersion: must be a string, not a number", json!({"ociVersion": 1})),
        Case::patch("config.json /ociVersion: \"1.0\" is no version number", json!({"ociVersion": "1.0"}))
            .taken(VERSION),
        Case::patch("config.json /ociVersion: version 2.0.0 of the runtime", json!({"ociVersion": "2.0.0"}))
            .taken(VERSION),
        Case::patch("config.json /process: must be an object, not a list", json!({"process": []})),
        Case::patch("config.json /process/cwd: must be a string, not a number", json!({"process": {"cwd": 7}})),
        Case::patch("config.json /process/terminal: must be true or false", json!({"process": {"terminal": "false"}})),
        Case::patch("config.json /mounts: must be a list, not an object", json!({"mounts": {"a": 1}})),
        Case::patch(
            "config.json /mounts/0/options/0: must be a string",
            json!({"mounts": [{"destination": "/x", "options": [1]}]}),
        ),
        Case::patch("config.json /linux: must be an object, not the string", json!({"linux": "x"})),
        Case::patch("config.json /annotations/a: must be a string, not a number", json!({"annotations": {"a": 1}})),
        Case::patch("config.json /annotations/: a name must not be empty", json!({"annotations": {"": "x"}}))
            .taken("no check"),
        Case::patch("config.json /hooks: must be an object, not a list", json!({"hooks": []})),
        Case::patch("config.json /hostname: contains a NUL byte", json!({"hostname": "a\u{0}b"}))
            .taken("it is taken as it is"),
    ]
}

const VERSION: &str = "it does not look at the version";

/// What a runtime must not mind.
pub fn odd(t: &Context) {
    let sets = json!({"bounding": ["CAP_KILL", "CAP_NOSUCH"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]});
    let odd = json!({
        "ociVersion": "1.99.0-rc.1+x", "x-unknown": {"a": [1, 2]}, "vm": {"hypervisor": {"path": "/x"}}, "windows": null,
        "annotations": {"org.example.unknown": "x"}, "hooks": null,
        "process": {"capabilities": sets, "rlimits": null, "x-unknown": 1}
    });
    let bundle = t.bundle().patch(json!({})).edit(|config| integration::merge(config, &odd));
    bundle.run_with(&[]).ok().stderr("ignoring unknown or unavailable capabilities: [CAP_NOSUCH]");
    let config = bundle.path().join("config.json");
    fs::rename(&config, bundle.path().join("other.json")).unwrap();
    symlink("other.json", &config).unwrap();
    let id = bundle.id();
    let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(id).run();
    run.ok();
}
