//! The cause of a call, passed on: W3C Trace Context, section 3.2 (`traceparent`).
//!
//! Ports say nothing of traces, so the context travels with the task: whoever has one runs its work [`within`] it, and every
//! request that is sent meanwhile carries it. Without one, none is sent.

use std::future::Future;

tokio::task_local! {
    static PRESENT: Traceparent;
}

/// A trace context: version, trace id, parent id and flags, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent(String);

impl Traceparent {
    /// The context of this header's value; `None` for what is none. Of a later version only what this one knows has to be
    /// sound, as the standard wants it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const KNOWN: usize = 55;
        let hex = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let not_zero = |part: &str| part.bytes().any(|byte| byte != b'0');
        let known = text.get(..KNOWN)?;
        let mut parts = known.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let rest = text.get(KNOWN..)?;
        let ends = rest.is_empty() || (version != "00" && rest.starts_with('-') && rest.len() <= 200);
        let sound = parts.next().is_none()
            && hex(version, 2)
            && version != "ff"
            && hex(trace, 32)
            && not_zero(trace)
            && hex(parent, 16)
            && not_zero(parent)
            && hex(flags, 2)
            && ends
            && rest.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Self(text.to_owned()))
    }

    /// As in the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Runs `work` as caused by `cause`. Tasks that it spawns are on their own.
pub async fn within<F: Future>(cause: Traceparent, work: F) -> F::Output {
    PRESENT.scope(cause, work).await
}

/// The cause of the present task, if it has one.
#[must_use]
pub fn present() -> Option<Traceparent> {
    PRESENT.try_with(Clone::clone).ok()
}
