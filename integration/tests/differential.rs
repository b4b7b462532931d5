//! The same configuration under coracle and under two other runtimes, compared fact by fact.
//!
//! data/configurations.json has the configurations, data/differences.tsv the accepted differences with their reasons.

pub mod compare;
mod explain;

use std::sync::LazyLock;

use integration::{Bundle, Context, Coracle, Output, Test, need, requires, test};
use serde_json::{Value, json};

pub static CONFIGURATIONS: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/configurations.json")).unwrap());

/// One test for each configuration.
pub fn tests() -> Vec<Test> {
    let name = |configuration: &Value| format!("differential: {}", configuration["name"].as_str().unwrap()).leak();
    CONFIGURATIONS.iter().map(|configuration| test(name(configuration), &[], differs)).collect()
}

/// Explanations that explained nothing, when every configuration was run.
pub fn unused() -> Vec<String> {
    explain::unused()
}

/// A peer, and whether it is run in a plain cgroup v2 tree (crun refuses a hybrid one).
const PEERS: [(&str, &str, bool); 2] = [("runc", "/usr/sbin/runc", false), ("crun", "/usr/bin/crun", true)];

fn differs(t: &Context) {
    let configuration =
        CONFIGURATIONS.iter().find(|item| t.name().strip_prefix("differential: ") == item["name"].as_str()).unwrap();
    let name = configuration["name"].as_str().unwrap();
    let mut table = Vec::new();
    for (peer, program, v2) in PEERS {
        // A peer under test is compared with itself alone: what differs then is an accident of the comparison.
        let itself = t.version().starts_with("runc 1.1") || t.version().starts_with("crun");
        if itself {
            explain::needless();
        }
        if v2 && configuration["native"] == true || itself && !t.version().starts_with(peer) {
            continue;
        }
        requires!(need::program(program));
        let ours = report(t, configuration, t.coracle(), v2);
        let theirs = report(t, configuration, t.peer(program), v2);
        table.extend(
            compare::table(&ours, &theirs).into_iter().map(|(field, ours, theirs)| [peer.into(), field, ours, theirs]),
        );
    }
    let open: Vec<String> = table
        .iter()
        .filter(|[peer, field, ..]| !explain::accepts(name, field, peer))
        .map(|[peer, field, ours, theirs]| {
            format!("{peer:<5} {field}\n      coracle: {ours}\n      {peer:<7}: {theirs}")
        })
        .collect();
    assert!(open.is_empty(), "{} unexplained differences\n{}", open.len(), open.join("\n"));
}

/// Runs the configuration and returns its normalised report: what the probe saw, or that it was refused.
fn report(t: &Context, configuration: &Value, coracle: Coracle, v2: bool) -> Value {
    let mut bundle = prepare(t, configuration).with(if v2 { coracle.v2() } else { coracle });
    if v2 {
        // crun raises the limit of locked memory for a device filter, which needs CAP_SYS_RESOURCE: no limits here.
        bundle = bundle.edit(|config| drop(config["linux"].as_object_mut().map(|linux| linux.remove("resources"))));
    }
    let output = bundle.run();
    // crun 1.8 leaves its cgroup behind when it refuses a container.
    let name = bundle.path().file_name().unwrap().to_string_lossy().into_owned();
    drop(std::fs::remove_dir(std::path::Path::new("/sys/fs/cgroup/unified").join(format!("{name}-1"))));
    let facts: Option<Value> = serde_json::from_str(output.stdout.trim()).ok();
    match facts {
        Some(facts) => compare::normalise(facts, &bundle),
        None => json!({"outcome": refusal(&output), "words": output.stderr}),
    }
}

fn refusal(output: &Output) -> &'static str {
    match output.code {
        0 => "ran and said nothing",
        _ if output.stdout.trim().is_empty() => "refused",
        _ => "ran and failed",
    }
}

pub fn prepare(t: &Context, configuration: &Value) -> Bundle {
    let list = |key: &str| configuration[key].as_array().cloned().unwrap_or_default();
    let strings = |key: &str| list(key).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>();
    let mut args = vec!["/guest".to_owned(), "probe".to_owned()];
    args.extend(strings("paths"));
    if configuration["args"].is_array() {
        args = strings("args");
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut bundle = t.bundle().args(&args).patch(json!({"ociVersion": "1.0.2"}));
    if configuration["patch"].is_object() {
        bundle = bundle.patch(configuration["patch"].clone());
    }
    let (gone, dropped) = (strings("drop_mounts"), strings("drop_namespaces"));
    bundle = bundle.without_mounts(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    bundle = dropped.iter().fold(bundle, |bundle, kind| bundle.without_namespace(kind));
    bundle = list("mounts").into_iter().fold(bundle, Bundle::mount);
    bundle = list("namespaces").into_iter().fold(bundle, Bundle::namespace);
    for (path, target) in configuration["links"].as_object().into_iter().flatten() {
        bundle = bundle.link(target.as_str().unwrap(), path);
    }
    bundle = bundle.edit(|config| list("edit").iter().for_each(|change| append(config, change)));
    std::fs::create_dir(bundle.path().join("extra")).unwrap();
    std::fs::write(bundle.path().join("extra/file"), "content").unwrap();
    bundle
}

/// Appends to a list: `["/path/-", value]`.
fn append(config: &mut Value, change: &Value) {
    let path = change[0].as_str().unwrap().trim_end_matches("/-");
    config.pointer_mut(path).and_then(Value::as_array_mut).unwrap().push(change[1].clone());
}
