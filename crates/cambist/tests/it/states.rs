//! Every row of the state table (DESIGN 3), through the whole system: a scripted venue, a scripted chain, and after each
//! the user's balances and the books.
//!
//! | state | event | tests |
//! |---|---|---|
//! | created | held, refused | [`hold`] |
//! | exchanging | done, in part, failed, nothing filled; lost and late answers | [`venue`], [`unknown`], [`prices`] |
//! | withdrawing | done; lost, late and undone broadcasts; failed before signing | [`withdrawal`], [`reversal`] |
//! | reversing | done; in part; refused after N attempts | [`reversal`] |
//! | releasing | posted; refused, retried, stuck | [`release`] |
//! | stuck | the results its state accepts still count | [`stuck`], [`reversal`], [`release`] |

mod hold;
mod prices;
mod release;
mod reversal;
mod stuck;
mod unknown;
mod venue;
mod withdrawal;

use bc_gateway::ports::Purpose;
use contracts::OrderId;
use contracts::messages::Step;
use serde_json::Value;
use test_kit::api::{User, placed};
use test_kit::system::TestSystem;

/// The path of a buy that met nothing unusual.
pub(crate) const BOUGHT: &[&str] = &["created", "exchanging", "withdrawing", "completed"];
/// The path of a sell that met nothing unusual.
pub(crate) const SOLD: &[&str] = &["created", "exchanging", "completed"];
/// The path of an order for which nothing was traded.
const NOT_TRADED: &[&str] = &["created", "exchanging", "releasing", "failed"];
/// The path of a buy whose crypto could not be sent.
const REVERSED: &[&str] = &[
    "created",
    "exchanging",
    "withdrawing",
    "reversing",
    "releasing",
    "failed",
];

/// A user with 570 fiat and 3 crypto, who has an order behind them.
async fn given_an_owner(system: &TestSystem, name: &str) -> User {
    let user = system.api.given_a_user_with(name, "600").await;
    let bought = placed(&user.buy("30", None).await);
    user.order_at_its_end(bought).await;
    user
}

/// A buy of 30 and a sell of 1.5, both under way.
async fn buy_and_sell(user: &User) -> (i64, i64) {
    (
        placed(&user.buy("30", None).await),
        placed(&user.sell("1.5", None).await),
    )
}

pub(crate) fn order(id: i64) -> OrderId {
    OrderId::try_new(id).unwrap()
}

/// The withdrawal of an order, as the chain's script names it.
pub(crate) fn withdrawal_of(id: i64) -> Purpose {
    Purpose::Order {
        order_id: order(id),
        step: Step::Withdraw,
    }
}

/// Waits until an order is in this state; what happened up to there is sound.
async fn until(system: &TestSystem, user: &User, order_id: i64, state: &str) -> Value {
    let order = user.order_when(order_id, |order| order["state"] == state).await;
    assert_eq!(order["status"], "pending");
    system.assert_clean();
    order
}

/// The orders that operators are shown as stuck.
async fn stuck_sagas(system: &TestSystem) -> Vec<(i64, String)> {
    let sagas = system
        .operator(reqwest::Method::GET, "/wallet/sagas?state=stuck", None)
        .await;
    assert_eq!(sagas.status, 200, "{sagas:?}");
    let items = sagas.body["items"].as_array().unwrap();
    let shown = |saga: &Value| {
        let state = saga["state"].as_str().unwrap().to_owned();
        (saga["order_id"].as_i64().unwrap(), state)
    };
    items.iter().map(shown).collect()
}
