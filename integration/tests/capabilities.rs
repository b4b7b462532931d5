//! The five capability sets and no_new_privs.

use integration::{Context, Facts, Test, test};
use serde_json::{Value, json};

const ALL: [&str; 5] = ["bounding", "effective", "permitted", "inheritable", "ambient"];

fn with(t: &Context, capabilities: Value, uid: u32) -> Facts {
    let patch = json!({"process": {"capabilities": null, "user": {"uid": uid, "gid": uid}}});
    let bundle = t.bundle().patch(patch);
    bundle.edit(|config| config["process"]["capabilities"] = capabilities).facts()
}

fn sets(facts: &Facts) -> Value {
    facts.at("/capabilities").clone()
}

pub const TESTS: &[Test] = &[
    test("capabilities: each set as configured", &[119, 120, 121, 122, 123], |t| {
        let wanted = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        });
        let facts = with(t, wanted.clone(), 1000);
        // The kernel computes the sets anew at exec: for an ordinary user only the ambient set survives as permitted.
        assert_eq!(sets(&facts)["bounding"], wanted["bounding"]);
        assert_eq!(sets(&facts)["inheritable"], wanted["inheritable"]);
        assert_eq!(sets(&facts)["ambient"], wanted["ambient"]);
        assert_eq!(sets(&facts)["permitted"], wanted["ambient"]);
        assert_eq!(sets(&facts)["effective"], wanted["ambient"]);
    }),
    test("capabilities: root keeps what its bounding set has", &[119, 120, 122], |t| {
        let some = json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]);
        let facts = with(t, json!({"bounding": some, "effective": some, "permitted": some}), 0);
        assert_eq!(
            sets(&facts),
            json!({"bounding": some, "effective": some, "permitted": some, "inheritable": [], "ambient": []})
        );
    }),
    test("capabilities: none at all", &[119, 120, 121, 122, 123], |t| {
        for none in
            [json!({}), json!({"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []})]
        {
            let facts = with(t, none, 0);
            ALL.iter().for_each(|set| assert_eq!(sets(&facts)[set], json!([]), "{set}"));
        }
    }),
    test("capabilities: every name of this kernel", &[437], |t| {
        let names = t.coracle().bare().arg("features").run().json()["linux"]["capabilities"].clone();
        assert!(names.as_array().is_some_and(|names| names.len() == 41), "{names}");
        // What the caller lacks cannot be had, and is no error.
        let facts = with(t, json!({"bounding": names, "effective": names, "permitted": names}), 0);
        let host = t.helper(&["probe"]).run().facts();
        assert_eq!(sets(&facts)["effective"], host.at("/capabilities/effective").clone());
    })
    .known(&[("runc 1.1", "fails with EPERM on a capability the caller lacks")]),
    test("capabilities: an unknown one is a warning", &[117, 218], |t| {
        let some = json!(["CAP_CHOWN", "CAP_NOSUCH"]);
        let patch = json!({"process": {"capabilities": {"bounding": some, "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}}});
        let bundle = t.bundle().patch(patch);
        bundle.save();
        let log = t.path("log");
        let call = bundle.coracle().call(["--log-format", "json", "--log"]).arg(&log);
        call.args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run().ok();
        let text = std::fs::read_to_string(log).unwrap();
        assert!(text.contains("CAP_NOSUCH") && text.contains("\"warning\""), "{text}");
    }),
    test("capabilities: one the caller lacks is a warning", &[117, 118], |t| {
        integration::requires!(
            integration::need::capability(24).map_or_else(|_| Ok(()), |()| Err("the caller has CAP_SYS_RESOURCE"))
        );
        let some = json!(["CAP_CHOWN", "CAP_SYS_RESOURCE"]);
        let facts = with(t, json!({"bounding": some, "effective": some, "permitted": some}), 0);
        assert_eq!(sets(&facts)["effective"], json!(["CAP_CHOWN"]));
    })
    .known(&[("runc 1.1", "fails with EPERM")]),
    test("capabilities: no_new_privs", &[124], |t| {
        let facts = |value: Value| t.bundle().patch(json!({"process": {"noNewPrivileges": value}})).facts();
        facts(json!(true)).is("/no_new_privs", &json!(true));
        facts(json!(false)).is("/no_new_privs", &json!(false));
        facts(json!(null)).is("/no_new_privs", &json!(false));
    }),
    test("capabilities: a privileged call is refused without its capability", &[119], |t| {
        let mount = ["/guest", "mount", "tmpfs", "/mnt"];
        t.bundle().args(&mount).run().code(1).stderr("Operation not permitted");
        let some = json!(["CAP_SYS_ADMIN"]);
        let patch = json!({"process": {"capabilities": {"bounding": some, "effective": some, "permitted": some}}});
        t.bundle().patch(patch).args(&mount).run().ok();
    }),
    test("capabilities: the words of the configuration are judged", &[190], |t| {
        let patch = json!({"process": {"capabilities": {"bounding": "CAP_CHOWN"}}});
        t.bundle().patch(patch).run().fails();
        t.bundle().patch(json!({"process": {"noNewPrivileges": "yes"}})).run().fails();
    }),
];
