//! The binary as a caller meets it: spellings, help, errors, exit codes. Nothing here needs privileges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run left behind.
#[must_use]
struct Output {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Output {
    #[track_caller]
    fn exits(self, code: i32) -> Output {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Output {
        assert!(self.out.contains(text), "no {text:?} in stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// The error of the run, in the one line of the log that is standard error.
    #[track_caller]
    fn fails_with(self, text: &str) {
        let message = if text.chars().all(|c| c.is_ascii_alphanumeric()) { text.into() } else { format!("{text:?}") };
        let end = format!("Z\" level=error msg={message}\n");
        assert!(self.err.starts_with("time=\"20") && self.err.ends_with(&end), "not {end:?}: {}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
    }
}

fn coracle(args: &[&str]) -> Output {
    finish(command().args(args))
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.arg0("coracle").stdin(Stdio::null());
    command
}

fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const COMMANDS: &[&str] = &[
    "check",
    "checkpoint",
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "help",
    "kill",
    "list",
    "mounts",
    "pause",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
];

#[test]
fn help_lists_every_command() {
    for args in [&[][..], &["--help"], &["-h"], &["-help"], &["help"], &["h"], &["--debug", "-h", "nosuch"]] {
        let output = coracle(args).exits(0).says("Usage: coracle [OPTIONS] COMMAND").says("--log-format");
        for name in COMMANDS {
            assert!(output.out.contains(&format!("\n  {name}")), "{name}");
        }
        assert_eq!(output.err, "");
    }
}

#[test]
fn each_command_explains_itself() {
    for name in COMMANDS {
        let asked = coracle(&["help", name]).exits(0).says(&format!("Usage: coracle {name}"));
        assert_eq!(coracle(&[name, "--help"]).exits(0).out, asked.out);
        assert_eq!(coracle(&[name, "-h"]).exits(0).out, asked.out);
        assert!(asked.out.lines().all(|line| line.chars().count() <= 120), "{}", asked.out);
    }
}

#[test]
fn version() {
    for args in [["--version"], ["-version"], ["-v"]] {
        let output = coracle(&args).exits(0).says("\nspec: 1.3.0\n").says("\nlibseccomp: 2.");
        assert!(output.out.starts_with("coracle version "), "{}", output.out);
    }
}

#[test]
fn commands_that_are_not() {
    coracle(&["frob"]).exits(3).fails_with("No help topic for 'frob'");
    coracle(&["help", "frob"]).exits(3).fails_with("No help topic for 'frob'");
    coracle(&[""]).exits(3).fails_with("No help topic for ''");
}

#[test]
fn misused_options() {
    let cases: &[(&[&str], &str)] = &[
        (&["--frob", "list"], "flag provided but not defined: -frob"),
        (&["list", "--frob"], "flag provided but not defined: -frob"),
        (&["list", "--log", "x"], "flag provided but not defined: -log"),
        (&["run", "-dt", "x"], "flag provided but not defined: -dt"),
        (&["--root"], "flag needs an argument: -root"),
        (&["create", "x", "-b"], "flag needs an argument: -b"),
        (&["run", "-d=maybe", "x"], "invalid boolean value \"maybe\" for -d: parse error"),
        (&["create", "--preserve-fds", "many", "x"], "invalid value \"many\" for flag -preserve-fds: parse error"),
        (&["create", "--preserve-fds=-1", "x"], "invalid value \"-1\" for flag -preserve-fds: parse error"),
        (&["create", "---x"], "bad flag syntax: ---x"),
    ];
    for (args, error) in cases {
        coracle(args).exits(1).says("Incorrect Usage.\n\n").says("Usage: coracle ").fails_with(error);
    }
}

#[test]
fn wrong_number_of_arguments() {
    let cases: &[(&[&str], &str)] = &[
        (&["create"], "coracle: \"create\" requires exactly 1 argument(s)"),
        (&["run", "a", "b"], "coracle: \"run\" requires exactly 1 argument(s)"),
        (&["start"], "coracle: \"start\" requires exactly 1 argument(s)"),
        (&["state", "a", "b"], "coracle: \"state\" requires exactly 1 argument(s)"),
        (&["delete", "-f"], "coracle: \"delete\" requires exactly 1 argument(s)"),
        (&["list", "a"], "coracle: \"list\" requires exactly 0 argument(s)"),
        (&["features", "a"], "coracle: \"features\" requires exactly 0 argument(s)"),
        (&["spec", "a"], "coracle: \"spec\" requires exactly 0 argument(s)"),
        (&["ps"], "coracle: \"ps\" requires a minimum of 1 argument(s)"),
        (&["pause", "a", "b"], "coracle: \"pause\" requires exactly 1 argument(s)"),
        (&["kill"], "coracle: \"kill\" requires a minimum of 1 argument(s)"),
        (&["kill", "a", "9", "b"], "coracle: \"kill\" requires a maximum of 2 argument(s)"),
    ];
    for (args, error) in cases {
        coracle(args).exits(1).says("Incorrect Usage.\n\n").fails_with(error);
    }
}

#[test]
fn bad_values() {
    coracle(&["--log-format", "xml", "list"]).exits(1).fails_with("invalid log-format: xml");
    coracle(&["--root", "/", "list"]).exits(1).fails_with("Option --root argument should not be set to /");
    coracle(&["--root=/tmp/..", "list"]).exits(1).fails_with("Option --root argument should not be set to /");
    coracle(&["list", "-f", "xml"]).exits(1).fails_with("invalid format option");
    for verb in ["create", "run", "start", "state", "kill", "delete"] {
        coracle(&[verb, ""]).exits(1).fails_with("container id cannot be empty");
    }
    for verb in ["create", "start", "state", "kill", "delete", "pause", "resume", "ps", "events", "update"] {
        for id in ["a/b", "..", "a b", "ü"] {
            coracle(&[verb, id]).exits(1).fails_with("invalid container ID format");
        }
    }
    let error = "coracle create failed: invalid value \"x\" for flag -rootless: must be true, false or auto";
    coracle(&["--rootless", "x", "create", "a"]).exits(1).fails_with(error);
}

#[test]
fn containers_that_are_not() {
    let scratch = Scratch::new("none");
    let root = scratch.path("");
    for verb in ["start", "state", "kill", "delete", "pause", "resume", "ps", "events", "update"] {
        let output = coracle(&["--root", &root, verb, "nosuch"]).exits(1);
        assert!(output.err.contains("container does not exist"), "{}", output.err);
    }
    coracle(&["--root", &root, "kill", "nosuch", "FOO"]).exits(1).fails_with("unknown signal \"FOO\"");
    assert_eq!(coracle(&["--root", &root, "delete", "-f", "nosuch"]).exits(0).err, "");
}

#[test]
fn an_empty_list() {
    let scratch = Scratch::new("list");
    let root = scratch.path("");
    let header = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    assert_eq!(coracle(&["--root", &root, "list"]).exits(0).out, header);
    assert_eq!(coracle(&["-root", &root, "list", "-format", "json"]).exits(0).out, "null\n");
    assert_eq!(coracle(&["--root", &root, "list", "-q"]).exits(0).out, "");
    let _ = coracle(&["--root", &scratch.path("missing"), "list"]).exits(1);
    assert_eq!(finish(command().args(["list", "-q"]).env("XDG_RUNTIME_DIR", scratch.path("missing"))).exits(0).err, "");
}

#[test]
fn a_bundle_may_stand_for_its_name() {
    let scratch = Scratch::new("bundle");
    fs::create_dir(scratch.path("web 1")).unwrap();
    fs::write(scratch.path("web 1/config.json"), "{").unwrap();
    let log = scratch.path("log");
    let run = |directory: &str, bundle: &str| {
        let args = ["--root", &scratch.path("root"), "--log", &log, "run", bundle];
        finish(command().args(args).current_dir(scratch.path(directory))).exits(1).err
    };
    for (directory, bundle) in [("", "web 1"), ("", "./web 1/"), ("web 1", "."), ("", &scratch.path("web 1"))] {
        let error = run(directory, bundle);
        assert!(error.starts_with("coracle run failed: ") && error.contains("config.json: malformed JSON"), "{error}");
    }
    assert_eq!(run("", ".."), format!("cannot name a container after ..; give --bundle and a container id\n"));
    assert_eq!(run("web 1", "web 1"), "invalid container ID format\n");
}

#[test]
fn the_error_is_in_the_log_and_once_on_standard_error() {
    let scratch = Scratch::new("log");
    let (root, log) = (scratch.path("root"), scratch.path("log"));
    fs::create_dir(&root).unwrap();
    let args = ["--root", &root, "--log", &log, "--log-format=json"];
    let output = finish(command().args(args).args(["create", "-b", &root, "web1"])).exits(1);
    assert!(output.err.starts_with("coracle create failed: "), "{}", output.err);
    assert_eq!(output.err.lines().count(), 1);
    let _ = finish(command().args(args).args(["state", "-frob"])).exits(1);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines.iter().all(|line| line["level"] == "error"));
    assert_eq!(lines[0]["msg"], output.err.trim_end());
    assert_eq!(lines[1]["msg"], "flag provided but not defined: -frob");
    assert_eq!(lines[0]["time"].as_str().unwrap().len(), "2026-11-22T01:34:56Z".len());
}

#[test]
fn a_log_that_cannot_be_opened() {
    let output = coracle(&["--log", "/nonexistent/log", "list"]).exits(1);
    output.fails_with("open log /nonexistent/log: no such file or directory (ENOENT)");
}

#[test]
fn descriptors_that_were_not_handed_over() {
    let scratch = Scratch::new("fds");
    let failed = |text| format!("coracle create failed: unable to stat preserved-fd {text}");
    let args = ["--log", &scratch.path("log"), "create", "--preserve-fds", "2", "x"];
    let error = finish(command().args(args)).exits(1).err;
    assert_eq!(error, failed("0 (of 2): descriptor 3 is not open\n"));

    let shell = |script: &str| {
        let program = env!("CARGO_BIN_EXE_coracle");
        finish(Command::new("sh").args(["-c", script, "sh", program]).args(args).current_dir(&scratch.0)).exits(1).err
    };
    assert_eq!(shell("exec \"$@\" 3</dev/null"), failed("1 (of 2): descriptor 4 is not open\n"));
    assert_eq!(shell("exec \"$@\" 4</dev/null"), failed("0 (of 2): descriptor 3 is not open\n"));
    let found = shell("exec \"$@\" 3</dev/null 4</dev/null");
    assert!(found.contains("config.json"), "{found}");
    let activated = shell("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3</dev/null 4</dev/null");
    assert_eq!(activated, failed("1 (of 2): descriptor 5 is not open\n"));
    let of_another = shell("LISTEN_PID=1 LISTEN_FDS=9 exec \"$@\" 3</dev/null 4</dev/null");
    assert!(of_another.contains("config.json"), "{of_another}");
}

#[test]
fn standard_descriptors_that_are_closed_stay_out_of_use() {
    let scratch = Scratch::new("closed");
    let log = scratch.path("log");
    let script = "exec \"$@\" <&- >&- 2>&-";
    let args = ["--log", &log, "state", "a/b"];
    let program = env!("CARGO_BIN_EXE_coracle");
    let _ = finish(Command::new("sh").args(["-c", script, "sh", program]).args(args)).exits(1);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "the bare error must not end up in the log: {text}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = finish(command().arg("features").stdout(Stdio::from(OwnedFd::from(writer)))).exits(0);
    assert_eq!(output.err, "");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = finish(command().arg("features").stdout(Stdio::from(full))).exits(1);
    output.fails_with("write to standard output: no space left on device (ENOSPC)");
}

#[test]
fn features() {
    let output = coracle(&["features"]).exits(0);
    assert!(output.out.starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\": \"1.3.0\",\n"));
    assert!(output.out.ends_with("}\n"));
    let features: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert!(features["mountOptions"].as_array().unwrap().iter().any(|option| option == "rro"));
}

#[test]
fn spec_writes_once() {
    let scratch = Scratch::new("spec");
    let bundle = scratch.path("");
    let written = coracle(&["spec", "-b", &bundle]).exits(0);
    assert_eq!((written.out.as_str(), written.err.as_str()), ("", ""));
    let text = fs::read_to_string(scratch.path("config.json")).unwrap();
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n"), "{text}");
    coracle(&["spec", "-b", &bundle]).exits(1).fails_with("File config.json exists. Remove it first");
    fs::remove_file(scratch.path("config.json")).unwrap();
    let _ = finish(command().args(["spec", "--rootless"]).current_dir(&bundle)).exits(0);
    let text = fs::read_to_string(scratch.path("config.json")).unwrap();
    assert!(text.contains("\"uidMappings\"") && !text.contains("\"network\""), "{text}");
}
