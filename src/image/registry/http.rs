//! Requests to one repository: tried again where that helps, with the authorization that is asked for.

use std::io::Read;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, SendBody};

use super::challenge::{Authorization, Challenge};
use super::credentials::Credentials;
use super::{Access, Purpose};
use crate::error::{Error, Kind, Result};
use crate::name::Name;

/// How often a request is made before its failure counts.
const ATTEMPTS: u32 = 4;

/// How often a registry may send on.
const REDIRECTS: u32 = 5;

const AGENT: &str = concat!("coracle-image/", env!("CARGO_PKG_VERSION"));

/// What is sent with a request. A reader is made anew for each try.
pub enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    Reader { size: u64, open: &'a dyn Fn() -> Result<Box<dyn Read + Send>> },
}

/// The connection to a repository.
pub struct Client {
    agent: Agent,
    /// `https://HOST`.
    origin: String,
    /// The repository.
    path: String,
    scope: String,
    credentials: Option<Credentials>,
    authorization: Mutex<Option<Authorization>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.origin, self.path)
    }
}

impl Client {
    /// A client for the repository of `name`.
    pub fn connect(name: &Name, access: &Access, purpose: Purpose) -> Result<Client> {
        let host = match name.host() {
            // Docker's registry has another name than its images.
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let agent = agent(access.tls_verify)?;
        let secure = access.tls_verify || speaks_tls(&agent, host);
        let actions = match purpose {
            Purpose::Pull => "pull",
            Purpose::Push => "pull,push",
        };
        let client = Client {
            agent,
            origin: format!("{}://{host}", if secure { "https" } else { "http" }),
            path: name.path().to_owned(),
            scope: format!("repository:{}:{actions}", name.path()),
            credentials: Credentials::find(name, access)?,
            authorization: Mutex::default(),
        };
        Ok(client)
    }

    /// Asks for a path of the repository.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &mut Body<'_>) -> Result<Response> {
        self.request(method, &format!("{}/v2/{}/{path}", self.origin, self.path), headers, body)
    }

    /// Asks for a URL: what the registry itself named may be on another host, which gets no credentials.
    pub fn request(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &mut Body<'_>) -> Result<Response> {
        let mut failures = 0;
        let mut asked = false;
        loop {
            let error = match self.followed(method, url, headers, body) {
                Ok((response, true)) if response.status() == 401 && !asked => {
                    asked = true;
                    self.authorize(&response)?;
                    continue;
                }
                Ok((response, _)) if !matches!(response.status(), 429 | 500 | 502..=504) => return Ok(response),
                Ok((response, _)) => response.failure(),
                Err(error) => error,
            };
            failures += 1;
            if failures >= ATTEMPTS || error.kind() == Kind::Unsupported {
                return Err(error.within(format!("{method} {url}")));
            }
            wait(failures);
        }
    }

    /// The answer from where the registry sends on, and whether that is the registry itself.
    fn followed(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &mut Body<'_>,
    ) -> Result<(Response, bool)> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let own = self.is_own(&url);
            let authorization = if own { self.authorization() } else { None };
            let response = self.once(method, &url, headers, body, authorization.as_deref())?;
            if !matches!(response.status(), 301..=303 | 307 | 308) || !matches!(method, "GET" | "HEAD") {
                return Ok((response, own));
            }
            let location = response.header("location").unwrap_or_default();
            url = self.absolute(&url, &location)?;
        }
        Err(Error::new(Kind::Unsupported, format!("the registry sends on more than {REDIRECTS} times")))
    }

    /// Where `location`, as the answer from `url` gave it, leads. It is followed by HTTP alone, not from TLS to plain HTTP,
    /// and not to addresses that mean something else to each machine, behind which clouds keep their secrets.
    pub fn absolute(&self, url: &str, location: &str) -> Result<String> {
        let refused = || Error::new(Kind::Unsupported, format!("the registry leads to {location:?}"));
        let from: Uri = url.parse().map_err(|_| refused())?;
        let scheme = from.scheme_str().unwrap_or("https");
        let full = match location {
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => {
                format!("{scheme}://{}{location}", from.authority().map_or("", |authority| authority.as_str()))
            }
            _ => location.to_owned(),
        };
        let to: Uri = full.parse().map_err(|_| refused())?;
        let (Some(host), Some(authority)) = (to.host(), to.authority()) else { return Err(refused()) };
        let safe = match to.scheme_str() {
            Some("https") => true,
            Some("http") => !self.origin.starts_with("https://"),
            _ => false,
        };
        let link_local = match host.trim_matches(['[', ']']).parse() {
            Ok(IpAddr::V4(address)) => address.is_link_local(),
            Ok(IpAddr::V6(address)) => address.is_unicast_link_local(),
            Err(_) => false,
        };
        let sound = safe && !authority.as_str().contains('@') && (!link_local || self.is_own(&full));
        if sound { Ok(full) } else { Err(refused()) }
    }

    /// Where `location` of an answer of the registry itself leads.
    pub fn place(&self, location: &str) -> Result<String> {
        self.absolute(&self.origin, location)
    }

    fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.origin).is_some_and(|rest| rest.starts_with('/'))
    }

    fn authorization(&self) -> Option<String> {
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|authorization| authorization.header.clone())
    }

    /// Gets what the registry wants to see.
    fn authorize(&self, refused: &Response) -> Result<()> {
        let header = refused.header("www-authenticate").unwrap_or_default();
        let challenge = Challenge::parse(&header)
            .ok_or_else(|| Error::new(Kind::Unsupported, format!("the registry wants authentication {header:?}")))?;
        if let Challenge::Bearer { realm, .. } = &challenge {
            self.place(realm)?;
        }
        let authorization = challenge.answer(&self.agent, self.credentials.as_ref(), &self.scope)?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
        Ok(())
    }

    fn once(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &mut Body<'_>,
        authorization: Option<&str>,
    ) -> Result<Response> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let invalid = |error: ureq::http::Error| Error::invalid(format!("make a request of {url}: {error}"));
        let answer = match body {
            Body::None => self.agent.run(request.body(()).map_err(invalid)?),
            Body::Bytes(bytes) => self.agent.run(request.body(*bytes).map_err(invalid)?),
            Body::Reader { size, open } => {
                let mut reader = open()?;
                let request = request.header("Content-Length", *size);
                self.agent.run(request.body(SendBody::from_reader(&mut reader)).map_err(invalid)?)
            }
        };
        answer.map(Response).map_err(failed)
    }
}

