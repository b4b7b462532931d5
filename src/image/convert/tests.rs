use super::*;

const IMAGE: &str = r#"{"os":"linux","architecture":"amd64","created":"2026-01-01T00:00:00Z","config":{
    "User":"web","Env":["PATH=/bin","A=1"],"Entrypoint":["/entry"],"Cmd":["serve"],"WorkingDir":"srv",
    "ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Volumes":{"/../data":{}},"StopSignal":"SIGQUIT",
    "Labels":{"a":"b","org.opencontainers.image.author":"label","run.oci.hooks":"x","org.systemd.property.ExecStop":"y"}}}"#;

fn accounts() -> Accounts {
    Accounts { passwd: "root:x:0:0::/:\nweb:x:33:33::/:\n".into(), group: "ssl:x:110:web\n".into() }
}

fn converted(options: &Options, machine: Machine) -> Converted {
    let image = Configuration::parse(IMAGE.as_bytes()).unwrap();
    convert(&image, &accounts(), options, machine, Path::new("/bundle")).unwrap()
}

fn with(change: impl FnOnce(&mut Options)) -> Value {
    let mut options = Options::default();
    change(&mut options);
    converted(&options, Machine::default()).config
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut image: Value = serde_json::from_str(IMAGE).unwrap();
    change(&mut image["config"]);
    let image = Configuration::parse(image.to_string().as_bytes()).unwrap();
    let bundle = Path::new("/bundle");
    convert(&image, &accounts(), &Options::default(), Machine::default(), bundle).unwrap_err().to_string()
}

fn destinations(config: &Value) -> Vec<&str> {
    config["mounts"].as_array().unwrap().iter().filter_map(|mount| mount["destination"].as_str()).collect()
}

#[test]
fn the_image_says_how_it_runs() {
    let made = converted(&Options::default(), Machine::default());
    let process = &made.config["process"];
    assert_eq!(process["args"], json!(["/entry", "serve"]));
    assert_eq!(process["env"], json!(["PATH=/bin", "A=1"]));
    assert_eq!(process["cwd"], "/srv");
    assert_eq!(process["user"], json!({"uid": 33, "gid": 33, "additionalGids": [110]}));
    assert_eq!(process["capabilities"]["effective"], json!([]));
    assert_eq!(process["terminal"], false);
    assert_eq!(made.config["root"], json!({"path": "rootfs", "readonly": false}));
    assert_eq!(made.volumes, [EmptyBind { source: "volumes/0".into(), destination: "/data".into() }]);
    assert!(destinations(&made.config).contains(&"/data"));
    assert!(made.config["linux"]["seccomp"]["syscalls"].is_array());
}

#[test]
fn labels_give_no_orders() {
    let made = converted(&Options::default(), Machine::default());
    let annotations = &made.config["annotations"];
    assert_eq!(annotations["a"], "b");
    assert_eq!(annotations["org.opencontainers.image.author"], "label");
    assert_eq!(annotations["org.opencontainers.image.exposedPorts"], "443/tcp,80/tcp");
    assert_eq!(annotations["org.opencontainers.image.stopSignal"], "SIGQUIT");
    assert!(annotations.get("run.oci.hooks").is_none() && made.warnings.len() == 2, "{:?}", made.warnings);
    let trusted = with(|options| options.trust_image_annotations = true);
    assert_eq!(trusted["annotations"]["run.oci.hooks"], "x");
    let own = with(|options| options.annotations = vec![("run.oci.hooks".into(), "mine".into())]);
    assert_eq!(own["annotations"]["run.oci.hooks"], "mine");
}

#[test]
fn the_caller_wins() {
    let config = with(|options| {
        options.args = vec!["x".into()];
        options.env = vec!["A=2".into(), "B=3".into()];
        options.user = Some("7:8".into());
        options.workdir = Some("/w".into());
        options.memory = Some(1 << 20);
        options.cpus = Some(1500);
        options.read_only = true;
        options.volumes = vec!["/src:/data:ro".parse().unwrap()];
    });
    assert_eq!(config["process"]["args"], json!(["/entry", "x"]));
    assert_eq!(config["process"]["env"], json!(["PATH=/bin", "A=2", "B=3"]));
    assert_eq!(config["process"]["user"], json!({"uid": 7, "gid": 8}));
    assert_eq!(config["process"]["cwd"], "/w");
    assert_eq!(config["linux"]["resources"]["memory"]["limit"], 1 << 20);
    assert_eq!(config["linux"]["resources"]["cpu"], json!({"quota": 150_000, "period": 100_000}));
    let data: Vec<_> = destinations(&config).into_iter().filter(|path| *path == "/data").collect();
    assert_eq!(data.len(), 1);
    let config = with(|options| options.entrypoint = Some("/sh".into()));
    assert_eq!(config["process"]["args"], json!(["/sh"]));
    let config = with(|options| {
        options.entrypoint = Some(String::new());
        options.args = vec!["a".into()];
    });
    assert_eq!(config["process"]["args"], json!(["a"]));
}

