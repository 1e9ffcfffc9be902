//! The connection: made within a bounded time at the start, and made again for ever after that.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use contracts::Entropy;
use contracts::random::backoff;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::settings::{Credentials, NatsSettings};

/// The first pause before another try to connect, which doubles, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How often a silent server is asked whether it is there; at the third unanswered time the connection is given up.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often the connection itself is looked at: for so long at most is an event missed that the library had no room for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why there is no transport. One line, without secrets.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("{url:?} is no address of a NATS server: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error("no NATS server answered at {url} within {patience:?}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// How long it was tried.
        patience: Duration,
        /// What the last try came to.
        reason: String,
    },
    /// The server does not know us.
    #[error("the NATS server at {url} refuses our credentials")]
    Refused {
        /// Which server.
        url: String,
    },
    /// Credentials or certificates cannot be used.
    #[error("the connection to NATS at {url} cannot be secured: {reason}")]
    Insecure {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server has no JetStream, or what it has there is not what we would make.
    #[error("the NATS server at {url} cannot keep the queue {queue}: {reason}")]
    Queue {
        /// Which server.
        url: String,
        /// Which queue.
        queue: contracts::messages::Queue,
        /// Why.
        reason: String,
    },
}

/// Whether there is a connection, and how many there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) up: bool,
    /// Requests that were made over an earlier connection are forgotten by the server.
    pub(super) generation: u64,
}

/// Connects, however often that fails, until `patience` is over; what will not get better fails at once.
pub(super) async fn connect(
    settings: &NatsSettings,
    entropy: &Arc<dyn Entropy>,
) -> Result<(Client, watch::Receiver<Link>), ConnectError> {
    let url = settings.url.clone();
    let addresses: Vec<ServerAddr> = url
        .split(',')
        .map(|address| address_of(address.trim()))
        .collect::<Result<_, _>>()
        .map_err(|reason| ConnectError::Address {
            url: url.clone(),
            reason,
        })?;
    let (link, links) = watch::channel(Link::default());
    let give_up = Instant::now() + settings.patience;
    let mut tried = 0;
    loop {
        let options = options(settings, entropy, link.clone()).await?;
        let left = give_up.saturating_duration_since(Instant::now());
        let reason = match timeout(left, options.connect(addresses.clone())).await {
            Ok(Ok(client)) => {
                let seen = client.clone();
                tokio::spawn(keep_true(link, move || seen.connection_state()));
                return Ok((client, links));
            }
            Ok(Err(error)) => match error.kind() {
                ConnectErrorKind::ServerParse => {
                    let reason = error.to_string();
                    return Err(ConnectError::Address { url, reason });
                }
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    return Err(ConnectError::Refused { url });
                }
                ConnectErrorKind::Tls => {
                    let reason = root_of(&error);
                    return Err(ConnectError::Insecure { url, reason });
                }
                ConnectErrorKind::Dns
                | ConnectErrorKind::TimedOut
                | ConnectErrorKind::Io
                | ConnectErrorKind::MaxReconnects => root_of(&error),
            },
            Err(_) => "no answer".to_owned(),
        };
        let pause = entropy.jitter(backoff(FIRST_PAUSE, tried, LONGEST_PAUSE));
        if Instant::now() + pause >= give_up {
            let patience = settings.patience;
            return Err(ConnectError::Unreachable { url, patience, reason });
        }
        tracing::warn!(url, reason, "NATS cannot be reached; again shortly");
        // sleep: a server that is away does not tell when it is back
        tokio::time::sleep(pause).await;
        tried += 1;
    }
}

fn address_of(text: &str) -> Result<ServerAddr, String> {
    // The library takes any scheme for its own.
    if !text.starts_with("nats://") && !text.starts_with("tls://") {
        return Err("it begins with neither nats:// nor tls://".to_owned());
    }
    let address: ServerAddr = text.parse().map_err(|error: std::io::Error| error.to_string())?;
    if address.host().is_empty() {
        return Err("it names no host".to_owned());
    }
    Ok(address)
}

