//! Asking a process whether it is ready: one GET, without a library.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it is asked, and the pause in between.
const TRIES: u32 = 1_500;
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `GET /readyz` is answered with 200; half a minute at most, and longer where it does not answer at all.
pub(super) fn until_ready(address: SocketAddr) -> Result<(), String> {
    let mut said = String::new();
    for _ in 0..TRIES {
        match get(address, "/readyz") {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => return Ok(()),
            Ok(answer) => said = answer,
            Err(error) => said = error.to_string(),
        }
        // sleep: a probe is asked again
        thread::sleep(ASK_AGAIN);
    }
    Err(format!("it is not ready: {said}"))
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
