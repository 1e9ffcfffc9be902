//! How an order ended, and what must be so at every end: the user was told exactly once, the books balance, and every
//! order is explained.

use serde_json::Value;
use test_kit::api::{User, path};
use test_kit::system::TestSystem;

/// An order at its end.
pub(crate) struct Ending {
    pub(crate) order: Value,
    pub(crate) mail: String,
    balances: (String, String),
}

/// Waits for the end of an order that was accepted, and for the mail about it; audits the database.
pub(crate) async fn ending(system: &TestSystem, user: &User, order_id: i64) -> Ending {
    let order = user.order_at_its_end(order_id).await;
    let mail = system.mail_about(order_id).await;
    system.assert_clean();
    Ending {
        order,
        mail,
        balances: user.balances().await,
    }
}

impl Ending {
    /// It completed, along these states.
    #[track_caller]
    pub(crate) fn completed_by(self, states: &[&str]) -> Self {
        assert_eq!(self.order["status"], "completed", "{}", self.order);
        assert_eq!(self.order["failure_code"], Value::Null, "{}", self.order);
        assert_eq!(path(&self.order), states, "{}", self.order);
        assert!(self.mail.contains("Subject: You "), "{}", self.mail);
        self
    }

    /// It failed for this reason, along these states, and the user was told that nothing was charged.
    #[track_caller]
    pub(crate) fn failed_by(self, code: &str, states: &[&str]) -> Self {
        assert_eq!(self.order["status"], "failed", "{}", self.order);
        assert_eq!(self.order["failure_code"], code, "{}", self.order);
        assert_eq!(path(&self.order), states, "{}", self.order);
        assert!(self.mail.contains("was not carried out"), "{}", self.mail);
        assert!(self.mail.contains("Nothing was charged"), "{}", self.mail);
        self
    }

    /// The user has exactly this.
    #[track_caller]
    pub(crate) fn leaving(self, fiat: &str, crypto: &str) -> Self {
        let (has_fiat, has_crypto) = &self.balances;
        assert_eq!((&**has_fiat, &**has_crypto), (fiat, crypto), "{}", self.order);
        self
    }
}
