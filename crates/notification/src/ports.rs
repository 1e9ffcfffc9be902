//! What `notification` needs from outside, besides the stores that all services share: a way to send mail.

use async_trait::async_trait;

pub use crate::domain::delivery::MailAnswer;
pub use crate::domain::letter::Mail;

/// A way to send mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands a mail to the mail system and waits until that is responsible for it: [`MailAnswer::Delivered`] survives a
    /// crash of either side.
    ///
    /// The same mail may come again, also while it is still under way, by this process or another. An adapter MUST make
    /// repeating it harmless where its mail system allows that, and MUST send it with the given message id in any case,
    /// so that receivers can tell. MUST NOT block the thread, and MUST answer within the time that the service is told
    /// ([`Settings::send_timeout`](crate::Settings::send_timeout)).
    ///
    /// How often a user may get a mail, by adapter:
    /// - as a file: exactly once. The same mail is the same file, byte for byte.
    /// - by SMTP: once; and once more for each time that this process dies between the server's assent and our commit,
    ///   and after an answer that was lost. SMTP has no name by which a server would know a mail again, so if the
    ///   connection breaks after the mail was sent and before it was confirmed, nobody knows whether it was taken
    ///   ([`MailAnswer::Unconfirmed`]). Then it is sent once more and no oftener: the server is not responsible before
    ///   it has answered (RFC 5321, sections 4.2.5 and 6.1), and a mail twice, with one message id, is better than
    ///   none; but a server that takes and never answers must not fill a user's mail box. An adapter MUST NOT answer
    ///   [`MailAnswer::TryLater`] for what may have been taken.
    async fn send(&self, mail: &Mail) -> MailAnswer;
}
