//! The plan that README.md shows is the one config.json.example gets.

use std::fs;
use std::path::Path;

use coracle_plan::{CreateOptions, Host, Plan};

const BEGIN: &str = "<!-- plan of config.json.example -->\n```text\n";
const END: &str = "```\n";

/// With `UPDATE=1` the README is rewritten.
#[test]
fn the_plan_in_the_readme_is_current() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let spec = serde_json::from_slice(&fs::read(top.join("config.json.example")).unwrap()).unwrap();
    let options = CreateOptions {
        id: "web1".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        gate: true,
        cgroups: [(String::new(), "/sys/fs/cgroup/web1".into())].into(),
        cgroups_made: true,
        ..CreateOptions::default()
    };
    let plan = Plan::create(&spec, &Host::rootful(), &options).unwrap().to_string();

    let readme = fs::read_to_string(top.join("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(top.join("README.md"), format!("{before}{BEGIN}{plan}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, plan, "run `UPDATE=1 cargo test -p coracle-plan --test readme`");
    }
}
