//! A client of the public HTTP API that speaks the business: register, deposit, buy, sell, and what came of it.
//!
//! It only knows what a customer's program knows, so the same tests run against one process and against ten.

use std::time::Duration;

use http::Method;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How often a waiting test asks again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, character by character: numbers can be compared as they were written.
    pub text: String,
    /// The body as JSON; `null` when it was empty or no JSON.
    pub body: Value,
}

impl Answer {
    /// The `code` of a problem; empty for anything else.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether it is the answer of an earlier request with the same idempotency key.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.headers
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true")
    }

    /// Makes sure that this is a refusal as every refusal should look (RFC 9457), with this status and code.
    ///
    /// # Panics
    /// When it is anything else.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.body["type"], format!("urn:cambist:problem:{code}"), "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        let title = self.body["title"].as_str();
        assert!(title.is_some_and(|title| !title.is_empty()), "{self:?}");
    }
}

/// What of the public API is of `auth`, and at its address where it runs apart.
const OF_AUTH: [&str; 3] = ["/register", "/login", "/.well-known/"];

/// The public API, at one address or two.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    auth: String,
    http: Client,
}

impl Api {
    /// The API at `base`, for example `http://127.0.0.1:8000`.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let base = base.into();
        Self::apart(base.clone(), base)
    }

    /// The API of services that run apart: `auth`'s routes at one address, the wallet's at another.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn apart(auth: impl Into<String>, wallet: impl Into<String>) -> Self {
        let http = Client::builder()
            .timeout(Duration::from_secs(15))
            .build()
            .expect("a client without TLS can be made");
        Self {
            base: wallet.into(),
            auth: auth.into(),
            http,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.base
    }

    /// A request to `path`, to be dressed and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let of_auth = OF_AUTH.iter().any(|start| path.starts_with(start));
        let base = if of_auth { &self.auth } else { &self.base };
        self.http.request(method, format!("{base}{path}"))
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// When there was no answer: refused, broken off, timed out.
    pub async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            text,
            body,
        })
    }

    /// Registers and logs in a user, who has no wallet yet. `name` is unique for each test's system.
    ///
    /// # Panics
    /// When any of that fails: the scene is not set.
    pub async fn given_a_registered(&self, name: &str) -> User {
        let registered = self
            .send(self.request(Method::POST, "/register").json(&json!({
                "username": name, "first_name": "Ada", "last_name": "Lovelace",
                "email": format!("{name}@example.com"), "password": "password"
            })))
            .await
            .expect("registering is answered");
        assert_eq!(registered.status, 201, "{registered:?}");
        User {
            api: self.clone(),
            id: registered.body["id"].as_i64().expect("a user's id"),
            token: self.log_in(name).await,
        }
    }

    /// A user with an empty wallet.
    ///
    /// # Panics
    /// When any of that fails.
    pub async fn given_a_user(&self, name: &str) -> User {
        let user = self.given_a_registered(name).await;
        let opened = user.post(&format!("/wallet/{}", user.id), None, None).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        user
    }

    /// A user with a wallet and a deposit of `fiat`, for example `600`.
    ///
    /// # Panics
    /// When any of that fails.
    pub async fn given_a_user_with(&self, name: &str, fiat: &str) -> User {
        let user = self.given_a_user(name).await;
        let deposited = user.deposit(fiat, None).await;
        assert_eq!(deposited.status, 200, "{deposited:?}");
        user
    }

    /// A fresh token of the user.
    ///
    /// # Panics
    /// When the login is refused.
    pub async fn log_in(&self, name: &str) -> String {
        let answer = self
            .send(
                self.request(Method::POST, "/login")
                    .json(&json!({"username": name, "password": "password"})),
            )
            .await
            .expect("logging in is answered");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["token"].as_str().expect("a token").to_owned()
    }
}

/// A logged-in user.
#[derive(Debug, Clone)]
pub struct User {
    /// Where.
    pub api: Api,
    /// Who.
    pub id: i64,
    /// The access token.
    pub token: String,
}

impl User {
    /// The same user at another address: after a restart.
    #[must_use]
    pub fn at(&self, api: &Api) -> Self {
        Self {
            api: api.clone(),
            ..self.clone()
        }
    }

