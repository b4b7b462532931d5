//! Connections that break, registries that are busy, proxies, and blobs that are elsewhere.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::image::{Client, Image, partial};
use crate::server::{Answer, Server};

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let image = Image::new();
    let fetched = image.clone();
    let server = Server::start(move |request| {
        let bytes = fetched.layer_bytes();
        if !fetched.is_layer(request) {
            return fetched.answer(request);
        }
        // Each connection brings a third of the whole.
        match request.header("range") {
            None => Answer::new(200, bytes).broken(bytes.len() / 3),
            Some(range) => {
                let begin = range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
                let answer = partial(bytes, begin);
                if begin < bytes.len() / 2 { answer.broken(bytes.len() / 3) } else { answer }
            }
        }
    });
    let client = Client::new();
    client.copy_plain(&server.host()).ok();
    let kept = std::fs::read(client.path("out/blobs").join(image.layer.replace(':', "/"))).unwrap();
    assert_eq!(kept, image.layer_bytes());
    let ranges: Vec<_> =
        server.seen().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    let third = image.layer_bytes().len() / 3;
    assert_eq!(ranges, [format!("bytes={third}-"), format!("bytes={}-", 2 * third)]);
}

#[test]
fn a_registry_without_ranges_begins_anew() {
    let image = Image::new();
    let count = AtomicU32::new(0);
    let server = Server::start(move |request| {
        let bytes = image.layer_bytes();
        match image.is_layer(request) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            true => Answer::new(200, bytes).broken(bytes.len() / 2),
            false if image.is_layer(request) => Answer::new(200, bytes),
            false => image.answer(request),
        }
    });
    Client::new().copy_plain(&server.host()).ok();
}

/// What one call has fetched is there for the next.
#[test]
fn a_broken_pull_goes_on_in_the_next_call() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can unpack");
        return;
    }
    let image = Image::new();
    let healed = std::sync::Arc::new(AtomicU32::new(0));
    let heal = std::sync::Arc::clone(&healed);
    let half = image.layer_bytes().len() / 2;
    let server = Server::start(move |request| {
        let bytes = image.layer_bytes();
        match image.is_layer(request) && heal.load(Ordering::SeqCst) == 0 {
            true if request.header("range").is_none() => Answer::new(200, bytes).broken(bytes.len() / 2),
            true => Answer::new(416, ""),
            false => image.answer(request),
        }
    });
    let client = Client::new();
    let from = format!("docker://{}/app:1", server.host());
    client.call(&["pull", "--tls-verify=false", &from]).fails("layer sha256:");
    healed.store(1, Ordering::SeqCst);
    let before = server.seen().len();
    client.call(&["pull", "--tls-verify=false", &from]).ok();
    let ranges: Vec<_> = server.seen()[before..].iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [format!("bytes={half}-")]);
}

#[test]
fn a_busy_registry_is_asked_again() {
    let image = Image::new();
    let count = AtomicU32::new(0);
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
        1 | 4 => Answer::new(503, ""),
        2 => Answer::new(429, "{}"),
        _ => image.answer(request),
    });
    Client::new().copy_plain(&server.host()).ok();
    assert_eq!(server.seen().len(), 7);
}

#[test]
fn a_registry_that_stays_busy_is_given_up() {
    let server = Server::start(|_| Answer::new(500, ""));
    Client::new().copy_plain(&server.host()).fails("the registry answered 500");
    assert_eq!(server.seen().len(), 4);
    // What cannot be helped is asked for once.
    let server = Server::start(|_| Answer::new(404, ""));
    Client::new().copy_plain(&server.host()).fails("the registry answered 404");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_proxy_is_used_unless_the_host_is_excepted() {
    let image = Image::new();
    let server = Server::start(move |request| image.answer(request));
    let proxy = Server::start(|_| Answer::new(400, "only tunnels"));
    let through = || Client::new().set("HTTP_PROXY", format!("http://{}", proxy.host()));
    through().copy_plain(&server.host()).ok();
    let tunnels = proxy.seen();
    assert!(!tunnels.is_empty());
    assert!(tunnels.iter().all(|request| request.path.contains(&server.host())), "{tunnels:?}");
    through().set("NO_PROXY", "127.0.0.1").copy_plain(&server.host()).ok();
    assert_eq!(proxy.seen().len(), tunnels.len());
}
