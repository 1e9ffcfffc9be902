//! OpenAPI 3.1, generated from the routes themselves.
//!
//! What it keeps true: a route that is not documented cannot exist, because [`Routes`] takes handlers only together
//! with their `#[utoipa::path(…)]`; what a layer or an extractor does to a request (a token, a limit, a body that
//! must be JSON) is documented by that layer or extractor and not by each handler; and a problem comes from the
//! registry, with its status, headers and an example, wherever its name is written.
//!
//! ```text
//! /// Opens the user's wallet.
//! #[utoipa::path(post, path = "/wallet/{user_id}", operation_id = "open_wallet", tag = "wallet",
//!     request_body = Option<EmptyBody>,
//!     responses((status = 201, description = "Opened.", body = OpenedBody), answers::AlreadyExists))]
//! async fn open(…) -> …
//!
//! Routes::new().with(routes!(read, open, make)).protected(&verifier)
//! ```

mod document;
mod examples;
mod operation;
mod parameters;
mod routes;

pub use document::{About, publish};
pub(crate) use operation::mark;
pub use routes::Routes;
pub use utoipa_axum::routes;

pub use crate::problem::answers;
