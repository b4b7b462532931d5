//! A web server that says what a test wants it to say, be that HTTP or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    broken: Option<usize>,
    /// The body is said again and again, and no length is announced.
    endless: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers: Vec::new(), body: body.into(), broken: None, endless: false }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn broken(mut self, after: usize) -> Answer {
        self.broken = Some(after);
        self
    }

    pub fn endless(mut self) -> Answer {
        self.endless = true;
        self
    }

    fn write(&self, request: &Request, out: &mut dyn Write) -> std::io::Result<()> {
        write!(out, "HTTP/1.1 {} x\r\nConnection: close\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        if !self.endless {
            write!(out, "Content-Length: {}\r\n", self.body.len())?;
        }
        out.write_all(b"\r\n")?;
        if request.method == "HEAD" {
            return Ok(());
        }
        out.write_all(&self.body[..self.broken.unwrap_or(self.body.len())])?;
        if self.endless {
            loop {
                out.write_all(&self.body)?;
            }
        }
        out.flush()
    }
}

/// Runs until the tests end.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

type Answering = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        Server::listen(None, Arc::new(answer))
    }

    pub fn with_tls(
        config: Arc<rustls::ServerConfig>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Server {
        Server::listen(Some(config), Arc::new(answer))
    }

    fn listen(tls: Option<Arc<rustls::ServerConfig>>, answer: Answering) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, answer, seen) = (tls.clone(), Arc::clone(&answer), Arc::clone(&all));
                // A client that goes away is none of the server's business.
                thread::spawn(move || connection(stream?, tls, &answer, &seen));
            }
        });
        Server { port, seen }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The host and port of it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn connection(
    mut stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: &Answering,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    match tls {
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let request = read(&mut BufReader::new(&mut stream))?;
            seen.lock().unwrap().push(request.clone());
            answer(&request).write(&request, &mut stream)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        None => {
            let request = read(&mut BufReader::new(stream.try_clone()?))?;
            seen.lock().unwrap().push(request.clone());
            if request.method == "CONNECT" {
                return tunnel(stream, &request.path);
            }
            answer(&request).write(&request, &mut stream)
        }
    }
}

fn read(stream: &mut dyn BufRead) -> std::io::Result<Request> {
    let mut line = || -> std::io::Result<String> {
        let mut bytes = Vec::new();
        stream.take(1 << 16).read_until(b'\n', &mut bytes)?;
        // The beginning of TLS is no text.
        let text = String::from_utf8(bytes).map_err(|_| std::io::ErrorKind::InvalidData)?;
        Ok(text.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(std::io::ErrorKind::InvalidData.into());
    };
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Request { method, path, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    stream.take(length).read_to_end(&mut request.body)?;
    Ok(request)
}

/// What a proxy does.
fn tunnel(mut client: TcpStream, to: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut server, &mut client).map(drop)
}
