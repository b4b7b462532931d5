use super::*;
use crate::layout::Layout;
use crate::resources::resources;

const V2: Host<'_> = Host { v2: true, knows_idle: true, driver: &|_, major| (major == 136).then(|| "pts".into()) };
const V1: Host<'_> = Host { v2: false, ..V2 };

/// The properties for `json` (`linux.resources`), as `Name=value`; those about devices only if they are `named`.
fn lines(json: &str, host: &Host<'_>) -> Vec<String> {
    let layout =
        if host.v2 { Layout::all_v2() } else { Layout::v1_with(&["memory", "cpu", "cpuset", "blkio", "pids"]) };
    let r = resources(&serde_json::from_str(json).unwrap(), &layout).unwrap();
    let shown = |value: &Value| match value {
        Value::U64(INFINITY) => "infinity".to_owned(),
        Value::U64(n) => n.to_string(),
        Value::Array(_, bytes) if matches!(bytes.first(), Some(Value::Byte(_))) => bytes
            .iter()
            .map(|byte| if let Value::Byte(n) = byte { format!("{n:02x}") } else { String::new() })
            .collect(),
        Value::Array(_, items) => items.iter().map(|item| format!("{}; ", words(item))).collect(),
        other => words(other),
    };
    let all = all(&r.without_devices(), host).unwrap();
    all.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::Struct(fields) => fields.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::U64(INFINITY) => "infinity".into(),
        Value::U64(n) => n.to_string(),
        other => other.text().unwrap_or_default().to_owned(),
    }
}

