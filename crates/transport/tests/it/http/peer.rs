//! A peer whose manners the test decides, request by request, down to the bytes.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
    pub(super) at: Instant,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// What a peer does with a request.
pub(super) enum Manner {
    /// Sends these bytes and keeps the connection.
    Says(String),
    /// Sends these bytes and closes.
    SaysAndCloses(String),
    /// Keeps the connection and says nothing.
    IsSilent,
    /// Says this when the test opens the gate.
    Waits(String),
}

/// An answer with a JSON body.
pub(super) fn json(status: &str, body: &str) -> String {
    answer(status, "application/json", "", body)
}

/// A problem document.
pub(super) fn problem(status: u16, code: &str, headers: &str) -> String {
    let body = format!(r#"{{"status": {status}, "code": "{code}"}}"#);
    answer(&format!("{status} No"), "application/problem+json", headers, &body)
}

pub(super) fn answer(status: &str, media: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// The peer, listening.
pub(super) struct Scripted {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    gate: watch::Sender<bool>,
}

type Manners = dyn Fn(usize, &Seen) -> Manner + Send + Sync;

impl Scripted {
    /// One that does with its n-th request (from 0) what `manners` says.
    pub(super) async fn new(manners: impl Fn(usize, &Seen) -> Manner + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), manners)
    }

    pub(super) fn on(listener: TcpListener, manners: impl Fn(usize, &Seen) -> Manner + Send + Sync + 'static) -> Self {
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (arrived, count) = watch::channel(0);
        let (gate, open) = watch::channel(false);
        let (manners, arrived): (Arc<Manners>, _) = (Arc::new(manners), Arc::new(arrived));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, manners, arrived, open) = (all.clone(), manners.clone(), arrived.clone(), open.clone());
                tokio::spawn(async move { talk(stream, &all, &*manners, &arrived, open).await });
            }
        });
        Self {
            address,
            seen,
            count,
            gate,
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests have arrived.
    pub(super) async fn arrived(&self, number: usize) {
        self.count.clone().wait_for(|count| *count >= number).await.unwrap();
    }

    /// Lets those who wait say what they have to say.
    pub(super) fn open_the_gate(&self) {
        self.gate.send_replace(true);
    }
}

async fn talk(
    mut stream: TcpStream,
    all: &Mutex<Vec<Seen>>,
    manners: &Manners,
    arrived: &watch::Sender<usize>,
    mut open: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut read = Vec::new();
    while let Some(seen) = next_request(&mut stream, &mut read).await? {
        let manner = {
            let mut all = all.lock().unwrap();
            all.push(seen.clone());
            manners(all.len() - 1, &seen)
        };
        arrived.send_modify(|count| *count += 1);
        match manner {
            Manner::Says(text) => stream.write_all(text.as_bytes()).await?,
            Manner::SaysAndCloses(text) => return stream.write_all(text.as_bytes()).await,
            Manner::IsSilent => {}
            Manner::Waits(text) => {
                let _ = open.wait_for(|open| *open).await;
                stream.write_all(text.as_bytes()).await?;
            }
        }
    }
    Ok(())
}

async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    loop {
        if let Some(seen) = whole(read) {
            return Ok(Some(seen));
        }
        let mut chunk = vec![0; 16 * 1024];
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            length => read.extend_from_slice(&chunk[..length]),
        }
    }
}

/// The first request of what was read, if all of it is there.
fn whole(read: &mut Vec<u8>) -> Option<Seen> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let mut seen = Seen {
        head: String::from_utf8(read[..end].to_vec()).unwrap(),
        body: String::new(),
        at: Instant::now(),
    };
    let length: usize = seen.header("content-length").map_or(0, |value| value.parse().unwrap());
    let body = read.get(end..end + length)?;
    seen.body = String::from_utf8(body.to_vec()).unwrap();
    read.drain(..end + length);
    Some(seen)
}
