//! Registries: Debian's docker-registry on the loopback interface.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use integration::{Context, Images, Layout, Running, Test, need, requires, test};
use serde_json::json;

const PROGRAM: &str = "/usr/bin/docker-registry";

/// A registry that ends with the test.
struct Server {
    port: u16,
    _running: Running,
}

/// Starts one; with a password, it wants to see that.
fn serve(t: &Context, password: Option<&str>) -> Server {
    // The port is free again when it is asked for; nobody else here takes such ports.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let auth = password.map_or(String::new(), |line| {
        fs::write(t.path("htpasswd"), line).unwrap();
        format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", t.path("htpasswd").display())
    });
    let data = t.path("registry");
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
        data.display()
    );
    fs::write(t.path("registry.yml"), config).unwrap();
    let running = t.tool(PROGRAM, &["serve", t.path("registry.yml").to_str().unwrap()]).spawn();
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the registry does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    Server { port, _running: running }
}

impl Server {
    fn name(&self, name: &str) -> String {
        format!("docker://127.0.0.1:{}/{name}", self.port)
    }
}

fn image(t: &Context) -> String {
    Layout::new(t, "image").layer(|dir| fs::write(dir.join("file"), "content\n").unwrap()).save("v1")
}

const PLAIN: &str = "--tls-verify=false";

pub const TESTS: &[Test] = &[
    test("image registry: change, diff, commit, push, pull and run", &[], |t| {
        requires!(need::program(PROGRAM));
        let (server, images, image) = (serve(t, None), Images::new(t), image(t));
        let name = t.unique();
        let run = |name: &str, image: &str, args: &[&str]| {
            images.call(&[&["run", "--name", name, image, "--", "/guest"], args].concat()).run()
        };
        run(&name, &image, &["write", "/data/new", "made in a container"]).ok();
        let changes = images.call(&["diff", &name]).run();
        changes.ok().says("C /data\nA /data/new");
        images.call(&["commit", "--change", "CMD [\"/guest\",\"read\",\"/data/new\"]", &name, "changed"]).run().ok();
        images.call(&["push", PLAIN, "changed", &server.name("team/changed:2")]).run().ok();
        let other = Images::new(t).with_store(t.path("store2"));
        other.call(&["pull", PLAIN, &server.name("team/changed:2")]).run().ok();
        let short = server.name("team/changed:2").replace("docker://", "");
        let said = other.call(&["run", "--rm", "--name", &t.unique(), &short]).run();
        said.ok().says("made in a container");
        let digest = |images: &Images<'_>, image: &str| images.call(&["inspect", image]).run().json()["digest"].clone();
        assert_eq!(digest(&images, "changed"), digest(&other, &short));
        images.call(&["rm", "--container", &name]).run().ok();
    }),
    test("image registry: what is there does not travel again", &[], |t| {
        requires!(need::program(PROGRAM));
        let (server, images, image) = (serve(t, None), Images::new(t), image(t));
        let events = |to: &str| {
            let said = images.call(&["--progress", "json", "copy", PLAIN, &image, &server.name(to)]).run();
            said.ok();
            said.stderr.matches("\"cached\"").count()
        };
        assert_eq!(events("a:1"), 0);
        assert_eq!(events("a:2"), 3);
    }),
    test("image registry: a password, by option, by file and by helper", &[], |t| {
        requires!(need::program(PROGRAM));
        // bcrypt of "secret".
        let line = "me:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
        let (server, images, image) = (serve(t, Some(line)), Images::new(t), image(t));
        let to = server.name("private:1");
        images.call(&["copy", PLAIN, &image, &to]).run().code(125).stderr("wants a password");
        images.call(&["copy", PLAIN, "--creds", "me:wrong", &image, &to]).run().code(125).stderr("401");
        images.call(&["copy", PLAIN, "--creds", "me:secret", &image, &to]).run().ok();
        let auth = t.path("auth.json");
        let host = format!("127.0.0.1:{}", server.port);
        fs::write(&auth, json!({"auths": {&host: {"auth": "bWU6c2VjcmV0"}}}).to_string()).unwrap();
        images.call(&["inspect", PLAIN, "--authfile", auth.to_str().unwrap(), &to]).run().ok();
        fs::write(&auth, json!({"credHelpers": {&host: "test"}}).to_string()).unwrap();
        let helper = t.path("docker-credential-test");
        let script = format!("#!/bin/sh\ngrep -qx '{host}' && echo '{{\"Username\":\"me\",\"Secret\":\"secret\"}}'\n");
        fs::write(&helper, script).unwrap();
        fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", t.path("").display());
        let call = images.call(&["inspect", PLAIN, &to]).env("REGISTRY_AUTH_FILE", &auth);
        call.env("PATH", path).run().ok();
    }),
    test("image registry: plain HTTP only where it is asked for", &[], |t| {
        requires!(need::program(PROGRAM));
        let server = serve(t, None);
        Images::new(t).call(&["inspect", &server.name("x")]).run().code(125);
        Images::new(t).call(&["inspect", PLAIN, &server.name("x")]).run().code(125).stderr("404");
    }),
];