    /// GET as this user.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.api.request(Method::GET, path).bearer_auth(&self.token);
        self.api
            .send(request)
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// POST as this user.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: Option<&str>, key: Option<&str>) -> Answer {
        self.try_send(Method::POST, path, body, key)
            .await
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Sends a JSON text as this user, with an idempotency key if there is one.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.api.request(method, path).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.api.send(request).await
    }

    /// Deposits fiat, written as a JSON number.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn deposit(&self, fiat: &str, key: Option<&str>) -> Answer {
        let body = format!(r#"{{"fiat_amount": {fiat}}}"#);
        self.try_send(Method::PATCH, &format!("/wallet/{}", self.id), Some(&body), key)
            .await
            .expect("an answer")
    }

    /// Orders crypto for `fiat`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn buy(&self, fiat: &str, key: Option<&str>) -> Answer {
        self.post(
            &format!("/buy/{}", self.id),
            Some(&format!(r#"{{"fiat_amount": {fiat}}}"#)),
            key,
        )
        .await
    }

    /// Orders fiat for `crypto`.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn sell(&self, crypto: &str, key: Option<&str>) -> Answer {
        self.post(
            &format!("/sell/{}", self.id),
            Some(&format!(r#"{{"crypto_amount": {crypto}}}"#)),
            key,
        )
        .await
    }

    /// The wallet as (fiat, crypto), in exact decimal text.
    ///
    /// # Panics
    /// When there is no wallet.
    pub async fn balances(&self) -> (String, String) {
        let wallet = self.get(&format!("/wallet/{}", self.id)).await;
        assert_eq!(wallet.status, 200, "{wallet:?}");
        let of = |asset: &str| {
            let balances = wallet.body["balances"].as_array().expect("balances");
            let found = balances.iter().find(|amount| amount["asset"] == asset);
            found
                .and_then(|amount| amount["amount"].as_str())
                .unwrap_or("0")
                .to_owned()
        };
        (of("USD"), of("BTC"))
    }

    /// Every item of a list, page after page.
    ///
    /// # Panics
    /// When there is no such list, or its pages do not end.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        for _ in 0..1_000 {
            let page = self.get(&format!("{path}?limit=100{cursor}")).await;
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.body["items"].as_array().expect("items").iter().cloned());
            match page.body["next_cursor"].as_i64() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
        panic!("the pages of {path} do not end");
    }

    /// All orders, newest first.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn orders(&self) -> Vec<Value> {
        self.list(&format!("/orders/{}", self.id)).await
    }

    /// The whole statement of the wallet, newest first.
    ///
    /// # Panics
    /// When it cannot be listed.
    pub async fn statement(&self) -> Vec<Value> {
        self.list(&format!("/wallet/{}/transactions", self.id)).await
    }

    /// One order.
    ///
    /// # Panics
    /// When there is no such order.
    pub async fn order(&self, order_id: i64) -> Value {
        let order = self.get(&format!("/orders/{}/{order_id}", self.id)).await;
        assert_eq!(order.status, 200, "{order:?}");
        order.body
    }

    /// Waits until the order is no longer pending, a minute at most.
    ///
    /// # Panics
    /// When it stays pending.
    pub async fn order_at_its_end(&self, order_id: i64) -> Value {
        self.order_when(order_id, |order| order["status"] != "pending").await
    }

    /// Waits until the order is as `wanted`, a minute at most.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn order_when(&self, order_id: i64, wanted: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            let order = self.order(order_id).await;
            if wanted(&order) {
                return order;
            }
            assert!(Instant::now() < give_up, "the order did not get there: {order}");
            // sleep: polling is what a customer's program does.
            sleep(ASK_AGAIN).await;
        }
    }
}

/// The id of the order that was just placed.
///
/// # Panics
/// When none was.
#[must_use]
pub fn placed(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["order_id"].as_i64().expect("an order's id")
}

/// The states an order went through, by its log.
#[must_use]
pub fn path(order: &Value) -> Vec<&str> {
    let events = order["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut states: Vec<&str> = events.iter().filter_map(|event| event["to"].as_str()).collect();
    states.dedup();
    states
}
