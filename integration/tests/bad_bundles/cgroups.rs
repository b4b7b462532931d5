//! Devices that cannot be made and limits that cannot be set.

use serde_json::{Value, json};

use super::Case;

fn linux(says: &'static str, patch: Value) -> Case {
    Case::patch(says, json!({"linux": patch}))
}

fn device(says: &'static str, device: Value) -> Case {
    linux(says, json!({"devices": [device]}))
}

fn limit(says: &'static str, resources: Value) -> Case {
    linux(says, json!({"resources": resources}))
}

pub fn cases() -> Vec<Case> {
    let throttle = json!([{"major": 1, "minor": 1}]);
    vec![
        device(
            "config.json /linux/devices/0/type: unknown value \"x\", known are c, b, u, p",
            json!({"type": "x", "path": "/dev/x", "major": 1, "minor": 3}),
        ),
        device("config.json /linux/devices/0/type: must be given", json!({"path": "/dev/x", "major": 1, "minor": 3})),
        device("config.json /linux/devices/0/path: must be given", json!({"type": "c", "major": 1, "minor": 3}))
            .taken("the default device"),
        device(
            "config.json /linux/devices/0/path: must not be empty",
            json!({"type": "c", "path": "", "major": 1, "minor": 3}),
        )
        .taken("the default device"),
        device("config.json /linux/devices/0/major: must be given", json!({"type": "c", "path": "/dev/x", "minor": 3}))
            .taken(ZERO),
        device("config.json /linux/devices/0/minor: must be given", json!({"type": "b", "path": "/dev/x", "major": 7}))
            .taken(ZERO),
        device(
            "config.json /linux/devices/0/major: must be from 0 to 4095",
            json!({"type": "c", "path": "/dev/x", "major": -1, "minor": 3}),
        ),
        device(
            "config.json /linux/devices/0/minor: must be from 0 to 1048575",
            json!({"type": "c", "path": "/dev/x", "major": 1, "minor": 2_000_000}),
        )
        .taken("the number is cut"),
        device(
            "config.json /linux/devices/0/fileMode: must be a whole number",
            json!({"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": "0666"}),
        ),
        device(
            "config.json /linux/devices/0/uid: must be from 0",
            json!({"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "uid": -1}),
        ),
        device("/guest", json!({"type": "c", "path": "/guest", "major": 1, "minor": 3}))
            .taken("it leaves the file as it is"),
        limit(
            "config.json /linux/resources/devices/0/type: unknown value \"p\"",
            json!({"devices": [{"allow": true, "type": "p", "access": "r"}]}),
        ),
        limit("config.json /linux/resources/devices/0/allow: must be given", json!({"devices": [{"access": "rwm"}]}))
            .taken(ZERO),
        limit(
            "config.json /linux/resources/devices/0/access",
            json!({"devices": [{"allow": true, "type": "c", "access": "rx"}]}),
        )
        .taken("it does not look"),
        limit("config.json /linux/resources/memory/limit: must be a whole number", json!({"memory": {"limit": "1g"}})),
        limit("config.json /linux/resources/memory/limit: must be from", json!({"memory": {"limit": u64::MAX}})),
        limit("memory", json!({"memory": {"limit": -5}})),
        limit(
            "config.json /linux/resources/memory/swappiness: must be from 0 to 100",
            json!({"memory": {"swappiness": 101}}),
        ),
        limit("memory", json!({"memory": {"limit": 200_000_000, "swap": 100_000_000}})),
        limit("config.json /linux/resources/cpu/shares: must be from 0", json!({"cpu": {"shares": -1}})),
        limit("cpu", json!({"cpu": {"period": 1, "quota": 100_000}})),
        limit("cpuset.cpus", json!({"cpu": {"cpus": "5000"}})),
        limit("config.json /linux/resources/cpu/cpus: \"none\" is not a list", json!({"cpu": {"cpus": "none"}})),
        limit("cpuset.mems", json!({"cpu": {"mems": "5000"}})),
        limit("config.json /linux/resources/pids/limit: must be from", json!({"pids": {"limit": u64::MAX}})),
        limit("config.json /linux/resources/pids: must be an object", json!({"pids": 5})),
        limit(
            "config.json /linux/resources/blockIO/weightDevice/0/minor: must be given",
            json!({"blockIO": {"weightDevice": [{"major": 1}]}}),
        )
        .taken(ZERO),
        limit(
            "config.json /linux/resources/blockIO/weight: must be from 0 to 65535",
            json!({"blockIO": {"weight": 70_000}}),
        ),
        limit(
            "config.json /linux/resources/blockIO/throttleReadBpsDevice/0/rate: must be given",
            json!({"blockIO": {"throttleReadBpsDevice": throttle}}),
        ),
        limit(
            "config.json /linux/resources/hugepageLimits/0/pageSize: must be given",
            json!({"hugepageLimits": [{"limit": 1}]}),
        ),
        limit(
            "config.json /linux/resources/hugepageLimits/0/limit: must be given",
            json!({"hugepageLimits": [{"pageSize": "2MB"}]}),
        ),
        limit(
            "config.json /linux/resources/hugepageLimits/0/pageSize",
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}),
        ),
        limit(
            "config.json /linux/resources/hugepageLimits/0/pageSize",
            json!({"hugepageLimits": [{"pageSize": "../2MB", "limit": 0}]}),
        ),
        limit(
            "config.json /linux/resources/network/priorities/0/priority: must be given",
            json!({"network": {"priorities": [{"name": "lo"}]}}),
        ),
        limit("config.json /linux/resources/unified", json!({"unified": {"moon.max": "5"}})),
        limit("config.json /linux/resources/unified/pids.max: must be a string", json!({"unified": {"pids.max": 5}})),
        limit("config.json /linux/resources/unified", json!({"unified": {"../cgroup.procs": "5"}})),
        limit("config.json /linux/resources/rdma/x", json!({"rdma": {"x": {}}})),
        linux("config.json /linux/cgroupsPath: must be a string", json!({"cgroupsPath": 5})),
        linux("config.json /linux/cgroupsPath: contains a NUL byte", json!({"cgroupsPath": "/a\u{0}b"})),
        linux("config.json /linux/intelRdt", json!({"intelRdt": {"closID": "nosuchgroup"}})).taken(RDT),
        linux("config.json /linux/intelRdt/closID: is not the name", json!({"intelRdt": {"closID": "a/b"}})),
        linux("config.json /linux/intelRdt/memBwSchema", json!({"intelRdt": {"memBwSchema": "L3:0=f"}})),
        linux(
            "config.json /linux/intelRdt/schemata/0: must not contain line breaks",
            json!({"intelRdt": {"schemata": ["L3:0=f\nMB:0=1"]}}),
        )
        .taken(RDT),
    ]
}

const RDT: &str = "it passes over it without resctrl";
const ZERO: &str = "a missing value is 0 to it";
