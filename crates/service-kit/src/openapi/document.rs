//! The document of one listener, and the route that serves it.

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::Server;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::examples::show_examples;
use super::operation::{bound_arrays, complete, guarded, operations, requires, unwrap_optional_body};
use super::routes::{CALLER, Routes, USER};
use crate::problem::Problem;

/// What a document says of itself.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Its title.
    pub title: &'static str,
    /// What it describes, in Markdown.
    pub description: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// The tags, each with what it stands for.
    pub tags: &'static [(&'static str, &'static str)],
}

/// The routers of a listener, with `GET /openapi.json` among the first, which describes them all: `behind_guard`
/// are meant for [`crate::http::guard`], `beside` are not.
///
/// The document needs no token: it says what anybody can read in the source, and nothing of what is stored.
pub fn publish(about: About, behind_guard: Routes, beside: Routes) -> (Router, Router) {
    let (own, own_api) = Routes::<Document>::new().with(super::routes!(serve)).into_parts();
    let (router, mut api) = behind_guard.into_parts();
    api.merge(own_api);
    operations(&mut api).for_each(|(_, operation)| guarded(operation));
    let (beside, beside_api) = beside.into_parts();
    api.merge(beside_api);
    finish(about, &mut api);
    // Every part of it is text and numbers; a map's keys are text.
    let text = api.to_json().expect("a document is JSON");
    let router = router.merge(own.with_state(Document(text.into())));
    (router, beside)
}

/// The finished text.
#[derive(Clone)]
struct Document(Bytes);

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "read_openapi", tag = "documentation",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)))]
async fn serve(State(document): State<Document>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=60"),
    ];
    (headers, document.0).into_response()
}

fn finish(about: About, api: &mut OpenApi) {
    api.info = InfoBuilder::new()
        .title(about.title)
        .version(about.version)
        .description(Some(about.description))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache License 2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    api.servers = Some(vec![Server::new("/")]);
    let tags = about
        .tags
        .iter()
        .map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build());
    api.tags = Some(tags.collect());
    let mut schemes = Vec::new();
    for (path, operation) in operations(api) {
        unwrap_optional_body(operation);
        bound_arrays(operation);
        complete(path, operation);
        for scheme in [USER, CALLER] {
            if requires(operation, scheme) && !schemes.contains(&scheme) {
                schemes.push(scheme);
            }
        }
    }
    let components = api.components.get_or_insert_with(Components::new);
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    for scheme in schemes {
        components.add_security_scheme(scheme, security(scheme));
    }
    show_examples(api);
}

fn security(scheme: &str) -> SecurityScheme {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = if scheme == USER {
        let description =
            "The access token of `POST /login`, a JWT signed with EdDSA. It opens the paths of its user only.";
        bearer.bearer_format("JWT").description(Some(description))
    } else {
        let description = "The token of a calling service or of a named operator (setting `internal_tokens`). Each \
                           route has its callers.";
        bearer.description(Some(description))
    };
    SecurityScheme::Http(bearer.build())
}
