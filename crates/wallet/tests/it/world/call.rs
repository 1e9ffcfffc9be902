//! Requests to the wallet, and its answers.

use axum::Router;
use axum::body::Body;
use contracts::OrderId;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use super::World;

/// A request in the making.
pub(crate) struct Call<'a> {
    pub(super) world: &'a World,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    #[allow(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub(crate) fn json(self, body: Value) -> Self {
        self.text(&body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let router = self.world.process().public.clone();
        answer(router, self.built()).await
    }

    /// Sends all but the body, and that only after `meanwhile`, which begins when the body is waited for.
    pub(crate) async fn send_slowly(mut self, meanwhile: impl Future<Output = ()>) -> Answer {
        let router = self.world.process().public.clone();
        let text = self.body.take().unwrap_or_default();
        let (waits, waited_for) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let body = futures::stream::once(async move {
            waits.send(()).unwrap();
            gone.await.map(|()| text)
        });
        let request = self.built().map(|_| Body::from_stream(body));
        let sender = async {
            waited_for.await.unwrap();
            meanwhile.await;
            go.send(()).unwrap();
        };
        tokio::join!(answer(router, request), sender).0
    }

    /// Sends it, and leaves the body to be read as it comes.
    pub(crate) async fn open(self) -> axum::response::Response {
        let router = self.world.process().public.clone();
        router.oneshot(self.built()).await.unwrap()
    }

    fn built(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let body = self.body.map_or_else(Body::empty, Body::from);
        request.body(body).unwrap()
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn order_id(&self) -> OrderId {
        serde_json::from_value(self.body["order_id"].clone()).unwrap()
    }

    pub(crate) fn replayed(&self) -> bool {
        self.headers
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true")
    }

    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.text
        );
        (self.status.as_u16(), self.body["code"].as_str().unwrap().to_owned())
    }
}

pub(super) async fn answer(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    }
}
