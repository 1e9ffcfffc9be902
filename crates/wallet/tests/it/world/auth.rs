//! Auth: it knows everybody, and one key.

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::{Auth, ClientError, Jwk, Jwks, User};

pub(crate) struct AuthFake {
    key: Jwk,
}

impl AuthFake {
    pub(crate) fn new(key: Jwk) -> Self {
        Self { key }
    }
}

#[async_trait]
impl Auth for AuthFake {
    async fn user(&self, id: UserId) -> Result<Option<User>, ClientError> {
        Ok(Some(User {
            id,
            username: format!("user{id}"),
            first_name: "Ann".to_owned(),
            last_name: "Example".to_owned(),
            email: format!("user{id}@example.com"),
        }))
    }

    async fn jwks(&self) -> Result<Jwks, ClientError> {
        Ok(Jwks {
            keys: vec![self.key.clone()],
        })
    }
}
