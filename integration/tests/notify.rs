//! Word to the service manager: the test is the manager.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use integration::{Container, Context, Test, test};

struct Manager {
    socket: UnixDatagram,
    path: std::path::PathBuf,
}

impl Manager {
    fn listen(t: &Context) -> Manager {
        let path = t.path(&t.unique());
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { socket, path }
    }

    /// The next message. Without room for a descriptor, the kernel closes one that comes along.
    #[track_caller]
    fn told(&self) -> String {
        let mut buffer = [0; 256];
        let n = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[track_caller]
    fn told_ready(&self, pid: i32) {
        assert_eq!(self.told(), "READY=1\n");
        assert_eq!(self.told(), format!("MAINPID={pid}\n"));
        assert_eq!(self.told(), "BARRIER=1");
    }
}

const READY: [&str; 3] = ["/guest", "notify", "STATUS=soon\nREADY=1\nX=1"];

pub const TESTS: &[Test] = &[
    test("notify: a detached container tells that it is ready", &[], |t| {
        let manager = Manager::listen(t);
        let bundle = t.bundle().args(&READY);
        bundle.save();
        let mut container = Container::named(bundle.coracle(), &bundle.id());
        let call = bundle.coracle().call(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(container.id());
        let running = call.env("NOTIFY_SOCKET", &manager.path).spawn();
        let told = [manager.told(), manager.told(), manager.told()];
        container.attach(running).ok();
        assert_eq!(told, ["READY=1\n".into(), format!("MAINPID={}\n", container.pid()), "BARRIER=1".to_owned()]);
    }),
    test("notify: a created container tells when it is started", &[], |t| {
        let manager = Manager::listen(t);
        let bundle = t.bundle().args(&READY);
        bundle.save();
        let mut container = Container::named(bundle.coracle(), &bundle.id());
        let call = bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(container.id());
        container.attach(call.env("NOTIFY_SOCKET", &manager.path).spawn()).ok();
        let mut start = container.call("start").env("NOTIFY_SOCKET", &manager.path).spawn();
        manager.told_ready(container.pid());
        start.wait().ok();
        container.call("delete").arg("--force").run().ok();
    }),
    test("notify: in the foreground the runtime is the one to watch", &[], |t| {
        let manager = Manager::listen(t);
        let bundle = t.bundle().args(&READY);
        bundle.save();
        let container = Container::named(bundle.coracle(), &bundle.id());
        let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(container.id());
        let mut running = call.env("NOTIFY_SOCKET", &manager.path).spawn();
        manager.told_ready(running.pid());
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait().code(143);
    }),
    test("notify: a container that ends before it is ready does not hold up its start", &[], |t| {
        let manager = Manager::listen(t);
        let bundle = t.bundle().args(&["/guest", "exit", "3"]);
        bundle.save();
        let container = Container::named(bundle.coracle(), &bundle.id());
        let call = bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(container.id());
        call.env("NOTIFY_SOCKET", &manager.path).run().ok();
        container.call("start").env("NOTIFY_SOCKET", &manager.path).run().ok();
    }),
];
