//! The service as others see it, inside one process: plain calls.

use async_trait::async_trait;
use contracts::clients::{ClientError, MAX_COMMANDS, Notification, NotifyCommand, Submission};

use super::{Submit, Wish};

/// The in-process form of [`Notification`].
pub(crate) struct Client(pub(crate) Submit);

#[async_trait]
impl Notification for Client {
    async fn submit(&self, commands: Vec<NotifyCommand>) -> Result<Vec<Submission>, ClientError> {
        if commands.len() > MAX_COMMANDS {
            let refusal = Submission::Invalid {
                detail: format!("at most {MAX_COMMANDS} commands are accepted at once"),
            };
            return Ok(vec![refusal; commands.len()]);
        }
        let wishes = commands
            .into_iter()
            .map(|command| Wish {
                order_id: command.order_id,
                email: Some(command.email),
                payload: Some(command.payload),
            })
            .collect();
        let outcomes = self.0.execute(wishes).await?;
        Ok(outcomes.into_iter().map(Submission::from).collect())
    }
}
