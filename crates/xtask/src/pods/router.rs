//! What runs an Ingress: sends each request where its rules lead, and answers 404 to every other one. It runs in a pod of its
//! own, so that the NetworkPolicies let it in where they let in an ingress controller, and nowhere else.
//!
//! One request a connection: `Connection: close` goes both ways, and after the head bytes are only passed on.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::manifests::routes::{Extent, Route, leads};

/// As much of a request as its head may have.
const HEAD: usize = 32 * 1024;

/// How long nothing may come; events come more often.
const SILENCE: Duration = Duration::from_secs(120);

/// Addresses behind a Service.
type Endpoints = Vec<String>;

/// What it is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Where it listens
    listen: String,
    /// The rules, one a line
    rules: PathBuf,
}

/// The rules as a text: `Prefix /orders 10.0.0.3:8000,10.0.0.4:8000`.
pub(super) fn written(routes: &[Route<Endpoints>]) -> String {
    let line = |route: &Route<Endpoints>| {
        let kind = route.extent.path_type();
        format!("{kind} {} {}\n", route.path, route.to.join(","))
    };
    routes.iter().map(line).collect()
}

fn read(text: &str) -> Option<Vec<Route<Endpoints>>> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some(Route {
            extent: Extent::of(words.next()?),
            path: words.next()?.to_owned(),
            to: words.next()?.split(',').map(str::to_owned).collect(),
        })
    };
    text.lines().map(line).collect()
}

/// Serves until it is ended.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let rules = read(&fs::read_to_string(&arguments.rules)?).context("these are no rules")?;
    serve(&TcpListener::bind(&arguments.listen)?, &Arc::new(rules));
    Ok(())
}

fn serve(listener: &TcpListener, rules: &Arc<Vec<Route<Endpoints>>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming().flatten() {
        let (rules, turn) = (Arc::clone(rules), Arc::clone(&turn));
        thread::spawn(move || {
            // Whoever leaves in the middle has an error, and nobody to tell it to.
            let _ = pass(client, &rules, turn.fetch_add(1, Ordering::Relaxed));
        });
    }
}

/// One request, and its answer.
fn pass(mut client: TcpStream, rules: &[Route<Endpoints>], turn: usize) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE))?;
    let Some((head, body)) = head(&mut client)? else {
        return answer(&mut client, "400 Bad Request");
    };
    let Some((path, changed)) = changed(&head) else {
        return answer(&mut client, "400 Bad Request");
    };
    let Some(endpoints) = leads(rules, &path) else {
        return answer(&mut client, "404 Not Found");
    };
    let behind = endpoints.get(turn % endpoints.len().max(1));
    let Some(Ok(mut server)) = behind.map(TcpStream::connect) else {
        return answer(&mut client, "502 Bad Gateway");
    };
    server.set_read_timeout(Some(SILENCE))?;
    server.write_all(changed.as_bytes())?;
    server.write_all(&body)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let sending = thread::spawn(move || io::copy(&mut from, &mut to));
    let passed = io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Both)?;
    let _ = sending.join();
    passed.map(|_| ())
}

fn answer(client: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// The head of a request and what came behind it; `None` where there is no end of it.
fn head(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return Ok(String::from_utf8(bytes).ok().map(|head| (head, body)));
        }
        let read = client.read(&mut part)?;
        if read == 0 || bytes.len() > HEAD {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

/// The path that is asked for, and the head as it goes on. A path that climbs is refused: what reads it may climb with it.
fn changed(head: &str) -> Option<(String, String)> {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next()?;
    let target = first.split(' ').nth(1)?;
    let path = target.split('?').next()?;
    let climbs = |part: &str| matches!(part.to_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if !path.starts_with('/') || path.split('/').any(climbs) {
        return None;
    }
    let mut changed = format!("{first}\r\n");
    for line in lines.filter(|line| !line.to_lowercase().starts_with("connection:")) {
        changed.push_str(line);
        changed.push_str("\r\n");
    }
    changed.push_str("Connection: close\r\n\r\n");
    Some((path.to_owned(), changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Says on each connection what it was asked.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (head, mut body) = head(&mut stream).unwrap().unwrap();
                let there = body.len();
                body.resize(4, 0);
                stream.read_exact(&mut body[there..]).unwrap();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\n\r\n{head}{}",
                    String::from_utf8_lossy(&body)
                )
                .unwrap();
            }
        });
        address
    }

    #[test]
    fn requests_go_where_the_rules_lead_and_nowhere_else() {
        let rules = vec![
            Route {
                path: "/orders".to_owned(),
                extent: Extent::Below,
                to: vec![echo(), echo()],
            },
            Route {
                path: "/login".to_owned(),
                extent: Extent::Exact,
                to: vec!["127.0.0.1:1".to_owned()],
            },
            Route {
                path: "/openapi.json".to_owned(),
                extent: Extent::Beginning,
                to: vec![echo()],
            },
        ];
        let rules = Arc::new(read(&written(&rules)).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || serve(&listener, &rules));
        let get = |path: &str| {
            ask(
                &address,
                &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\nbody"),
            )
        };
        let answer = get("/orders/2?limit=1");
        assert!(
            answer.contains("GET /orders/2?limit=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nbody"),
            "{answer}"
        );
        assert!(get("/openapi.json").contains("GET /openapi.json HTTP/1.1"));
        assert!(get("/openapi.json/2").contains("GET /openapi.json/2 HTTP/1.1"));
        assert!(get("/user/2").starts_with("HTTP/1.1 404"));
        assert!(get("/login/2").starts_with("HTTP/1.1 404"));
        assert!(get("/login").starts_with("HTTP/1.1 502"), "nobody is there");
        assert!(get("/orders/%2E./user/2").starts_with("HTTP/1.1 400"));
        assert!(get("user/2").starts_with("HTTP/1.1 400"));
    }
}
