//! Certificates, names and passwords, tokens.

use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::image::{Client, Image};
use crate::server::{Answer, Request, Server};

const PASSWORD: &str = "Basic bWU6c2VjcmV0";

/// An authority of our own and a certificate of it for 127.0.0.1. None without openssl.
fn certificates(client: &Client) -> Option<Arc<ServerConfig>> {
    let openssl = |words: &str| {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(client.dir.path()).output();
        match output {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => println!("skipped: openssl: {error}"),
        }
    };
    client.file("san", "subjectAltName=IP:127.0.0.1");
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj";
    openssl(&format!("{new} /CN=authority -x509 -days 2 -keyout ca.key -out ca.pem"));
    openssl(&format!("{new} /CN=registry -keyout key.pem -out request.pem"));
    openssl("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 2 -extfile san -out cert.pem");
    let certificate = CertificateDer::from_pem_file(client.path("cert.pem")).ok()?;
    let key = PrivateKeyDer::from_pem_file(client.path("key.pem")).unwrap();
    Some(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

#[test]
fn a_certificate_is_checked() {
    let client = Client::new();
    let Some(config) = certificates(&client) else { return };
    let image = Image::new();
    let server = Server::with_tls(config, move |request| image.answer(request));
    client.copy(&server.host(), &[]).fails("certificate");
    client.copy(&server.host(), &["--tls-verify=false"]).ok();
    let authority = client.path("ca.pem").display().to_string();
    let client = client.set("SSL_CERT_FILE", authority);
    client.copy(&server.host(), &[]).ok();
    // The certificate is for another name.
    client.copy(&format!("localhost:{}", server.port), &[]).fails("certificate");
    // By way of a proxy too it is that of the registry.
    let proxy = Server::start(|_| Answer::new(400, "only tunnels"));
    let client = client.set("HTTPS_PROXY", format!("http://{}", proxy.host()));
    client.copy(&server.host(), &[]).ok();
    assert!(proxy.seen().iter().all(|request| request.method == "CONNECT") && !proxy.seen().is_empty());
}

#[test]
fn plain_http_is_for_those_who_ask_for_it() {
    let image = Image::new();
    let server = Server::start(move |request| image.answer(request));
    Client::new().copy(&server.host(), &[]).fails("docker://");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn from_tls_nothing_leads_to_plain_http() {
    let client = Client::new();
    let Some(config) = certificates(&client) else { return };
    let image = Image::new();
    let plain = Server::start(|_| Answer::new(200, ""));
    let place = format!("http://{}/blob", plain.host());
    let server = Server::with_tls(config, move |request| match image.is_layer(request) {
        true => Answer::new(307, "").header("Location", place.clone()),
        false => image.answer(request),
    });
    let authority = client.path("ca.pem").display().to_string();
    client.set("SSL_CERT_FILE", authority).copy(&server.host(), &[]).fails("the registry leads to");
    assert!(plain.seen().is_empty());
}

/// A registry that wants a password.
fn wary() -> Server {
    let image = Image::new();
    Server::start(move |request| match request.header("authorization") {
        Some(PASSWORD) => image.answer(request),
        _ => Answer::new(401, "{}").header("WWW-Authenticate", "Basic realm=\"registry\""),
    })
}

#[test]
fn a_password_by_option() {
    let (server, client) = (wary(), Client::new());
    let copy = |creds: &[&str]| client.copy(&server.host(), &[&["--tls-verify=false"], creds].concat());
    copy(&[]).fails("wants a password");
    copy(&["--creds", "me:wrong"]).fails("401");
    copy(&["--creds", "me:secret"]).ok();
}

/// Where podman and docker keep passwords, in their order (containers-auth.json(5)).
#[test]
fn a_password_by_file() {
    let server = wary();
    let content = |password: &str| {
        json!({"auths": {server.host(): {"auth": STANDARD.encode(format!("me:{password}"))}}}).to_string()
    };
    for (name, variable) in [
        ("run/containers/auth.json", Some(("XDG_RUNTIME_DIR", "run"))),
        (".config/containers/auth.json", None),
        ("config/containers/auth.json", Some(("XDG_CONFIG_HOME", "config"))),
        (".docker/config.json", None),
        ("docker/config.json", Some(("DOCKER_CONFIG", "docker"))),
        ("own.json", Some(("REGISTRY_AUTH_FILE", "own.json"))),
    ] {
        let mut client = Client::new();
        if let Some((variable, place)) = variable {
            let place = client.path(place).display().to_string();
            client = client.set(variable, place);
        }
        std::fs::create_dir_all(client.path(name).parent().unwrap()).unwrap();
        // It comes after podman's.
        if name != ".docker/config.json" {
            std::fs::create_dir_all(client.path(".docker")).unwrap();
            client
                .file(".docker/config.json", if name.starts_with("docker/") { "{}".into() } else { content("wrong") });
        }
        client.file(name, content("secret"));
        client.copy_plain(&server.host()).ok();
    }
}

#[test]
fn a_password_by_helper() {
    let (server, client) = (wary(), Client::new());
    let helper = |client: &Client, script: &str| {
        let path = client.file("docker-credential-test", format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    std::fs::create_dir_all(client.path(".docker")).unwrap();
    let answer = r#"{"Username":"me","Secret":"secret"}"#;
    for config in [json!({"credHelpers": {server.host(): "test"}}), json!({"credsStore": "test"})] {
        client.file(".docker/config.json", config.to_string());
        helper(&client, &format!("[ \"$1\" = get ] && grep -qx '{}' && echo '{answer}'", server.host()));
        client.copy_plain(&server.host()).ok();
        helper(&client, "echo 'credentials not found in native keychain'; exit 1");
        client.copy_plain(&server.host()).fails("wants a password");
        helper(&client, "echo the key ring is locked; exit 1");
        client.copy_plain(&server.host()).fails("the key ring is locked");
    }
    client.file(".docker/config.json", r#"{"credsStore": "../test"}"#);
    client.copy_plain(&server.host()).fails("invalid name of a credential helper");
}

/// A registry that wants a token of a server which `gives` them.
fn with_tokens(gives: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (Server, Server) {
    let tokens = Server::start(gives);
    let image = Image::new();
    let challenge =
        format!("Bearer realm=\"http://{}/token\",service=\"reg\",scope=\"repository:app:pull\"", tokens.host());
    let registry = Server::start(move |request| match request.header("authorization") {
        Some("Bearer abc") => image.answer(request),
        _ => Answer::new(401, "{}").header("WWW-Authenticate", challenge.clone()),
    });
    (registry, tokens)
}

#[test]
fn a_token_for_anybody() {
    let (registry, tokens) = with_tokens(|_| Answer::new(200, r#"{"token": "abc"}"#));
    Client::new().copy_plain(&registry.host()).ok();
    let seen = tokens.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/token?scope=repository%3Aapp%3Apull&service=reg");
    assert_eq!(seen[0].header("authorization"), None);
}

#[test]
fn a_token_for_a_password() {
    let (registry, tokens) = with_tokens(|request| match request.header("authorization") {
        Some(PASSWORD) => Answer::new(200, r#"{"access_token": "abc"}"#),
        _ => Answer::new(401, r#"{"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}"#),
    });
    let client = Client::new();
    client.copy(&registry.host(), &["--tls-verify=false", "--creds", "me:secret"]).ok();
    client.copy_plain(&registry.host()).fails("who are you");
    // Neither sees the password but the one that gives tokens.
    assert!(registry.seen().iter().all(|request| request.header("authorization") != Some(PASSWORD)));
    assert_eq!(tokens.seen().len(), 2);
}

#[test]
fn a_token_for_a_token() {
    let (registry, tokens) = with_tokens(|request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let right = request.method == "POST" && form.contains("grant_type=refresh_token&");
        match right && form.contains("refresh_token=long&") {
            true => Answer::new(200, r#"{"access_token": "abc"}"#),
            false => Answer::new(400, ""),
        }
    });
    let client = Client::new();
    let auth = json!({"auths": {registry.host(): {"identitytoken": "long"}}}).to_string();
    let file = client.file("auth.json", auth);
    client.copy(&registry.host(), &["--tls-verify=false", "--authfile", &file]).ok();
    assert_eq!(tokens.seen().len(), 1);
}

#[test]
fn a_token_that_does_not_help_or_is_none() {
    let (registry, tokens) = with_tokens(|_| Answer::new(200, r#"{"token": "other"}"#));
    Client::new().copy_plain(&registry.host()).fails("401");
    assert_eq!(tokens.seen().len(), 1);
    let (registry, _tokens) = with_tokens(|_| Answer::new(200, r#"{"token": ""}"#));
    Client::new().copy_plain(&registry.host()).fails("gave no token");
    let (registry, _tokens) = with_tokens(|_| Answer::new(200, vec![b' '; 1 << 16]).endless());
    Client::new().copy_plain(&registry.host()).fails("larger than 1048576");
}

/// What the registry is shown, the host that has its blobs is not; nor is that believed when it asks for it.
#[test]
fn a_blob_on_another_host_sees_no_password() {
    let image = Image::new();
    let blobs = image.clone();
    let elsewhere = Server::start(move |request| match request.path.as_str() {
        "/first" => Answer::new(302, "").header("Location", "/blob"),
        _ => Answer::new(200, blobs.layer_bytes()),
    });
    let place = format!("http://localhost:{}/first", elsewhere.port);
    let registry = Server::start(move |request| match request.header("authorization") {
        Some(PASSWORD) if image.is_layer(request) => Answer::new(307, "").header("Location", place.clone()),
        Some(PASSWORD) => image.answer(request),
        _ => Answer::new(401, "{}").header("WWW-Authenticate", "Basic realm=\"registry\""),
    });
    Client::new().copy(&registry.host(), &["--tls-verify=false", "--creds", "me:secret"]).ok();
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|request| request.header("authorization").is_none()), "{seen:?}");

    let image = Image::new();
    let curious = Server::start(|_| Answer::new(401, "{}").header("WWW-Authenticate", "Basic realm=\"registry\""));
    let place = format!("http://{}/", curious.host());
    let registry = Server::start(move |request| match image.is_layer(request) {
        true => Answer::new(307, "").header("Location", place.clone()),
        false => image.answer(request),
    });
    Client::new().copy(&registry.host(), &["--tls-verify=false", "--creds", "me:secret"]).fails("401");
    assert!(curious.seen().iter().all(|request| request.header("authorization").is_none()));
}
