//! A way to a database that breaks at a commit: the server has done it, and whoever asked for it does not hear so.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

/// What a client says to commit. (PostgreSQL documentation, "Message Formats": Query.)
const COMMIT: &[u8] = b"COMMIT\0";

/// Stands between clients and their server, and passes everything on until it is told to break.
pub struct Way {
    near: SocketAddr,
    url: String,
    commits_left: Arc<AtomicI64>,
    closed: Arc<AtomicBool>,
}

impl Way {
    /// To the database at this URL: `postgres://user@host:port/name`.
    ///
    /// # Panics
    /// When it is no such URL, or no port is free.
    #[must_use]
    pub fn to(url: &str) -> Self {
        let (user, place) = url.split_once('@').expect("a user is in the address");
        let (server, database) = place.split_once('/').expect("a database is in the address");
        let server = server.to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let near = listener.local_addr().expect("it listens");
        let way = Self {
            near,
            url: format!("{user}@{near}/{database}"),
            commits_left: Arc::default(),
            closed: Arc::default(),
        };
        let (commits_left, closed) = (Arc::clone(&way.commits_left), Arc::clone(&way.closed));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is away is not there for those who come by this way either.
                if let Ok(far) = TcpStream::connect(&server) {
                    let commits_left = Arc::clone(&commits_left);
                    thread::spawn(move || carry(&near, &far, &commits_left));
                }
            }
        });
        way
    }

    /// Where the database is by this way.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets this many commits pass from now on, by whichever connection, and breaks the one of the last of them when the
    /// server has answered it.
    pub fn break_at_commit(&self, number: i64) {
        self.commits_left.store(number, Ordering::SeqCst);
    }

    /// Breaks no more; whether it had broken.
    pub fn mend(&self) -> bool {
        self.commits_left.swap(0, Ordering::SeqCst) <= 0
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Whoever waits for the next connection gets one.
        let _ = TcpStream::connect(self.near);
    }
}

/// One connection, until one of its ends has hung up or it breaks.
fn carry(near: &TcpStream, far: &TcpStream, commits_left: &AtomicI64) {
    let breaks = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The answer to what it breaks at says that it is done. Nobody hears it.
            pass(far, near, |_| !breaks.load(Ordering::SeqCst));
        });
        pass(near, far, |said| {
            let commits = said.windows(COMMIT.len()).any(|word| word == COMMIT);
            if commits && commits_left.fetch_sub(1, Ordering::SeqCst) == 1 {
                breaks.store(true, Ordering::SeqCst);
            }
            true
        });
    });
}

/// Passes on what is said while `may_pass`; then the connection is no more.
fn pass(mut from: &TcpStream, mut to: &TcpStream, may_pass: impl Fn(&[u8]) -> bool) {
    let mut said = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut said)
        && may_pass(&said[..count])
        && to.write_all(&said[..count]).is_ok()
    {}
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
