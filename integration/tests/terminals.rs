//! Terminals, on a console socket and in the foreground; descriptors that are passed on and those that are not.

use std::fs;

use integration::{Bundle, Call, ConsoleSocket, Container, Context, Pty, Test, need, requires, test, trace};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::LocalFlags;
use nix::unistd::{read, write};
use serde_json::json;
use syscalls::Sysno;

use crate::exec::running;

fn terminal(t: &Context) -> Bundle {
    t.bundle().patch(json!({"process": {"terminal": true}}))
}

/// The foreground `run` of a bundle as one on this terminal.
fn foreground(bundle: &Bundle, pty: &Pty) -> (integration::Running, Container) {
    let (call, container) = in_front(bundle, pty);
    (call.spawn(), container)
}

fn in_front(bundle: &Bundle, pty: &Pty) -> (Call, Container) {
    bundle.save();
    let container = Container::named(bundle.coracle(), &bundle.id());
    let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(container.id());
    (on(pty, call), container)
}

/// The call with this terminal as its own.
fn on(pty: &Pty, call: Call) -> Call {
    call.launched(format!("tty={}", pty.path().display()))
}

/// `exec` of a word on a terminal of its own.
fn exec_in_front(container: &Container, pty: &Pty, word: &str) -> Call {
    let exec = container.exec_call(&["--tty"], &["/guest", "print", word]);
    on(pty, exec)
}

fn agent(t: &Context, word: &str) -> (integration::Running, String) {
    let path = t.path(&t.unique()).to_str().unwrap().to_owned();
    let mut agent = t.helper(&[word, &path]).spawn();
    assert_eq!(agent.line(), "listening");
    (agent, path)
}

