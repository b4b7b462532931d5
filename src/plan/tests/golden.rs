//! Golden plans: what a configuration comes to, as text.
//!
//! A file of `plans/` is a JSON merge patch (RFC 7396) on config.json.example, a line `---`, and the plan that is
//! expected of it, or `error: ` and the refusal. The member `@` of the patch is not the configuration's: `host` is
//! `rootful` (if absent), `hybrid` or `rootless`; `options` may set `no_pivot`, `no_new_keyring`, `needs_cgroup_join`,
//! `cgroups_missing`, `cgroups_later` and `preserve_fds`; `host_mounts` lists the host's procfs and sysfs; `mounts` are appended to the
//! example's mounts; with `show: "change"` only the lines that differ from the example's own plan are shown.
//!
//! `UPDATE=1 cargo test -p coracle-plan` writes what comes out; read the difference before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

use std::fs;
use std::path::PathBuf;

use coracle_plan::{CreateOptions, Host, Plan};
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../config.json.example");

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        let members = target.as_object_mut().unwrap();
        match value {
            Value::Null => drop(members.remove(key)),
            value => merge(members.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

fn host(settings: &Value) -> Host {
    let mut host = match settings["host"].as_str() {
        None | Some("rootful") => Host::rootful(),
        Some("hybrid") => Host::hybrid(),
        Some("rootless") => Host::rootless(),
        Some(other) => panic!("no host {other}"),
    };
    let paths = settings["host_mounts"].as_array().into_iter().flatten();
    host.kernel_mounts = paths.map(|path| PathBuf::from(path.as_str().unwrap())).collect();
    host
}

fn options(settings: &Value, host: &Host) -> CreateOptions {
    let given = &settings["options"];
    let is = |key: &str| given[key].as_bool().unwrap_or(false);
    let v1 = host.hierarchies.iter().flat_map(|hierarchy| {
        let path = hierarchy.mount_point.join("web1");
        hierarchy.controllers.split(',').map(move |name| (name.to_owned(), path.clone())).collect::<Vec<_>>()
    });
    let v2 = host.unified.iter().map(|mount| (String::new(), mount.join("web1")));
    CreateOptions {
        id: "web1".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        no_pivot: is("no_pivot"),
        no_new_keyring: is("no_new_keyring"),
        preserve_fds: given["preserve_fds"].as_u64().unwrap_or(0).try_into().unwrap(),
        gate: true,
        needs_cgroup_join: is("needs_cgroup_join"),
        cgroups: if is("cgroups_missing") { Default::default() } else { v2.chain(v1).collect() },
        cgroups_made: !is("cgroups_later"),
        ..CreateOptions::default()
    }
}

fn planned(patch: &Value) -> String {
    let settings = patch["@"].clone();
    let mut config: Value = serde_json::from_str(EXAMPLE).unwrap();
    merge(&mut config, &json!({"process": {"terminal": false}}));
    merge(&mut config, patch);
    config.as_object_mut().unwrap().remove("@");
    let more = settings["mounts"].as_array().cloned().unwrap_or_default();
    config["mounts"].as_array_mut().into_iter().for_each(|mounts| mounts.extend(more.clone()));
    let spec = serde_json::from_value(config).unwrap();
    let host = host(&settings);
    match Plan::create(&spec, &host, &options(&settings, &host)) {
        Ok(plan) => plan.to_string(),
        Err(invalid) => format!("error: {invalid}\n"),
    }
}

/// The lines of both without their step numbers, those of one alone marked `-` and `+` (longest common subsequence).
fn change(old: &str, new: &str) -> String {
    let plain = |text: &str| -> Vec<String> {
        let number = |line: &str| line.get(..4).is_some_and(|n| n.ends_with(' ') && n.trim().parse::<u32>().is_ok());
        text.lines().map(|line| if number(line) { line[4..].to_owned() } else { line.trim().to_owned() }).collect()
    };
    let (old, new) = (plain(old), plain(new));
    let mut longest = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let skip = longest[i + 1][j].max(longest[i][j + 1]);
            longest[i][j] = if a == b { longest[i + 1][j + 1] + 1 } else { skip };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && longest[i + 1][j] >= longest[i][j + 1] {
            text.push_str(&format!("- {}\n", old[i]));
            i += 1;
        } else {
            text.push_str(&format!("+ {}\n", new[j]));
            j += 1;
        }
    }
    text
}

fn shown(patch: &Value) -> String {
    let plan = planned(patch);
    match patch["@"]["show"].as_str() {
        Some("change") if !plan.starts_with("error: ") => {
            let base = json!({"@": {"host": patch["@"]["host"], "options": {}}});
            change(&planned(&base), &plan)
        }
        _ => plan,
    }
}

#[test]
fn plans_are_what_they_were() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "plan"));
    files.sort();
    assert!(!files.is_empty(), "no plan was found");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (patch, wanted) = text.split_once("---\n").unwrap_or((&text, ""));
        let value: Value = serde_json::from_str(patch).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let got = shown(&value);
        if got == wanted {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, format!("{}\n---\n{got}", patch.trim_end())).unwrap();
        } else {
            wrong.push(format!("{}:\n{}", file.display(), change(wanted, &got)));
        }
    }
    assert!(wrong.is_empty(), "plans changed; UPDATE=1 takes them over\n{}", wrong.join("\n"));
}

#[test]
fn the_same_configuration_gives_the_same_plan() {
    let patch = json!({"@": {"host": "hybrid"}});
    assert_eq!(planned(&patch), planned(&patch));
}
