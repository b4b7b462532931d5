//! Names and passwords, from where podman, skopeo and docker keep them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Access;
use crate::error::{Context, Error, Result};
use crate::name::Name;

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A token that gets tokens (OAuth 2).
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// `auth.json` of containers, or `config.json` of Docker.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "lowercase")]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// Those for the repository of `name`, if there are any.
    pub fn find(name: &Name, access: &Access) -> Result<Option<Credentials>> {
        if let Some(given) = &access.credentials {
            return password(given).map(Some).ok_or_else(|| Error::invalid("credentials must be USER:PASSWORD"));
        }
        let (paths, needed) = match &access.authfile {
            Some(path) => (vec![path.clone()], true),
            None => (places(), false),
        };
        for path in paths {
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                Err(_) if !needed => continue,
                Err(error) => return Err(Error::from(error).within(format!("read {}", path.display()))),
            };
            let found = serde_json::from_slice::<File>(&text)
                .map_err(|error| Error::invalid(error.to_string()))
                .and_then(|file| file.find(name));
            if let Some(found) = found.context(|| format!("read {}", path.display()))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl File {
    fn find(&self, name: &Name) -> Result<Option<Credentials>> {
        // From the repository up to the registry; the key of Docker's own is a URL.
        let full = format!("{}/{}", name.host(), name.path());
        let mut keys: Vec<&str> = vec![&full];
        keys.extend(full.rmatch_indices('/').filter_map(|(at, _)| full.get(..at)));
        let hub = ["https://index.docker.io/v1/", "index.docker.io"];
        if name.host() == "docker.io" {
            keys.extend(hub);
        }
        for key in &keys {
            if let Some(helper) = self.cred_helpers.get(*key) {
                return ask(helper, key);
            }
        }
        for key in &keys {
            let with_scheme = [format!("https://{key}"), format!("http://{key}")];
            let known = |key: &str| self.auths.get(key);
            let entry = known(key).or_else(|| with_scheme.iter().find_map(|key| known(key)));
            if let Some(found) = entry.and_then(Entry::credentials) {
                return Ok(Some(found));
            }
        }
        match &self.creds_store {
            Some(helper) => ask(helper, if name.host() == "docker.io" { hub[0] } else { name.host() }),
            None => Ok(None),
        }
    }
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Some(Credentials::Token(token.clone()));
        }
        let decoded = STANDARD.decode(self.auth.as_ref()?.trim()).ok()?;
        password(String::from_utf8(decoded).ok()?.trim_end_matches('\0'))
    }
}

fn password(text: &str) -> Option<Credentials> {
    let (user, password) = text.split_once(':')?;
    (!user.is_empty()).then(|| Credentials::Password { user: user.into(), password: password.into() })
}

/// Files that may hold credentials, in the order of containers-auth.json(5).
fn places() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = variable("REGISTRY_AUTH_FILE") {
        return vec![path];
    }
    let home = variable("HOME");
    let below = |base: Option<PathBuf>, rest: &str| base.map(|base| base.join(rest));
    let runtime = variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
    // In a user namespace too it is the file of the user who called.
    let uid = crate::rootless::caller();
    let config = variable("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config"));
    [
        Some(runtime.unwrap_or_else(|| PathBuf::from(format!("/run/containers/{uid}/auth.json")))),
        below(config, "containers/auth.json"),
        below(variable("DOCKER_CONFIG").or_else(|| below(home, ".docker")), "config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Asks `docker-credential-HELPER` for the credentials of a server (docker-credential-helpers).
fn ask(helper: &str, server: &str) -> Result<Option<Credentials>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{helper}");
    if Path::new(&program).components().count() != 1 {
        return Err(Error::invalid(format!("invalid name of a credential helper {helper:?}")));
    }
    let run = || -> Result<Option<Credentials>> {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            match input.write_all(server.as_bytes()) {
                // It did not want to know: what it answers counts.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                written => written?,
            }
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            // All helpers say it so, and it is no failure.
            let unknown = text.contains("credentials not found");
            return if unknown { Ok(None) } else { Err(Error::invalid(text.trim().to_owned())) };
        }
        let answer: Answer =
            serde_json::from_str(&text).map_err(|_| Error::invalid("its answer is not that of a credential helper"))?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credentials::Token(answer.secret),
            _ => Credentials::Password { user: answer.username, password: answer.secret },
        }))
    };
    run().context(|| format!("ask {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(image: &str) -> Option<String> {
        let auth = |text: &str| STANDARD.encode(text);
        let file = format!(
            r#"{{"auths": {{"h:5000": {{"auth": "{}"}}, "h:5000/team/app": {{"auth": "{}"}}, "empty.io": {{}},
                "https://index.docker.io/v1/": {{"auth": "{}"}}, "t.io": {{"identitytoken": "tok"}}}}}}"#,
            auth("a:b:c"),
            auth("team:x"),
            auth("hub:y"),
        );
        let file: File = serde_json::from_str(&file).unwrap();
        match file.find(&image.parse().unwrap()).unwrap()? {
            Credentials::Password { user, password } => Some(format!("{user} {password}")),
            Credentials::Token(token) => Some(token),
        }
    }

    #[test]
    fn the_longest_key_counts() {
        assert_eq!(found("h:5000/x").as_deref(), Some("a b:c"));
        assert_eq!(found("h:5000/team/app").as_deref(), Some("team x"));
        assert_eq!(found("h:5000/team/apple").as_deref(), Some("a b:c"));
        assert_eq!(found("debian").as_deref(), Some("hub y"));
        assert_eq!(found("t.io/x").as_deref(), Some("tok"));
        assert_eq!(found("empty.io/x"), None);
        assert_eq!(found("other.io/x"), None);
    }
}
