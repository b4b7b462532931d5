//! The ten tasks of README.md, typed as they stand there.
//!
//! A line that ends in `# → text` must print the text; one whose comment says that exit ends it gets a terminal and a
//! shell's input; any other must succeed. Only the directory and the state root are the test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use integration::{Context, Test, need, requires, test};

const README: &str = include_str!("../../README.md");
const USER: u32 = 65534;

/// The blocks of shell below the heading, in order.
fn blocks(heading: &str) -> Vec<&'static str> {
    let (_, rest) = README.split_once(&format!("\n## {heading}\n")).expect("the README has the section");
    let section = rest.split("\n## ").next().unwrap_or(rest);
    section.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
}

/// A script that does what the lines of `block` say, and ends with the first that does something else.
fn script(block: &str) -> String {
    let mut script = String::from(
        r#"set -e
prints() { out=$(eval "$2" 2>&1 </dev/null) || true; case $out in *"$1"*) ;; *) echo "$2: no $1 in: $out"; exit 1 ;; esac }
shell() { out=$(printf 'echo in-$((40 + 2))\nexit\n' | script -qec "$1" /dev/null); case $out in *in-42*) ;; *) echo "$1: $out"; exit 1 ;; esac }
"#,
    );
    for line in block.lines().filter(|line| !line.starts_with('#')) {
        let quoted = |text: &str| format!("'{}'", text.trim_end().replace('\'', r"'\''"));
        let (command, comment) = line.rsplit_once(" # ").unwrap_or((line, ""));
        script.push_str(&match comment.strip_prefix("→ ") {
            Some(text) => format!("prints {} {}\n", quoted(text), quoted(command)),
            None if comment.ends_with("exit ends it") => format!("shell {}\n", quoted(command)),
            None => format!("{line}\n"),
        });
    }
    script
}

fn ten_tasks_work_as_typed(t: &Context) {
    requires!(need::verb(t, "check"));
    for program in ["/bin/busybox", "/usr/bin/script", "/usr/bin/setpriv"] {
        requires!(need::program(program));
    }
    requires!(need::v1("memory").or_else(|_| need::v2("memory")));
    let blocks = blocks("Ten tasks");
    assert_eq!(blocks.len(), 11, "a block for the bundle and one for each task");
    // The user of the last task has to reach it all.
    let directory = std::path::PathBuf::from(format!("/tmp/readme-{}", t.unique()));
    fs::create_dir(&directory).unwrap();
    let _removed = Removed(directory.clone());
    let (bin, home) = (directory.join("bin"), directory.join("home"));
    for (path, mode) in [(&directory, 0o755), (&bin, 0o755), (&home, 0o700)] {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(&home, Some(USER), Some(USER)).unwrap();
    let wrapper = format!("#!/bin/sh\nexec '{}' --root \"$STATE\" \"$@\"\n", t.coracle().program().display());
    fs::write(bin.join("coracle"), wrapper).unwrap();
    fs::set_permissions(bin.join("coracle"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut entered = "cd /tmp".to_owned();
    for block in blocks {
        let user = block.starts_with("# as an ordinary user");
        let text =
            format!("{entered}\n{}", script(block)).replace("/tmp/web", &directory.join("web").display().to_string());
        let as_user = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c"];
        let call = if user { t.tool("/usr/bin/setpriv", &as_user) } else { t.tool("/bin/bash", &["-c"]) };
        let state = if user { home.join("state") } else { t.root() };
        fs::create_dir_all(&state).unwrap();
        if user {
            chown(&state, Some(USER), Some(USER)).unwrap();
        }
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
        let output =
            call.arg(&text).env("PATH", path).env("STATE", &state).env("HOME", &home).env("TERM", "xterm").run();
        assert_eq!(output.code, 0, "{block}\n{}{}", output.stdout, output.stderr);
        entered = format!("cd '{}'", directory.join("web").display());
    }
    t.coracle().call(["delete", "--force", "web"]).run().ok();
}

/// A directory that is removed at the end.
struct Removed(std::path::PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub const TESTS: &[Test] = &[test("readme: the ten tasks work as they are typed there", &[], ten_tasks_work_as_typed)];
