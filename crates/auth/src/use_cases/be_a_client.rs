//! The service as others see it, inside one process: plain calls.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::{Auth, ClientError, Jwks, User};

use super::KeyRing;
use crate::ports::UserStore;

/// The in-process form of [`Auth`].
pub(crate) struct Client {
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) ring: Arc<KeyRing>,
}

#[async_trait]
impl Auth for Client {
    async fn user(&self, id: UserId) -> Result<Option<User>, ClientError> {
        Ok(self.users.user(id).await?)
    }

    async fn jwks(&self) -> Result<Jwks, ClientError> {
        Ok(self.ring.jwks().await?)
    }
}