pub const TESTS: &[Test] = &[
    test("terminals: the console socket gets the master", &[101, 288], |t| {
        let mut socket = ConsoleSocket::listen(t);
        let bundle = terminal(t).args(&["/guest", "daemon"]);
        let container = bundle.create_with(&["--console-socket", socket.path()]);
        let told = socket.received();
        assert_eq!((&told["fds"], &told["closed"], &told["terminal"]), (&json!(1), &json!(true), &json!(true)));
        container.start().ok();
        assert_eq!(socket.line(), "hello");
        socket.write("typed\n");
        assert_eq!(socket.line(), "typed", "the echo");
        assert_eq!(socket.line(), "0 typed");
    }),
    test("terminals: the master comes under its name", &[], |t| {
        let mut socket = ConsoleSocket::listen(t);
        let container = terminal(t).args(&["/guest", "trap"]).create_with(&["--console-socket", socket.path()]);
        assert_eq!(socket.received()["name"], "/dev/pts/ptmx");
        drop(container);
    })
    .known(&[("runc 1.1", "says /dev/ptmx")]),
    test("terminals: streams, controlling terminal, console", &[101, 288], |t| {
        let mut socket = ConsoleSocket::listen(t);
        let container = terminal(t).create_with(&["--console-socket", socket.path()]);
        drop(socket.received());
        container.start().ok();
        let facts = integration::Facts(serde_json::from_str(&socket.line()).unwrap());
        facts.is("/tty/streams", &json!([true, true, true])).is("/tty/controlling", &json!(true));
        facts.is("/tty/name", &json!("/dev/pts/0"));
        let console = facts.mount("/dev/console").expect("nothing on /dev/console");
        assert_eq!((&console["type"], &console["root"]), (&json!("devpts"), &json!("/0")));
        assert_eq!(facts.at("/dev")["/dev/console"]["rdev"], "136:0");
    }),
    test("terminals: the size is applied", &[104], |t| {
        let mut socket = ConsoleSocket::listen(t);
        let size = json!({"process": {"consoleSize": {"height": 33, "width": 77}}});
        let container =
            terminal(t).patch(size).args(&["/guest", "sizes", "0"]).create_with(&["--console-socket", socket.path()]);
        drop(socket.received());
        container.start().ok();
        assert_eq!(socket.line(), "33x77");
    }),
    test("terminals: a size without a terminal is ignored", &[102], |t| {
        t.bundle().patch(json!({"process": {"consoleSize": {"height": 33, "width": 77}}})).run().ok();
    }),
    test("terminals: half a size is refused", &[103, 104], |t| {
        for size in [json!({"height": 33}), json!({"width": 33})] {
            let mut socket = ConsoleSocket::listen(t);
            let (_container, output) = terminal(t)
                .patch(json!({"process": {"consoleSize": size}}))
                .try_create(&["--console-socket", socket.path()]);
            output.fails();
            socket.write("");
        }
    })
    .known(&[("runc", "takes what is absent for 0")]),
    test("terminals: the owner of the terminal is the user", &[], |t| {
        let mut socket = ConsoleSocket::listen(t);
        let user = json!({"process": {"user": {"uid": 1000, "gid": 1000}}});
        let bundle = terminal(t).patch(user).args(&["/guest", "probe", "/dev/pts/0"]);
        let container = bundle.create_with(&["--console-socket", socket.path()]);
        drop(socket.received());
        container.start().ok();
        let facts = integration::Facts(serde_json::from_str(&socket.line()).unwrap());
        facts.is("/paths/~1dev~1pts~10/uid", &json!(1000));
    }),
    test("terminals: socket and terminal belong together", &[], |t| {
        let (_container, output) = terminal(t).try_create(&[]);
        output.fails().stderr("cannot allocate tty if");
        let (_container, output) = t.bundle().try_create(&["--console-socket", "/nosuch"]);
        output.fails().stderr("cannot use console socket if");
        let (_container, output) = terminal(t).try_create(&["--console-socket", "/nosuch"]);
        output.fails();
        terminal(t).run().fails();
    }),
    test("terminals: the foreground passes size, text and exit code", &[101], |t| {
        let mut pty = Pty::open(40, 90);
        let before = pty.modes();
        let bundle = terminal(t).args(&["/guest", "sizes", "1"]);
        let (mut running, _container) = foreground(&bundle, &pty);
        pty.expect("40x90\r\n");
        assert!(!pty.modes().local_flags.contains(LocalFlags::ICANON), "the terminal is not raw");
        // stty changes rows and columns one after the other; one change is one signal.
        pty.resize(t, 41, 90);
        pty.expect("41x90\r\n");
        running.wait().ok();
        assert_eq!(pty.modes(), before, "the terminal was not restored");
    }),
    test("terminals: the end of a line in the foreground is not doubled", &[], |t| {
        // What comes from a terminal that still ends lines itself is seen as such on another one that does.
        let mut pty = Pty::open(24, 80);
        let between = nix::pty::openpty(None, None).unwrap();
        write(&between.slave, b"by hand\n").unwrap();
        let mut buffer = [0; 64];
        let count = read(&between.master, &mut buffer).unwrap();
        write(open(pty.path(), OFlag::O_WRONLY | OFlag::O_NOCTTY, Mode::empty()).unwrap(), &buffer[..count]).unwrap();
        pty.expect("by hand\r\r\n");
        let mut pty = Pty::open(24, 80);
        let container = running(t.bundle());
        for number in 0..5 {
            let bundle = terminal(t).args(&["/guest", "print", &format!("run{number}")]);
            foreground(&bundle, &pty).0.wait().ok();
            exec_in_front(&container, &pty, &format!("exec{number}")).run().ok();
        }
        let all: String = (0..5).map(|number| format!("run{number}\r\nexec{number}\r\n")).collect();
        assert_eq!(pty.expect("exec4\r\n"), all);
    }),
    test("terminals: both are set before the program runs", &[], |t| {
        requires!(need::coracle(t));
        let pty = Pty::open(24, 80);
        let container = running(t.bundle());
        let (run, _other) = in_front(&terminal(t).args(&["/guest", "print", "run"]), &pty);
        for call in [run, exec_in_front(&container, &pty, "exec")] {
            let trace = trace(&call, &t.path(""), None, None);
            assert_eq!(trace.code, 0, "{call:?}");
            let calls = &trace.calls;
            let execs = [Sysno::execve, Sysno::execveat];
            let program = calls.iter().rposition(|called| called.process != 0 && execs.contains(&called.call)).unwrap();
            let (before, after) = calls.split_at(program);
            let set = |calls: &[integration::Called]| {
                calls.iter().filter(|called| called.process == 0 && called.call == Sysno::ioctl).count()
            };
            // Those of two are set before; after it those of one are put back, with as many calls as the C library makes.
            assert!(set(before) > 2 * set(after), "{} before, {} after", set(before), set(after));
        }
    }),
    test("terminals: typing in the foreground", &[], |t| {
        let mut pty = Pty::open(24, 80);
        let bundle = terminal(t).args(&["/guest", "daemon"]);
        let (mut running, _container) = foreground(&bundle, &pty);
        pty.expect("hello\r\n");
        pty.write("typed\r");
        pty.expect("0 typed\r\n");
        pty.write("\x04");
        running.wait().ok();
        let bundle = terminal(t).args(&["/guest", "exit", "9"]);
        foreground(&bundle, &pty).0.wait().code(9);
    }),
    test("terminals: the interrupt key reaches the program", &[], |t| {
        let mut pty = Pty::open(24, 80);
        let bundle = terminal(t).args(&["/guest", "trap"]);
        let (mut running, _container) = foreground(&bundle, &pty);
        pty.expect("ready");
        pty.write("\x03");
        pty.expect("SIGINT");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait().code(15);
    }),
    test("terminals: signals to a foreground run are passed on", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        bundle.save();
        let container = Container::named(bundle.coracle(), &bundle.id());
        let mut running = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(container.id()).spawn();
        assert_eq!(running.line(), "ready");
        running.signal(nix::sys::signal::Signal::SIGUSR1);
        assert_eq!(running.line(), "SIGUSR1");
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait().code(15);
    }),
    test("descriptors: three and no more", &[246], |t| {
        let bundle = t.bundle();
        let file = t.path("open");
        fs::write(&file, "x").unwrap();
        let bundle = bundle.with(
            t.coracle().launched(format!("open=3:{0}", file.display())).launched(format!("open=9:{}", file.display())),
        );
        let facts = bundle.facts();
        let numbers: Vec<&String> = facts.at("/fds").as_object().unwrap().keys().collect();
        assert_eq!(numbers, ["0", "1", "2"], "{}", facts.at("/fds"));
    }),
    test("descriptors: preserved ones and no more", &[246], |t| {
        let file = t.path("open");
        fs::write(&file, "preserved").unwrap();
        let open = |number: u32| format!("open={number}:{}", file.display());
        let bundle = t.bundle();
        let bundle = bundle.with(t.coracle().launched(open(3)).launched(open(4)).launched(open(5)));
        let facts = bundle.run_with(&["--preserve-fds", "2"]).facts();
        let numbers: Vec<&String> = facts.at("/fds").as_object().unwrap().keys().collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4"], "{}", facts.at("/fds"));
    }),
    test("descriptors: one that is not there cannot be preserved", &[], |t| {
        t.bundle().run_with(&["--preserve-fds", "1"]).fails().stderr("preserved-fd");
    })
    .known(&[("runc", "hands over a descriptor of its own")]),
    test("descriptors: sockets of an activation", &[], |t| {
        let file = t.path("open");
        fs::write(&file, "x").unwrap();
        let bundle = t.bundle();
        bundle.save();
        // LISTEN_PID must be the runtime's, which is not known before it runs: without it nothing is passed.
        let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        let facts = call
            .launched(format!("open=3:{}", file.display()))
            .env("LISTEN_FDS", "1")
            .env("LISTEN_PID", "1")
            .run()
            .facts();
        assert!(!facts.at("/env").to_string().contains("LISTEN"), "{}", facts.at("/env"));
    }),
    test("descriptors: an activation is for the first process alone", &[], |t| {
        let bundle = t.bundle().file("/socket", "x");
        bundle.save();
        let socket = bundle.rootfs().join("socket");
        let activated = |args: &[&str]| {
            let script = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<{}", socket.display());
            let program = t.coracle().program().to_str().unwrap().to_owned();
            let root = t.root().to_str().unwrap().to_owned();
            let args = [&["-c", &script, "sh", &program, "--root", &root], args].concat();
            t.tool("/bin/sh", &args).run()
        };
        let (path, id) = (bundle.path().to_str().unwrap(), bundle.id());
        let facts = activated(&["run", "--bundle", path, &id]).facts();
        for entry in ["LISTEN_FDS=1", "LISTEN_PID=1"] {
            assert!(facts.at("/env").as_array().unwrap().contains(&json!(entry)), "{}", facts.at("/env"));
        }
        assert!(facts.at("/fds").to_string().contains("/socket"), "{}", facts.at("/fds"));
        let mut container = bundle.args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        let facts = activated(&["exec", container.id(), "/guest", "probe"]).facts();
        assert!(!facts.at("/env").to_string().contains("LISTEN"), "{}", facts.at("/env"));
        assert!(!facts.at("/fds").to_string().contains("/socket"), "{}", facts.at("/fds"));
    }),
    test("descriptors: a pidfd of the first process", &[], |t| {
        let (mut agent, path) = agent(t, "pidfd");
        let mut container = t.bundle().args(&["/guest", "trap"]).create_with(&["--pidfd-socket", &path]);
        let told: serde_json::Value = serde_json::from_str(&agent.line()).unwrap();
        assert_eq!((&told["name"], &told["fds"]), (&json!("standard"), &json!(1)));
        assert_eq!(told["pid"], container.pid());
        container.kill("KILL").ok();
        assert_eq!(container.wait(), 137);
        assert_eq!(agent.line(), "ended");
    })
    .known(&[("runc 1.1", "has no pidfd socket")]),
    test("descriptors: the runtime needs no tool of the host", &[], |t| {
        requires!(need::root());
        let bundle = t.bundle().args(&["/guest", "print", "alone"]);
        bundle.save();
        let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        call.env("PATH", "/nosuch").run().ok().says("alone");
    }),
];