#[test]
fn v2_table() {
    let cases: &[(&str, &[&str])] = &[
        ("{}", &[]),
        (
            r#"{"memory": {"limit": 100, "reservation": 50, "swap": 300}}"#,
            &["MemoryMax=100", "MemoryLow=50", "MemorySwapMax=200"],
        ),
        (r#"{"memory": {"limit": -1}}"#, &["MemoryMax=infinity", "MemorySwapMax=infinity"]),
        (r#"{"memory": {"limit": 100, "swap": 100}}"#, &["MemoryMax=100", "MemorySwapMax=0"]),
        (r#"{"cpu": {"shares": 1024}}"#, &["CPUWeight=100"]),
        (r#"{"cpu": {"shares": 512, "idle": 1}}"#, &["CPUWeight=0"]),
        (r#"{"cpu": {"idle": 0}}"#, &["CPUWeight=infinity"]),
        (r#"{"cpu": {"quota": 50000, "period": 200000}}"#, &["CPUQuotaPeriodUSec=200000", "CPUQuotaPerSecUSec=250000"]),
        (r#"{"cpu": {"quota": 33333}}"#, &["CPUQuotaPerSecUSec=340000"]),
        (r#"{"cpu": {"quota": -1}}"#, &["CPUQuotaPerSecUSec=infinity"]),
        (
            r#"{"cpu": {"quota": 9223372036854775807, "period": 1}}"#,
            &["CPUQuotaPeriodUSec=1", "CPUQuotaPerSecUSec=infinity"],
        ),
        (r#"{"cpu": {"period": 5000}}"#, &["CPUQuotaPeriodUSec=5000", "CPUQuotaPerSecUSec=infinity"]),
        (r#"{"cpu": {"cpus": "0-3,8", "mems": "1"}}"#, &["AllowedCPUs=0f01", "AllowedMemoryNodes=02"]),
        (r#"{"pids": {"limit": 0}}"#, &["TasksMax=1"]),
        (r#"{"pids": {"limit": -1}}"#, &["TasksMax=infinity"]),
        (
            r#"{"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 50}, {"major": 8, "minor": 16, "weight": 1000}]}}"#,
            &["IOWeight=4500", "IODeviceWeight=/dev/block/8:0 50; /dev/block/8:16 10000; "],
        ),
        (
            r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}, {"major": 8, "minor": 16, "rate": 0}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}]}}"#,
            &["IOReadBandwidthMax=/dev/block/8:0 7; /dev/block/8:16 infinity; ", "IOWriteIOPSMax=/dev/block/8:0 9; "],
        ),
        (
            r#"{"unified": {"memory.high": "5", "memory.low": "6", "memory.min": "7", "memory.max": "max", "memory.swap.max": "8",
                "pids.max": "9\n", "cpu.weight": "10", "cpu.max": "20000 100000", "cpuset.cpus": "0", "memory.oom.group": "1"}}"#,
            &[
                "CPUQuotaPeriodUSec=100000",
                "CPUQuotaPerSecUSec=200000",
                "CPUWeight=10",
                "AllowedCPUs=01",
                "MemoryHigh=5",
                "MemoryLow=6",
                "MemoryMax=infinity",
                "MemoryMin=7",
                "MemorySwapMax=8",
                "TasksMax=9",
            ],
        ),
        (r#"{"memory": {"limit": 5}, "unified": {"memory.max": "6"}}"#, &["MemoryMax=6"]),
    ];
    for (json, want) in cases {
        assert_eq!(lines(json, &V2), *want, "{json}");
    }
    let old = Host { knows_idle: false, ..V2 };
    assert_eq!(lines(r#"{"cpu": {"shares": 1024, "idle": 1}}"#, &old), ["CPUWeight=100"]);
}

#[test]
fn v1_table() {
    let json = r#"{"memory": {"limit": 100, "reservation": 50, "swap": 300}, "cpu": {"shares": 512, "quota": 5000, "period": 10000},
        "pids": {"limit": 5}, "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}]}}"#;
    let want = [
        "MemoryLimit=100",
        "CPUShares=512",
        "CPUQuotaPeriodUSec=10000",
        "CPUQuotaPerSecUSec=500000",
        "TasksMax=5",
        "BlockIOWeight=500",
        "BlockIOReadBandwidth=/dev/block/8:0 7; ",
    ];
    assert_eq!(lines(json, &V1), want);
}

#[test]
fn values_that_cannot_be() {
    for (key, value) in
        [("cpu.max", "much"), ("cpu.max", "5 much"), ("memory.max", "1k"), ("pids.max", ""), ("cpuset.cpus", "1-")]
    {
        let r = Resources { unified: vec![(key.into(), value.into())], ..Resources::default() };
        assert!(all(&r, &V2).is_err(), "{key}={value}");
    }
    assert_eq!(bits("5-4"), None);
    assert_eq!(bits("0-99999999"), None);
    assert_eq!(bits("4294967296"), None);
}

/// `DevicePolicy` and the entries of `DeviceAllow`.
fn devices_of(json: &str) -> (String, Vec<String>) {
    let rules = crate::device::rules(&serde_json::from_str::<Vec<_>>(json).unwrap()).unwrap();
    let r = Resources { devices: Some(rules), ..Resources::default() };
    let properties = all(&r, &V2).unwrap();
    assert_eq!(
        properties[1],
        ("DeviceAllow".into(), Value::Array("(ss)".into(), vec![])),
        "what was there is taken back"
    );
    let entries = properties[2..].iter().flat_map(|(name, value)| {
        assert_eq!(name, "DeviceAllow");
        if let Value::Array(_, items) = value { items.iter().map(words).collect() } else { Vec::new() }
    });
    (words(&properties[0].1), entries.collect())
}

#[test]
fn devices_are_listed() {
    let (policy, entries) = devices_of(
        r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"},
            {"allow": true, "type": "c", "major": 4, "access": "rw"}]"#,
    );
    assert_eq!(policy, "strict");
    assert_eq!(
        entries,
        [
            "block-* m",
            "/dev/block/8:1 r",
            "char-* m",
            "/dev/char/1:3 rwm",
            "/dev/char/1:5 rwm",
            "/dev/char/1:7 rwm",
            "/dev/char/1:8 rwm",
            "/dev/char/1:9 rwm",
            "char-4 rw",
            "/dev/char/5:0 rwm",
            "/dev/char/5:2 rwm",
            "/dev/char/10:200 rwm",
            "char-pts rwm",
        ]
    );
    for everything in [
        r#"[{"allow": true, "access": "rwm"}]"#,
        r#"[{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 4, "access": "w"}]"#,
    ] {
        assert_eq!(devices_of(everything), ("auto".to_owned(), vec![]), "{everything}");
    }
}
