use super::*;

/// A directory in the place of a resctrl mount.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Root {
        let path = std::env::temp_dir().join(format!("coracle-rdt-{}-{name}", std::process::id()));
        std::fs::create_dir_all(path.join("mon_groups")).unwrap();
        std::fs::write(path.join("schemata"), "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n").unwrap();
        Root(path)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wanted(class: Class, schemata: &[&str], monitoring: bool) -> Rdt {
    Rdt { class, schemata: schemata.iter().map(ToString::to_string).collect(), monitoring }
}

fn apply_to(root: &Root, rdt: &Rdt) -> Result<Created> {
    apply(&root.0, "web", Pid::from_raw(7), rdt)
}

#[test]
fn a_class_of_its_own_is_recorded() {
    let root = Root::new("own");
    let created = apply_to(&root, &wanted(Class::Own, &["L3:0=f\n"], false)).unwrap();
    assert_eq!((root.read("web/schemata").as_str(), root.read("web/tasks").as_str()), ("L3:0=f\n", "7"));
    assert_eq!(created.groups().class, Some(root.0.join("web")));
    created.keep();
}

#[test]
fn a_class_that_is_there_is_not_taken_for_its_own() {
    let root = Root::new("taken");
    std::fs::create_dir(root.0.join("web")).unwrap();
    assert!(apply_to(&root, &wanted(Class::Own, &[], false)).is_err());
    assert!(root.0.join("web").is_dir());
}

#[test]
fn without_a_schema_no_schemata_is_written() {
    let root = Root::new("none");
    apply_to(&root, &wanted(Class::Own, &[], false)).unwrap().keep();
    assert!(!root.0.join("web/schemata").is_file());
}

#[test]
fn a_named_class_alone_must_be_there() {
    let root = Root::new("alone");
    assert!(apply_to(&root, &wanted(Class::Named("gold".to_owned()), &[], false)).is_err());
    assert!(!root.0.join("gold").is_dir());
    std::fs::create_dir(root.0.join("gold")).unwrap();
    let created = apply_to(&root, &wanted(Class::Named("gold".to_owned()), &[], false)).unwrap();
    assert_eq!((&created.groups().class, &created.groups().monitoring), (&None, &None));
    assert_eq!(root.read("gold/tasks"), "7");
}

#[test]
fn a_named_class_is_made_with_its_schema_and_stays() {
    let root = Root::new("named");
    drop(apply_to(&root, &wanted(Class::Named("gold".to_owned()), &["L3:0=f\n"], false)).unwrap());
    assert_eq!(root.read("gold/schemata"), "L3:0=f\n");
}

#[test]
fn a_class_of_others_must_have_the_schema() {
    let root = Root::new("compare");
    let same = wanted(Class::Root, &["L3:1=0FFFFF\nMB:0=100\n"], false);
    apply_to(&root, &same).unwrap().keep();
    assert_eq!(root.read("tasks"), "7");
    let other = apply_to(&root, &wanted(Class::Root, &["L3:0=ff\n"], false)).unwrap_err();
    assert!(other.to_string().contains("has another schema than L3:0=ff"), "{other}");
    assert!(root.read("schemata").contains("L3:0=fffff"));
    // The later of two sayings counts.
    apply_to(&root, &wanted(Class::Root, &["L3:0=1\n", "L3:0=fffff\n"], false)).unwrap().keep();
}

#[test]
fn a_monitoring_group_comes_and_goes() {
    let root = Root::new("monitoring");
    let created = apply_to(&root, &wanted(Class::Root, &[], true)).unwrap();
    assert_eq!(root.read("mon_groups/web/tasks"), "7");
    let groups = created.groups().clone();
    created.keep();
    // A resctrl group is removed with the files the kernel put there; here they are in the way.
    std::fs::remove_file(root.0.join("mon_groups/web/tasks")).unwrap();
    groups.remove().unwrap();
    assert!(!root.0.join("mon_groups/web").is_dir());
    groups.remove().unwrap();
}

#[test]
fn a_monitoring_group_that_cannot_be_made_is_an_error() {
    let root = Root::new("monitoring-fails");
    std::fs::remove_dir(root.0.join("mon_groups")).unwrap();
    assert!(apply_to(&root, &wanted(Class::Root, &[], true)).is_err());
}

#[test]
fn the_mount_point() {
    let text =
        "22 1 0:20 / /proc rw - proc proc rw\n30 25 0:26 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl rw\n";
    assert_eq!(mount_point(text), Some(PathBuf::from("/sys/fs/resctrl")));
    assert_eq!(mount_point("22 1 0:20 / /resctrl rw - tmpfs resctrl rw\n"), None);
}

#[test]
fn schemata_change_and_say_what_they_were() {
    let root = Root::new("change");
    let groups = Groups { joined: root.0.clone(), ..Groups::default() };
    assert_eq!(groups.change(&["L3:0=f"]).unwrap(), ["L3:0=fffff;1=fffff"]);
    assert!(root.read("schemata").starts_with("L3:0=f\n"));
    let gone = Groups { joined: root.0.join("gone"), ..Groups::default() };
    assert!(gone.change(&["L3:0=f"]).is_err());
}
