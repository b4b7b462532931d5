//! Containers of images: `coracle-image run` and `bundle`.

use std::fs;
use std::path::Path;

use integration::{Context, Images, Layout, Test, need, requires, test};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A user that every machine has, with a name for newuidmap.
const USER: u32 = 65534;

/// An image of three layers, the second of which hides and replaces.
fn image(t: &Context) -> String {
    layers(t).save("v1")
}

fn layers(t: &Context) -> Layout {
    let second = |dir: &Path| {
        fs::create_dir_all(dir.join("data")).unwrap();
        fs::write(dir.join("data/.wh.first"), "").unwrap();
        fs::write(dir.join("data/second"), "upper\n").unwrap();
    };
    Layout::new(t, "image").layer(second).layer(|dir| fs::write(dir.join("third"), "third\n").unwrap())
}

fn config(t: &Context, image: &str, options: &[&str]) -> Value {
    let dir = t.path("bundle");
    let images = Images::new(t);
    let target = dir.to_str().unwrap();
    images.call(&[&["bundle", "--copy"], options, &[image, target]].concat()).run().ok();
    let config = serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
    images.call(&["rm", "--container", &format!("{target}/")]).run().ok();
    config
}

pub const TESTS: &[Test] = &[
    test("image run: the image says what runs, where and with what", &[], |t| {
        let facts = Images::new(t).call(&["run", "--rm", "--name", &t.unique(), &image(t)]).run().facts();
        facts.is("/cwd", &json!("/home/user")).is("/uids", &json!([0, 0, 0, 0])).is("/identity/pid", &json!(1));
        let environment = facts.at("/env").to_string();
        assert!(environment.contains("FROM=image"), "{environment}");
    }),
    test("image run: layers hide and replace what is below them", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let run = |args: &[&str]| {
            let name = t.unique();
            let all = [&["run", "--rm", "--name", &name, &image, "--", "/guest"], args].concat();
            images.call(&all).run()
        };
        run(&["list", "/data"]).ok().says("second");
        run(&["read", "/data/second"]).ok().says("upper");
        run(&["read", "/third"]).ok().says("third");
    }),
    test("image run: the caller's settings win", &[], |t| {
        let options =
            ["--user", "user", "--workdir", "/data", "--env", "FROM=caller", "--hostname", "box", "--read-only"];
        let (name, image) = (t.unique(), image(t));
        let args = [&["run", "--rm", "--name", &name], &options[..], &[&image]].concat();
        let facts = Images::new(t).call(&args).run().facts();
        facts.is("/cwd", &json!("/data")).is("/hostname", &json!("box")).is("/uids", &json!([1000, 1000, 1000, 1000]));
        facts.is("/groups", &json!([7]));
        let environment = facts.at("/env").to_string();
        assert!(environment.contains("FROM=caller") && !environment.contains("FROM=image"), "{environment}");
    }),
    test("image run: exit codes, and nothing stays with --rm", &[], |t| {
        let (images, name, image) = (Images::new(t), t.unique(), image(t));
        images.call(&["run", "--rm", "--name", &name, &image, "--", "/guest", "exit", "7"]).run().code(7);
        assert!(!images.container(&name).is_dir());
        let said = images.call(&["run", "--rm", "--name", &name, &image, "--", "/nosuch"]).run();
        said.fails().stderr("/nosuch");
        assert!(!images.container(&name).is_dir());
        images.call(&["ls", "--containers", "--json"]).run().ok().says("[]");
    }),
    test("image run: a container stays without --rm, and its name is taken", &[], |t| {
        let (images, name, image) = (Images::new(t), t.unique(), image(t));
        images.call(&["run", "--name", &name, &image, "--", "/guest", "write", "/data/new"]).run().ok();
        images.call(&["run", "--name", &name, &image]).run().fails().stderr("there is a container");
        let listed = images.call(&["ls", "--containers", "--json"]).run().json();
        assert_eq!((&listed[0]["name"], &listed[0]["status"]), (&json!(name), &json!("ended")));
        images.call(&["rm", "--container", &name]).run().ok();
        assert!(!images.container(&name).is_dir());
    }),
    test("image run: rm does what it can, and says what it could not", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        images.call(&["pull", "--name", "one", &image]).run().ok();
        let said = images.call(&["rm", "nosuch", "one", "neither"]).run();
        said.code(125).stderr("nosuch: no such image").stderr("neither: no such image");
        images.call(&["ls", "--json"]).run().ok().says("[]");
    }),
    test("image run: two at once with one name", &[], |t| {
        let (images, image, name) = (Images::new(t), image(t), t.unique());
        let args = ["run", "--rm", "--name", &name, &image, "--", "/guest", "trap"];
        let mut first = images.call(&args).spawn();
        assert_eq!(first.line(), "ready");
        images.call(&args).run().code(125).stderr(&format!("there is a container {name} that another"));
        first.signal(Signal::SIGTERM);
        let _ended = first.wait();
    }),
    test("image run: an image without layers", &[], |t| {
        let (images, image) = (Images::new(t), Layout::empty(t, "none").save("v1"));
        let guest = format!("{}:/guest:ro", t.guest().display());
        let args = ["run", "--name", &t.unique(), "--volume", &guest, &image, "--", "/guest", "write", "/new"];
        images.call(&args).run().ok();
        images.call(&["diff", args[2]]).run().ok().stdout("A /new");
        images.call(&["commit", args[2], "one:1"]).run().ok();
        images.call(&["rm", "--container", args[2]]).run().ok();
        images.call(&["gc"]).run().ok();
        let said = images.call(&["run", "--rm", "--volume", &guest, "one:1", "--", "/guest", "read", "/new"]).run();
        said.ok();
    }),
    test("image run: a second container shares the layers and sees nothing of the first", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let (one, two) = (t.unique(), t.unique());
        images.call(&["run", "--name", &one, &image, "--", "/guest", "write", "/data/new"]).run().ok();
        let said = images.call(&["run", "--rm", "--name", &two, &image, "--", "/guest", "list", "/data"]).run();
        said.ok().says("second");
        images.call(&["rm", "--container", &one]).run().ok();
    }),
    test("image run: by its name, once it was pulled", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        images.call(&["pull", &image]).run().ok().says("localhost/image:v1");
        let said =
            images.call(&["run", "--rm", "--name", &t.unique(), "image:v1", "--", "/guest", "read", "/third"]).run();
        said.ok().says("third");
        let listed = images.call(&["ls", "--json"]).run().json();
        assert_eq!(listed[0]["name"], json!("localhost/image:v1"));
        images.call(&["rm", "image:v1"]).run().ok();
        images.call(&["run", "image:v1"]).run().fails().stderr("no such image").stderr("docker://image:v1");
        let freed = images.call(&["gc", "--json"]).run().json();
        assert!(freed["blobs"] == 5 && freed["layers"].as_u64() >= Some(3), "{freed}");
    }),
    test("image run: volumes of the image begin with what it has there", &[], |t| {
        let image = layers(t).config("Volumes", json!({"/data": {}})).save("v1");
        let (images, name) = (Images::new(t), t.unique());
        let args = ["run", "--name", &name, &image, "--", "/guest", "write", "/data/new"];
        images.call(&args).run().ok();
        let volume = images.container(&name).join("volumes/0");
        assert_eq!(fs::read_to_string(volume.join("second")).unwrap(), "upper\n");
        assert!(volume.join("new").is_file());
        images.call(&["rm", "--container", &name]).run().ok();
    }),
    test("image run: limits reach the cgroup", &[], |t| {
        requires!(need::v1("pids"));
        let (images, name, image) = (Images::new(t), t.unique(), image(t));
        let args = ["run", "--rm", "--name", &name, "--pids-limit", "17", &image];
        images.call(&args).run().ok();
        let resources = &config(t, &image, &["--memory", "64m", "--cpus", "0.5"])["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 64 << 20);
        assert_eq!(resources["cpu"], json!({"quota": 50_000, "period": 100_000}));
    }),
    test("image bundle: coracle runs it, and it goes again", &[], |t| {
        let (images, image, dir) = (Images::new(t), image(t), t.path("bundle"));
        let target = dir.to_str().unwrap();
        for copy in [&["--copy"][..], &[]] {
            images.call(&[&["bundle"], copy, &[&image, target, "--", "/guest", "read", "/third"]].concat()).run().ok();
            let said = t.coracle().call(["run", "--bundle", target, &t.unique()]).run();
            said.ok().says("third");
            images.call(&["rm", "--container", &format!("{target}/")]).run().ok();
            assert!(!dir.is_dir());
        }
    }),
    test("image bundle: labels that would control the runtime are left out", &[], |t| {
        let labels = json!({"harmless": "yes", "run.oci.hooks": "x", "org.systemd.property.ExecStop": "y"});
        let image = layers(t).config("Labels", labels).save("v1");
        let annotations = config(t, &image, &[])["annotations"].clone();
        assert_eq!(annotations["harmless"], "yes");
        assert!(annotations.get("run.oci.hooks").is_none(), "{annotations}");
        let trusted = config(t, &image, &["--trust-image-annotations"])["annotations"].clone();
        assert_eq!(trusted["run.oci.hooks"], "x");
    }),
    test("image run: accounts are looked up in the image alone", &[], |t| {
        let secret = t.path("passwd");
        fs::write(&secret, "stranger:x:4242:4242::/:/\n").unwrap();
        let passwd = |name: &str, make: &dyn Fn(&Path)| {
            let layer = |dir: &Path| {
                fs::create_dir_all(dir.join("etc")).unwrap();
                make(&dir.join("etc/passwd"));
            };
            Layout::new(t, name).layer(layer).config("User", json!("stranger")).save("v1")
        };
        let linked = passwd("linked", &|path| std::os::unix::fs::symlink(&secret, path).unwrap());
        Images::new(t).call(&["run", "--rm", &linked]).run().fails().stderr("no user \"stranger\"");
        let fifo = passwd("fifo", &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
        Images::new(t).call(&["run", "--rm", &fifo]).run().fails().stderr("not a regular file");
    }),
    test("image run: an ordinary user, with and without a range of ids", &[], |t| {
        let image = image(t);
        let home = t.path("home");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
        fs::create_dir_all(t.root()).unwrap();
        std::os::unix::fs::chown(t.root(), Some(USER), Some(USER)).unwrap();
        let run = |images: Images<'_>, user: &str| {
            let options = ["run", "--rm", "--name", &t.unique(), "--user", user, &image];
            images.call(&options).run()
        };
        let alone = || Images::new(t).with_store(home.join("one")).launched(format!("user={USER}"));
        run(alone(), "0").facts().is("/uids", &json!([0, 0, 0, 0])).is("/identity/pid", &json!(1));
        run(alone(), "user").fails().stderr("/etc/subuid");
        fs::write(t.path("subids"), "nobody:200000:65536\n").unwrap();
        let bind = |to: &str| format!("bind={}:{to}", t.path("subids").display());
        let ranged = Images::new(t).with_store(home.join("many")).launched(bind("/etc/subuid"));
        let ranged = ranged.launched(bind("/etc/subgid")).launched(format!("user={USER}"));
        run(ranged, "user").facts().is("/uids", &json!([1000, 1000, 1000, 1000])).is("/groups", &json!([7]));
    }),
    test("image run: a killed run leaves nothing that the next does not remove", &[], |t| {
        let (images, name, image) = (Images::new(t), t.unique(), image(t));
        let args = ["run", "--rm", "--name", &name, &image, "--", "/guest", "trap"];
        let mut running = images.call(&args).spawn();
        assert_eq!(running.line(), "ready");
        running.signal(Signal::SIGKILL);
        drop(running);
        // The container itself lives on, as nobody ended it.
        t.coracle().call(["delete", "--force", &name]).run().ok();
        assert!(images.container(&name).is_dir());
        images.call(&["gc"]).run().ok();
        assert!(!images.container(&name).is_dir());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(images.container(&name).to_str().unwrap()), "{mounts}");
    }),
];