async fn options(
    settings: &NatsSettings,
    entropy: &Arc<dyn Entropy>,
    link: watch::Sender<Link>,
) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::new();
    options = match &settings.credentials {
        Credentials::Nobody => options,
        Credentials::Token(token) => options.token(token.clone()),
        Credentials::User { name, password } => {
            let options = options.user_and_password(name.clone(), password.clone());
            // So that a server can let each user hear its own answers and nobody else's. Dots and stars mean something there.
            let is_plain = name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
            if is_plain && !name.is_empty() {
                options.custom_inbox_prefix(format!("_INBOX.{name}"))
            } else {
                options
            }
        }
        Credentials::File(path) => options
            .credentials_file(path)
            .await
            .map_err(|error| ConnectError::Insecure {
                url: settings.url.clone(),
                reason: format!("{}: {error}", path.display()),
            })?,
    };
    if let Some(authorities) = &settings.tls.authorities {
        options = options.add_root_certificates(authorities.clone());
    }
    if let Some((certificate, key)) = &settings.tls.identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    let entropy = Arc::clone(entropy);
    Ok(options
        .name(&settings.name)
        .require_tls(settings.tls.required)
        .ping_interval(PING_EVERY)
        .connection_timeout(settings.times.answer)
        .request_timeout(Some(settings.times.answer))
        // The first try after a connection broke is at once, for a server that is only restarted.
        .reconnect_delay_callback(move |tried| match u32::try_from(tried.saturating_sub(1)) {
            Ok(0) => Duration::ZERO,
            tried => entropy.jitter(backoff(FIRST_PAUSE, tried.unwrap_or(u32::MAX), LONGEST_PAUSE)),
        })
        .event_callback(move |event| {
            note(&link, &event);
            std::future::ready(())
        }))
}

fn note(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => link.send_modify(|link| {
            if link.generation > 0 {
                tracing::info!("NATS is reached again");
            }
            link.up = true;
            link.generation += 1;
        }),
        // We are leaving: nobody asks for the link any more.
        Event::Disconnected | Event::Closed if link.is_closed() => {}
        Event::Disconnected | Event::Closed => {
            tracing::warn!("the connection to NATS is gone; what is to be sent waits in the outboxes");
            link.send_modify(|link| link.up = false);
        }
        Event::LameDuckMode
        | Event::Draining
        | Event::SlowConsumer(_)
        | Event::ServerError(_)
        | Event::ClientError(_) => tracing::debug!(%event, "NATS"),
    }
}

/// Corrects the link by the connection's own state, for as long as anybody asks for the link. Events alone will not do: the
/// library drops them when many come at once, and a `Connected` that is lost after a `Disconnected` would leave everybody
/// waiting for ever.
async fn keep_true(link: watch::Sender<Link>, state: impl Fn() -> State) {
    while timeout(LOOK_EVERY, link.closed()).await.is_err() {
        link.send_if_modified(|link| {
            let up = state() == State::Connected;
            let stale = link.up != up;
            if stale {
                tracing::info!(up, "the connection to NATS changed unheard");
                link.up = up;
                link.generation += u64::from(up);
            }
            stale
        });
    }
}

/// Waits until there is a connection. Never if there will be none any more.
pub(super) async fn up(links: &mut watch::Receiver<Link>) -> Link {
    let found = links.wait_for(|link| link.up).await.map(|link| *link);
    match found {
        Ok(link) => link,
        Err(_) => std::future::pending().await,
    }
}

/// Waits until the connection is gone or another one.
pub(super) async fn changed(links: &mut watch::Receiver<Link>, from: Link) {
    let gone = links.wait_for(|link| *link != from).await.is_err();
    if gone {
        std::future::pending::<()>().await;
    }
}

/// What an error comes from in the end: the rest only says that something failed.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_event_got_lost_is_found_all_the_same() {
        let (link, mut links) = watch::channel(Link::default());
        let (state, states) = watch::channel(State::Connected);
        let keeping = tokio::spawn(keep_true(link.clone(), move || states.borrow().clone()));
        note(&link, &Event::Connected);
        let first = up(&mut links).await;
        // Its `Connected` comes to nobody: requests of before it are forgotten all the same.
        note(&link, &Event::Disconnected);
        let soon = 2 * LOOK_EVERY;
        let second = timeout(soon, up(&mut links)).await.unwrap();
        assert!(second.up && second.generation > first.generation, "{second:?}");
        // And so with a `Disconnected`.
        state.send_replace(State::Disconnected);
        timeout(soon, changed(&mut links, second)).await.unwrap();
        assert!(!links.borrow().up);
        drop(links);
        timeout(soon, keeping).await.unwrap().unwrap();
    }
}
