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
    /// so that receivers can tell. MUST NOT block the thread. Callers stop waiting after a bounded time; whatever
    /// becomes of the mail then counts as unknown, and it is sent again.
    async fn send(&self, mail: &Mail) -> MailAnswer;
}
