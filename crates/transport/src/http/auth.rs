//! `auth` over HTTP. Both verbs only look, so both are repeated after any failure.

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::{Auth, ClientError, Jwks, User};

use super::failure::{Answer, Unreadable};
use super::peer::{Peer, Request};

/// [`Auth`] at a peer.
#[derive(Debug, Clone)]
pub struct HttpAuth(pub Peer);

#[async_trait]
impl Auth for HttpAuth {
    async fn user(&self, id: UserId) -> Result<Option<User>, ClientError> {
        let request = Request::get(format!("/user/{id}"));
        let read = |answer: Answer<'_>| match answer {
            Answer::Success(_, body) => {
                let user: User = serde_json::from_slice(body)?;
                if user.id == id {
                    Ok(Some(user))
                } else {
                    Err(Unreadable(format!("user {} instead of {id}", user.id)))
                }
            }
            Answer::NotFound => Ok(None),
            other @ (Answer::AlreadyExists | Answer::Invalid(_)) => Err(Unreadable::unexpected(&other)),
        };
        self.0.call(&request, self.0.deadline(), read).await
    }

    async fn jwks(&self) -> Result<Jwks, ClientError> {
        let request = Request::get("/.well-known/jwks.json".to_owned());
        let read = |answer: Answer<'_>| match answer {
            Answer::Success(_, body) => Ok(serde_json::from_slice(body)?),
            other @ (Answer::NotFound | Answer::AlreadyExists | Answer::Invalid(_)) => {
                Err(Unreadable::unexpected(&other))
            }
        };
        self.0.call(&request, self.0.deadline(), read).await
    }
}
