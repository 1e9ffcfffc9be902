//! Which span of which trace: as in the header `traceparent`, and as the cause of what a task does at present.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;

use crate::Entropy;

thread_local! {
    static PRESENT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// A span's place: its trace, itself, and whether the trace is collected (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// What a `traceparent` says; `None` for what is none. Of a later version only what this one knows has to be sound, as
    /// the standard wants it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const KNOWN: usize = 55;
        let hex = |part: &str, length: usize| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let mut parts = text.get(..KNOWN)?.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let rest = text.get(KNOWN..)?;
        let ends = rest.is_empty() || (version != "00" && rest.starts_with('-') && rest.len() <= 200);
        let sound = parts.next().is_none()
            && hex(version, 2)
            && version != "ff"
            && hex(trace, 32)
            && hex(span, 16)
            && hex(flags, 2)
            && ends
            && rest.bytes().all(|byte| byte.is_ascii_graphic());
        let found = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (sound && found.trace_id != 0 && found.span_id != 0).then_some(found)
    }

    /// A new span's: of its parent's trace, or of a new one, which is collected.
    pub(super) fn below(parent: Option<Self>, entropy: &dyn Entropy) -> Self {
        let wide = || (u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64());
        Self {
            trace_id: parent.map_or_else(|| wide().max(1), |parent| parent.trace_id),
            span_id: entropy.next_u64().max(1),
            sampled: parent.is_none_or(|parent| parent.sampled),
        }
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// The span.
    #[must_use]
    pub const fn span_id(self) -> u64 {
        self.span_id
    }

    /// Whether the trace is collected: so whoever began it decided.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl fmt::Display for TraceContext {
    /// As in the header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            sampled,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*sampled))
    }
}

/// Runs `work` as caused by `cause`, where there is one. Tasks that it spawns are on their own.
pub async fn within<F: Future>(cause: Option<TraceContext>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let Some(cause) = cause else {
            return work.as_mut().poll(cx);
        };
        let _restored = Restored(PRESENT.replace(Some(cause)));
        work.as_mut().poll(cx)
    })
    .await
}

/// What was present before, which is present again afterwards, also after a panic.
struct Restored(Option<TraceContext>);

impl Drop for Restored {
    fn drop(&mut self) {
        PRESENT.set(self.0);
    }
}

/// The cause of what this task does, if it has one.
#[must_use]
pub fn present() -> Option<TraceContext> {
    PRESENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_is() {
        let context = TraceContext::parse(GIVEN).unwrap();
        assert_eq!(context.to_string(), GIVEN);
        assert!(context.is_sampled());
        let quiet = GIVEN.replace("-01", "-00");
        assert!(!TraceContext::parse(&quiet).unwrap().is_sampled());
        // What a later version adds is not passed on: we speak this one.
        let later = format!("01{}-more", &GIVEN[2..]);
        assert_eq!(TraceContext::parse(&later), Some(context));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-mo\r\nre",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\u{e4}",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_cause_is_present_while_its_work_is_polled_and_no_longer() {
        let cause = TraceContext::parse(GIVEN);
        let seen = std::cell::RefCell::new(Vec::new());
        let mut work = pin!(within(cause, async {
            seen.borrow_mut().push(present());
            within(None, std::future::ready(())).await;
            seen.borrow_mut().push(present());
            std::future::pending::<()>().await;
        }));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(work.as_mut().poll(&mut cx).is_pending());
        assert_eq!(present(), None);
        assert_eq!(*seen.borrow(), [cause, cause]);
    }

    #[test]
    fn a_span_without_a_parent_begins_a_trace_and_one_with_it_goes_on() {
        let entropy = crate::SeededEntropy::new(1);
        let [one, two] = [(); 2].map(|()| TraceContext::below(None, &entropy));
        assert!(one.is_sampled() && one.trace_id() != two.trace_id());
        let child = TraceContext::below(Some(one), &entropy);
        assert_eq!(child.trace_id(), one.trace_id());
        assert_ne!(child.span_id(), one.span_id());
    }
}