/// An answer of whatever status.
pub struct Response(ureq::http::Response<ureq::Body>);

impl Response {
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The same if its status is one of `wanted`.
    pub fn expect(self, wanted: &[u16]) -> Result<Response> {
        if wanted.contains(&self.status()) { Ok(self) } else { Err(self.failure()) }
    }

    /// The whole body, if it has no more than `limit` bytes.
    pub fn bytes(self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.into_reader().take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(Error::invalid(format!("the answer of the registry is larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    pub fn into_reader(self) -> Box<dyn Read + Send> {
        Box::new(self.0.into_body().into_reader())
    }

    /// What the registry says is wrong.
    pub fn failure(self) -> Error {
        #[derive(serde::Deserialize)]
        struct Report {
            errors: Vec<Problem>,
        }
        #[derive(serde::Deserialize)]
        struct Problem {
            code: String,
            #[serde(default)]
            message: String,
        }
        let status = self.status();
        let kind = match status {
            404 => Kind::NotFound,
            401 | 403 => Kind::Unsupported,
            _ => Kind::Invalid,
        };
        let text = self.bytes(1 << 16).unwrap_or_default();
        let problem = serde_json::from_slice::<Report>(&text).ok().and_then(|report| report.errors.into_iter().next());
        let said = problem.map(|problem| format!(": {} {}", problem.code, problem.message)).unwrap_or_default();
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        Error::new(kind, format!("the registry answered {status}{}", said.trim_end()))
    }
}

/// A pause before another try: half a second, then twice as long each time.
pub fn wait(failures: u32) {
    std::thread::sleep(Duration::from_millis(250 << failures.min(6)));
}

/// What went wrong on the way to an answer.
pub fn failed(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Io(error) => Error::from(error),
        // Another try would end alike.
        error @ (ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::RequireHttpsOnly(_)
        | ureq::Error::HostNotFound
        | ureq::Error::BadUri(_)
        | ureq::Error::InvalidProxyUrl) => Error::new(Kind::Unsupported, error.to_string()),
        error => Error::invalid(error.to_string()),
    }
}

fn agent(tls_verify: bool) -> Result<Agent> {
    let tls = TlsConfig::builder().disable_verification(!tls_verify);
    let tls = match roots()? {
        Some(roots) => tls.root_certs(roots),
        None => tls,
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(tls_verify)
        .tls_config(tls.build())
        .user_agent(AGENT)
        .accept_encoding("identity")
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(120)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .timeout_per_write(Some(Duration::from_secs(60)))
        .build();
    Ok(config.into())
}

/// The machine's own authorities, or those named by SSL_CERT_FILE; `None` leaves those built in.
fn roots() -> Result<Option<RootCerts>> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let path = named.clone().unwrap_or_else(|| "/etc/ssl/certs/ca-certificates.crt".into());
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(_) if named.is_none() => return Ok(None),
        Err(error) => return Err(Error::from(error).within(format!("read {}", path.display()))),
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok((!certificates.is_empty()).then(|| RootCerts::from(certificates.into_iter())))
}

/// Whether the host answers to TLS; asked only where plain HTTP would do too.
fn speaks_tls(agent: &Agent, host: &str) -> bool {
    agent.get(format!("https://{host}/v2/")).call().is_ok()
}

impl From<ureq::http::Response<ureq::Body>> for Response {
    fn from(inner: ureq::http::Response<ureq::Body>) -> Response {
        Response(inner)
    }
}
