//! Registries that lie: each is refused in words, at once, and nothing of it is kept.

use coracle_image::digest::Digest;

use crate::image::{Client, Image, MANIFEST};
use crate::server::{Answer, Request, Server};

/// The registry of an image but for what `lie` says; the copy fails with `text`, and leaves no blob of the layer.
#[track_caller]
fn refused(text: &str, lie: impl Fn(&Image, &Request) -> Option<Answer> + Send + Sync + 'static) -> Server {
    let image = Image::new();
    let layer = image.layer.clone();
    let server = Server::start(move |request| lie(&image, request).unwrap_or_else(|| image.answer(request)));
    let client = Client::new();
    client.copy_plain(&server.host()).fails(text);
    for name in [format!("out/blobs/{}", layer.replace(':', "/")), "out/index.json".to_owned()] {
        assert!(std::fs::symlink_metadata(client.path(&name)).is_err(), "{name} is there");
    }
    server
}

fn is_manifest(request: &Request) -> bool {
    request.path.contains("/manifests/")
}

#[test]
fn another_layer() {
    refused("digest", |image, request| {
        image.is_layer(request).then(|| Answer::new(200, vec![7; image.layer_bytes().len()]))
    });
}

#[test]
fn a_layer_without_end() {
    let server = refused("sha256:", |image, request| {
        image.is_layer(request).then(|| Answer::new(200, image.layer_bytes()).endless())
    });
    assert_eq!(server.seen().iter().filter(|request| request.path.contains("/blobs/")).count(), 2);
}

#[test]
fn a_layer_that_is_too_short() {
    refused("sha256:", |image, request| {
        let bytes = image.layer_bytes();
        image.is_layer(request).then(|| match request.header("range") {
            None => Answer::new(200, &bytes[..bytes.len() - 1]),
            Some(_) => Answer::new(416, ""),
        })
    });
}

#[test]
fn another_configuration() {
    refused("read blob", |image, request| {
        let config = request.path.contains("/blobs/") && !image.is_layer(request);
        config.then(|| Answer::new(200, "{}"))
    });
}

#[test]
fn a_manifest_of_too_many_bytes() {
    refused("larger than 4194304", |_, request| {
        is_manifest(request).then(|| Answer::new(200, vec![b' '; (4 << 20) + 1]).header("Content-Type", MANIFEST))
    });
    refused("larger than 4194304", |_, request| {
        is_manifest(request).then(|| Answer::new(200, vec![b' '; 1 << 16]).endless())
    });
}

#[test]
fn a_digest_that_is_not_the_manifests() {
    refused("announced another digest", |image, request| {
        let other = Digest::sha256(b"other").to_string();
        is_manifest(request).then(|| image.answer(request).header("Docker-Content-Digest", other))
    });
}

#[test]
fn a_manifest_by_digest_that_is_another() {
    let image = Image::new();
    let other = Digest::sha256(b"other");
    let server = Server::start(move |request| {
        let answer = Answer::new(200, image.manifest.clone()).header("Content-Type", MANIFEST);
        if is_manifest(request) { answer } else { image.answer(request) }
    });
    let from = format!("docker://{}/app@{other}", server.host());
    Client::new().call(&["inspect", "--tls-verify=false", &from]).fails(&format!("read blob {other}"));
}

#[test]
fn a_manifest_announced_as_something_else() {
    let announced = |kind: &'static str| {
        move |image: &Image, request: &Request| {
            is_manifest(request).then(|| image.answer(request).header("Content-Type", kind))
        }
    };
    refused("announced as", announced("application/vnd.oci.image.index.v1+json"));
    refused("schema", |_, request| {
        let old = r#"{"schemaVersion": 1, "fsLayers": []}"#;
        is_manifest(request).then(|| Answer::new(200, old))
    });
    // A general type says nothing, and is not believed: the document tells.
    let image = Image::new();
    let tell = announced("text/html; charset=utf-8");
    let server = Server::start(move |request| tell(&image, request).unwrap_or_else(|| image.answer(request)));
    Client::new().copy_plain(&server.host()).ok();
}

#[test]
fn a_page_instead_of_a_manifest() {
    refused("parse manifest", |_, request| {
        is_manifest(request).then(|| Answer::new(200, "<html>log in</html>").header("Content-Type", "text/html"))
    });
}

#[test]
fn ways_to_where_nobody_wants_to_go() {
    for place in [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://user:word@127.0.0.1/",
        "gopher://127.0.0.1/",
        "",
        "http://",
    ] {
        let server = refused("the registry leads to", move |image, request| {
            image.is_layer(request).then(|| Answer::new(307, "").header("Location", place))
        });
        assert_eq!(server.seen().iter().filter(|request| request.path.contains("/blobs/")).count(), 2, "{place}");
    }
}

#[test]
fn a_circle() {
    refused("more than 5 times", |image, request| {
        image.is_layer(request).then(|| Answer::new(302, "").header("Location", request.path.clone()))
    });
}

#[test]
fn a_wrong_part() {
    refused("range", |image, request| {
        let bytes = image.layer_bytes();
        image.is_layer(request).then(|| match request.header("range") {
            None => Answer::new(200, bytes).broken(bytes.len() / 2),
            Some(_) => crate::image::partial(bytes, 5),
        })
    });
}

#[test]
fn a_part_with_other_content() {
    refused("digest", |image, request| {
        let bytes = image.layer_bytes();
        image.is_layer(request).then(|| match request.header("range") {
            None => Answer::new(200, bytes).broken(bytes.len() / 2),
            Some(range) => {
                let begin = range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
                crate::image::partial(&vec![0; bytes.len()], begin)
            }
        })
    });
}

#[test]
fn what_a_registry_says_does_not_reach_the_terminal() {
    let report = "{\"errors\": [{\"code\": \"DENIED\", \"message\": \"\\u001b[2Jno\"}]}";
    refused("DENIED  [2Jno", move |_, request| is_manifest(request).then(|| Answer::new(403, report)));
}
