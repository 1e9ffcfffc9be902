//! What others may ask `auth`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ClientError;
use crate::UserId;

/// A user's data, without any credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"id": 2, "username": "ada", "first_name": "Ada", "last_name": "Lovelace",
    "email": "ada@example.com"})))]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The unique name they log in with.
    pub username: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Where notifications go.
    pub email: String,
}

/// A public Ed25519 key as RFC 8037 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The key's id, as in a token's header.
    pub kid: String,
    /// The public key, base64url without padding.
    pub x: String,
}

/// A set of public keys, RFC 7517.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})))]
pub struct Jwks {
    /// At most a handful: the current one and those whose tokens are still valid.
    pub keys: Vec<Jwk>,
}

/// The `auth` service, as others see it. Reads only.
#[async_trait]
pub trait Auth: Send + Sync {
    /// The user, or `None` when there is none.
    async fn user(&self, id: UserId) -> Result<Option<User>, ClientError>;

    /// The keys with which access tokens are verified.
    async fn jwks(&self) -> Result<Jwks, ClientError>;
}
