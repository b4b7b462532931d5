//! What a command tells of itself on the way: `--debug` and `--timings`.

use std::fs;

use integration::{Bundle, Context, Test, test};
use serde_json::{Value, json};

/// The plan and the messages after it, of what was logged with `--debug`.
fn logged(t: &Context, bundle: &Bundle, verb: &str, id: &str) -> (Vec<String>, Vec<String>) {
    let log = t.path("log");
    let call = t.coracle().call(["--debug", "--log-format", "json", "--log"]).arg(&log).arg(verb);
    call.arg("--bundle").arg(bundle.path()).arg(id).run().ok();
    let text = fs::read_to_string(&log).unwrap();
    let mut messages: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].as_str().unwrap().to_owned())
        .collect();
    let at = messages.iter().position(|message| message.starts_with("plan of ")).unwrap();
    let rest = messages.split_off(at + 1);
    (messages[at].lines().map(|line| line.trim().to_owned()).collect(), rest)
}

fn steps_are_logged(t: &Context) {
    let bundle = t.bundle().args(&["/guest", "exit", "0"]);
    bundle.save();
    let (plan, said) = logged(t, &bundle, "run", &bundle.id());
    let steps: Vec<&String> = plan.iter().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let told: Vec<String> =
        said.iter().filter_map(|line| line.strip_prefix("step ")).map(|line| line.replacen(": ", " ", 1)).collect();
    let (last, before) = steps.split_last().unwrap();
    assert!(last.contains("execute /guest"), "{last}");
    assert_eq!(before.iter().map(|line| line.as_str()).collect::<Vec<_>>(), told);
    assert_eq!(
        plan.iter().filter(|line| line.starts_with("host: ")).count(),
        said.iter().filter(|line| line.starts_with("host: ")).count()
    );
    assert_eq!(said.last().unwrap(), "the program runs");
}

fn a_created_container_tells_whoever_starts_it(t: &Context) {
    let bundle = t.bundle().args(&["/guest", "exit", "0"]);
    bundle.save();
    let id = bundle.id();
    let (_, said) = logged(t, &bundle, "create", &id);
    assert!(said.iter().any(|line| line.ends_with(": -- Ready --")), "{said:?}");
    // Nobody asks to be told this time.
    t.coracle().call(["start"]).arg(&id).run().ok();
    t.coracle().call(["delete", "--force"]).arg(&id).run().ok();
}

/// The complete events of a file of timings, as track, begin, end and name.
fn spans(text: &str) -> Vec<(u64, f64, f64, String)> {
    let document: Value = serde_json::from_str(text).unwrap();
    let all = document["traceEvents"].as_array().unwrap();
    let complete = all.iter().filter(|event| event["ph"] == "X").map(|event| {
        let (ts, dur) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        (event["tid"].as_u64().unwrap(), ts, ts + dur, event["name"].as_str().unwrap().to_owned())
    });
    complete.collect()
}

/// Fails unless every two spans of a track are apart or one in the other, but for the rounding of a nanosecond.
fn check_nesting(spans: &[(u64, f64, f64, String)]) {
    const ROUND: f64 = 0.002;
    for (i, one) in spans.iter().enumerate() {
        for other in spans.iter().skip(i + 1).filter(|other| other.0 == one.0) {
            let apart = other.1 >= one.2 - ROUND || one.1 >= other.2 - ROUND;
            let inside = one.1 <= other.1 + ROUND && other.2 <= one.2 + ROUND
                || other.1 <= one.1 + ROUND && one.2 <= other.2 + ROUND;
            assert!(apart || inside, "{one:?} and {other:?}");
        }
    }
}

fn timings_hold_the_whole_plan(t: &Context) {
    let namespaces = json!({"linux": {"timeOffsets": {"monotonic": {"secs": 86_400}}}});
    let bundle = t.bundle().args(&["/guest", "exit", "0"]).namespace(json!({"type": "time"})).patch(namespaces);
    bundle.save();
    let (file, log) = (t.path("timings.json"), t.path("log"));
    let call = t.coracle().call(["--debug", "--log-format", "json", "--log"]).arg(&log).arg("--timings").arg(&file);
    call.arg("run").arg("--bundle").arg(bundle.path()).arg(bundle.id()).run().ok();
    let spans = spans(&fs::read_to_string(&file).unwrap());
    check_nesting(&spans);
    let track = |tid: u64| spans.iter().filter(move |span| span.0 == tid);
    let steps: Vec<&str> = track(3).map(|span| span.3.as_str()).collect();
    let text = fs::read_to_string(&log).unwrap();
    let plan = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].as_str().unwrap().to_owned())
        .find(|message| message.starts_with("plan of "))
        .unwrap();
    let planned: Vec<&str> = plan
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.trim_start().split_once(' ').unwrap().1)
        .collect();
    assert_eq!(steps, planned, "each step once, in its order");
    let names: Vec<&str> = track(1).map(|span| span.3.as_str()).collect();
    for wanted in ["coracle run", "plan", "prepare sources", "clone", "host: set cgroup limits", "let the program run"]
    {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    let (_, begin, end, _) = track(1).find(|span| span.3 == "coracle run").unwrap();
    let sum: f64 = track(3).map(|span| span.2 - span.1).sum();
    assert!(sum > 0.0 && sum <= end - begin, "{sum} of {}", end - begin);
    assert!(spans.iter().all(|span| span.1 >= *begin - 0.002 && span.2 <= *end + 0.002), "{spans:?}");
}

fn a_failure_is_in_the_timings(t: &Context) {
    let bundle = t.bundle().args(&["/nonexistent"]);
    bundle.save();
    let file = t.path("timings.json");
    let call = t.coracle().call(["--timings"]).arg(&file).arg("run").arg("--bundle").arg(bundle.path());
    call.arg(bundle.id()).run().code(1);
    let spans = spans(&fs::read_to_string(&file).unwrap());
    check_nesting(&spans);
    let last = spans.iter().rfind(|span| span.0 == 3).unwrap();
    assert_eq!(last.3, "find executable /nonexistent");
    let refused = t.coracle().call(["--timings", "/nonexistent/x", "list"]).run();
    refused.code(1).stderr("open /nonexistent/x: no such file or directory");
}

pub const TESTS: &[Test] = &[
    test("timings: --debug logs the plan, and each step as it begins", &[], steps_are_logged),
    test("timings: --debug of create does not disturb start", &[], a_created_container_tells_whoever_starts_it),
    test("timings: the file holds the whole plan, nested", &[], timings_hold_the_whole_plan),
    test("timings: a failing start is timed too", &[], a_failure_is_in_the_timings),
];
