//! What a registry answers to those it does not know, and what one shows it then (RFC 7235, and the token
//! authentication of distribution).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Agent;

use super::credentials::Credentials;
use super::http::{Response, failed};
use crate::error::{Error, Kind, Result};

/// A token or a configuration of tokens may have so many bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// The value of the header of that name.
pub struct Authorization {
    pub header: String,
}

/// `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest)?;
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }

    /// The authorization that the challenge asks for.
    pub fn answer(&self, agent: &Agent, credentials: Option<&Credentials>, scope: &str) -> Result<Authorization> {
        let denied = || Error::new(Kind::Unsupported, "the registry wants a password; log in, or give --creds");
        match self {
            Challenge::Basic => match credentials {
                Some(Credentials::Password { user, password }) => Ok(Authorization { header: basic(user, password) }),
                _ => Err(denied()),
            },
            Challenge::Bearer { realm, service, scope: asked } => {
                // The wider one, as pushing asks for both.
                let scope = asked.as_deref().filter(|asked| asked.len() > scope.len()).unwrap_or(scope);
                let token = token(agent, realm, service.as_deref(), scope, credentials)?;
                Ok(Authorization { header: format!("Bearer {token}") })
            }
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn token(
    agent: &Agent,
    realm: &str,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<String> {
    let mut query = format!("scope={}", encoded(scope));
    if let Some(service) = service {
        query.push_str(&format!("&service={}", encoded(service)));
    }
    let answer = match credentials {
        Some(Credentials::Token(token)) => {
            let form = format!("grant_type=refresh_token&client_id=coracle&refresh_token={}&{query}", encoded(token));
            agent.post(realm).header("Content-Type", "application/x-www-form-urlencoded").send(form.as_str())
        }
        credentials => {
            let joint = if realm.contains('?') { '&' } else { '?' };
            let request = agent.get(format!("{realm}{joint}{query}"));
            match credentials {
                Some(Credentials::Password { user, password }) => {
                    request.header("Authorization", basic(user, password)).call()
                }
                _ => request.call(),
            }
        }
    };
    let answer = Response::from(answer.map_err(|error| failed(error).within(format!("get a token from {realm}")))?);
    let bytes = answer
        .expect(&[200])
        .and_then(|answer| answer.bytes(TOKEN_LIMIT))
        .map_err(|error| error.within(format!("get a token from {realm}")))?;
    let token: Token =
        serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("parse token of {realm}: {error}")))?;
    let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
    token.ok_or_else(|| Error::invalid(format!("{realm} gave no token")))
}

/// `name="value",name=value…`
fn parameters(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = after;
    }
}

/// For a query or a form (RFC 3986, section 2.3).
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        let cases = [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/token\",service=\"r\",scope=\"repository:a/b:pull,push\"",
                Some(bearer("https://a/token", Some("r"), Some("repository:a/b:pull,push"))),
            ),
            ("bearer Realm=https://a, service=r", Some(bearer("https://a", Some("r"), None))),
            ("Bearer service=\"r\"", None),
            ("Bearer realm=\"x", None),
            ("Negotiate", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn queries() {
        assert_eq!(encoded("repository:a/b:pull,push ü"), "repository%3Aa%2Fb%3Apull%2Cpush%20%C3%BC");
    }
}