#[test]
fn capabilities_are_added_and_dropped() {
    let bounding = |add: &[&str], drop: &[&str]| {
        let config = with(|options| {
            options.user = Some("0".into());
            options.cap_add = add.iter().map(|&name| name.into()).collect();
            options.cap_drop = drop.iter().map(|&name| name.into()).collect();
        });
        assert_eq!(config["process"]["capabilities"]["bounding"], config["process"]["capabilities"]["effective"]);
        config["process"]["capabilities"]["bounding"].as_array().unwrap().len()
    };
    assert_eq!(bounding(&[], &[]), CAPABILITIES.len());
    assert_eq!(bounding(&["net_admin", "CAP_SYS_ADMIN"], &[]), CAPABILITIES.len() + 2);
    assert_eq!(bounding(&["CHOWN"], &["all"]), 1);
    assert_eq!(bounding(&["ALL"], &[]), options::ALL_CAPABILITIES.len());
    let image = Configuration::parse(IMAGE.as_bytes()).unwrap();
    let options = Options { cap_add: vec!["nosuch".into()], ..Options::default() };
    assert!(convert(&image, &accounts(), &options, Machine::default(), Path::new("/")).is_err());
}

#[test]
fn networks() {
    let kinds = |network: &str| {
        let config = with(|options| options.network = network.parse().unwrap());
        let list = config["linux"]["namespaces"].as_array().unwrap().clone();
        list.into_iter().find(|namespace| namespace["type"] == "network")
    };
    assert_eq!(kinds("host"), None);
    assert_eq!(kinds("none"), Some(json!({"type": "network"})));
    assert_eq!(kinds("ns:/run/netns/a"), Some(json!({"type": "network", "path": "/run/netns/a"})));
    for text in ["", "bridge", "ns:", "ns:x", "host:"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

#[test]
fn what_an_image_may_not_say() {
    assert!(refused(|config| config["User"] = json!("nosuch")).contains("no user \"nosuch\""));
    assert!(refused(|config| config["User"] = json!("4294967296")).contains("out of range"));
    assert!(refused(|config| config["Env"] = json!(["NOEQ"])).contains("NAME=VALUE"));
    assert!(refused(|config| config["Env"] = json!(["A=\u{0}"])).contains("NAME=VALUE"));
    assert!(refused(|config| config["Volumes"] = json!({"/..": {}})).contains("hide the whole"));
    assert!(refused(|config| config["Volumes"] = json!({"rel": {}})).contains("absolute"));
    let nothing = |config: &mut Value| {
        config["Entrypoint"] = Value::Null;
        config["Cmd"] = Value::Null;
    };
    assert!(refused(nothing).contains("names no program"));
}

#[test]
fn volumes() {
    let volume = |text: &str| text.parse::<Volume>().map(|volume| (volume.source, volume.destination, volume.options));
    let options = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        volume("/a:/b:ro,rslave").unwrap(),
        (Some("/a".into()), "/b".into(), options(&["rbind", "ro", "rslave"]))
    );
    assert_eq!(volume("/b").unwrap(), (None, "/b".into(), options(&["rbind", "rprivate"])));
    for text in ["", "a:/b", "/a:b", "/a:/b:xyz", "/a:/b:ro:x"] {
        assert!(volume(text).is_err(), "{text}");
    }
}

#[test]
fn rootless_has_no_rules_for_devices() {
    let machine = Machine { rootless: true, cgroup_v2: true, one_id: false };
    let options = Options { network: Network::Host, ..Options::default() };
    let config = converted(&options, machine).config;
    assert!(config["linux"]["resources"].get("devices").is_none());
    let sys = config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/sys").unwrap();
    assert_eq!(sys["type"], "none");
    assert!(config["linux"]["namespaces"].as_array().unwrap().contains(&json!({"type": "cgroup"})));
}

#[test]
fn one_id_is_root_and_nobody_else() {
    let machine = Machine { rootless: true, one_id: true, cgroup_v2: false };
    let options = Options { user: Some("0".into()), ..Options::default() };
    let config = converted(&options, machine).config;
    assert!(!config["mounts"].to_string().contains("gid=5"));
    let image = Configuration::parse(IMAGE.as_bytes()).unwrap();
    let refused = convert(&image, &accounts(), &Options::default(), machine, Path::new("/bundle")).unwrap_err();
    assert!(refused.to_string().contains("/etc/subuid"), "{refused}");
}

#[test]
fn a_volume_of_the_image_does_not_hide_what_the_caller_mounts_in_it() {
    let config = with(|options| options.volumes = vec!["/conf:/data/conf".parse().unwrap()]);
    let all = destinations(&config);
    let place = |path: &str| all.iter().position(|destination| *destination == path).unwrap();
    assert!(place("/data") < place("/data/conf"), "{all:?}");
}

#[test]
fn an_image_may_not_ask_for_endless_volumes() {
    let volumes: serde_json::Map<_, _> = (0..300).map(|n| (format!("/v{n}"), json!({}))).collect();
    assert!(refused(|config| config["Volumes"] = json!(volumes)).contains("volumes"));
}
