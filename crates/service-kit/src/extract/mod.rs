//! Extraction: what reaches a handler is well-formed, bounded and typed; everything else is a problem.

mod accept;
mod body;
mod idempotency;
mod page;
mod path;

pub use accept::accepted;
pub use body::{BATCH_BODY_LIMIT, BODY_LIMIT, EmptyBody, JsonBody, OptionalJsonBody};
pub use idempotency::{Fingerprint, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, IdempotencyKey, fingerprint};
pub use page::{Page, PageLimit, PageQuery, QueryParams};
pub use path::{PathId, PathParam};
