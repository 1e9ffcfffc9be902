//! Mail by SMTP: over a few connections that stay open from one mail to the next.
//!
//! What it keeps true: a mail server's answer is only believed for what it was given to; what it may have taken without
//! saying so is never called untaken; no more connections are open than it was told, and every wait has an end.

mod session;

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lettre::Address;
use service_kit::settings::SmtpUrl;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::session::{Offer, Session, Terms};
use super::rfc5322::{Sender, format};
use crate::ports::{Mail, MailAnswer, Mailer};

/// A connection that was idle for longer is not used again: mail servers close them, and routers forget them silently.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// A mail server, and how to deal with it.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    /// Its address, how to protect the connection, and as whom to log in.
    pub url: SmtpUrl,
    /// Who vouches for it, as PEM; `None` for the public authorities (Mozilla's list, built in).
    pub authorities: Option<Vec<u8>>,
    /// How long it may take until it is ready for a mail: the wait for a free connection, connecting, encryption and
    /// login, all together.
    pub connect_timeout: Duration,
    /// How long it may take to consent to a mail, and as long again to answer once it has it, or to forget one that it
    /// turned down.
    pub timeout: Duration,
    /// How many connections may be open at once.
    pub connections: NonZeroUsize,
}

impl SmtpServer {
    /// How long one mail takes at most: [`Mailer::send`] has answered by then.
    #[must_use]
    pub fn longest_send(&self) -> Duration {
        self.connect_timeout + self.timeout * 2
    }
}

/// What should vouch for a mail server and cannot.
#[derive(Debug, Error)]
#[error("no certificates (PEM) that could vouch for a mail server: {0}")]
pub struct InvalidCertificates(String);

/// Sends mails through a mail server. Several processes may use the same one.
pub struct SmtpMailer {
    terms: Terms,
    server: SmtpServer,
    sender: Sender,
    open: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// A connection between two mails.
struct Idle {
    session: Session,
    since: Instant,
}

impl SmtpMailer {
    /// A mailer through `server`. Nothing is connected yet: a server that is down is a reason to try later, not one to
    /// stay down with it.
    ///
    /// # Errors
    /// [`InvalidCertificates`].
    pub fn try_new(server: SmtpServer, sender: Sender) -> Result<Self, InvalidCertificates> {
        let terms = Terms::try_new(&server.url, server.authorities.as_deref(), sender.domain())?;
        Ok(Self {
            terms,
            open: Semaphore::new(server.connections.get()),
            server,
            sender,
            idle: Mutex::default(),
        })
    }

    /// A connection on which the server consented to this mail, or why there is none; `timeout` after `ready_by` at the
    /// latest.
    async fn offer(&self, receiver: &Address, ready_by: Instant) -> Result<Session, MailAnswer> {
        let consent_by = ready_by + self.server.timeout;
        let sender = self.sender.address();
        if let Some(mut session) = self.take_idle() {
            let offer = session
                .offer(sender, receiver, Instant::now() + self.server.timeout)
                .await;
            // The server may have closed it at any time. Nothing was handed over yet, so a new one is as good.
            if !matches!(offer, Offer::Broken(_)) {
                return self.consented(session, offer).await;
            }
        }
        let ready_by = (Instant::now() + self.server.connect_timeout).min(consent_by);
        let opened = Session::open(&self.terms, ready_by).await;
        let mut session = opened.map_err(|reason| MailAnswer::TryLater { reason })?;
        let offer = session
            .offer(sender, receiver, (Instant::now() + self.server.timeout).min(consent_by))
            .await;
        self.consented(session, offer).await
    }

    async fn consented(&self, session: Session, offer: Offer) -> Result<Session, MailAnswer> {
        match offer {
            Offer::Accepted => Ok(session),
            Offer::Later(reason) => {
                self.reset(session).await;
                Err(MailAnswer::TryLater { reason })
            }
            Offer::Refused(reason) => {
                self.reset(session).await;
                Err(MailAnswer::Refused { reason })
            }
            Offer::Broken(reason) => Err(MailAnswer::TryLater { reason }),
        }
    }

    /// Gets a connection ready for another mail after one that was turned down.
    async fn reset(&self, mut session: Session) {
        if session.reset(Instant::now() + self.server.timeout).await {
            self.park(session);
        }
    }

    /// The connection that was used last, if it is not too old; older ones are closed.
    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle();
        let kept = idle.pop().filter(|kept| kept.since.elapsed() <= MAX_IDLE);
        if kept.is_none() {
            idle.clear();
        }
        kept.map(|kept| kept.session)
    }

    fn park(&self, session: Session) {
        self.idle().push(Idle {
            session,
            since: Instant::now(),
        });
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &Mail) -> MailAnswer {
        let refused = |reason| MailAnswer::Refused { reason };
        let bytes = match format(mail, &self.sender) {
            Ok(bytes) => bytes,
            Err(error) => return refused(error.to_string()),
        };
        let receiver: Address = match mail.to.parse() {
            Ok(receiver) => receiver,
            Err(error) => return refused(format!("the receiver's address: {error}")),
        };
        // Held for as long as the connection is in use; an idle one is nobody's, and there are no more of those.
        let ready_by = Instant::now() + self.server.connect_timeout;
        let Ok(Ok(_permit)) = timeout_at(ready_by, self.open.acquire()).await else {
            return MailAnswer::TryLater {
                reason: "all connections to the mail server are busy".to_owned(),
            };
        };
        let mut session = match self.offer(&receiver, ready_by).await {
            Ok(session) => session,
            Err(answer) => return answer,
        };
        let (answer, reusable) = session.hand_over(&bytes, Instant::now() + self.server.timeout).await;
        if reusable {
            self.park(session);
        }
        answer
    }
}
