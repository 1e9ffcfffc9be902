//! Abuse: whatever a stranger, a forger or a broken client sends, over real sockets, to every operation of both listeners.
//!
//! The answer is the right problem or a closed connection, never a failure of ours, and nothing has changed. The
//! operations come from the documents that the listeners publish, so one that is added later is abused as well.

use test_kit::api::{Answer, User, placed};
use test_kit::system::{OPERATOR_TOKEN, Scene, TestSystem, service_token};

use self::document::{Needs, Operation, operations};
use self::line::Request;

mod bodies;
mod books;
mod document;
mod doors;
mod guesses;
mod line;
mod mutations;
mod sockets;
mod targets;

/// A system with somebody in it, and what can be asked of it.
struct Stage {
    system: TestSystem,
    /// User 2, with 570 fiat, 3 crypto and order 1 behind her.
    ada: User,
    /// The operations of the public and of the internal listener, each with its address.
    listeners: [(String, Vec<Operation>); 2],
}

impl Stage {
    async fn set(scene: Scene) -> Self {
        let system = scene.start().await;
        let ada = system.api.given_a_user_with("ada", "600").await;
        ada.order_at_its_end(placed(&ada.buy("30", Some("first")).await)).await;
        let (public, internal) = (system.api.base().to_owned(), system.internal.clone());
        let listeners = [
            (public.clone(), operations(&public).await),
            (internal.clone(), operations(&internal).await),
        ];
        Self { system, ada, listeners }
    }

    /// Every operation, with the address of its listener.
    fn operations(&self) -> impl Iterator<Item = (&str, &Operation)> {
        let all = self.listeners.iter();
        all.flat_map(|(base, operations)| operations.iter().map(move |operation| (base.as_str(), operation)))
    }

    /// A request with a token that opens the operation: Ada's, or that of an operator, or of the wallet.
    async fn opened(&self, base: &str, operation: &Operation, target: &str) -> Request {
        let request = Request::new(&operation.method, target);
        match operation.needs {
            Needs::Nothing => request,
            Needs::UserToken => request.bearer(&self.ada.token),
            Needs::CallerToken => {
                let wallet = service_token(contracts::ServiceName::Wallet);
                for token in [OPERATOR_TOKEN, &wallet] {
                    let opened = request.clone().bearer(token);
                    // A body of nonsense, so that asking changes nothing.
                    if opened.clone().json("{").answered(base).await.status != 403 {
                        return opened;
                    }
                }
                panic!("{operation} opens for neither an operator nor the wallet");
            }
        }
    }
}

/// What a path's names stand for: somebody and something that there is.
fn what_there_is(name: &str) -> String {
    let value = match name {
        "user_id" => "2",
        "order_id" | "letter_id" => "1",
        name => panic!("no value for {{{name}}} to start from: say one here"),
    };
    value.to_owned()
}

/// Makes sure that it is one of these problems, each a status and a code, and in the form that every problem has.
#[track_caller]
fn assert_one_of(answer: &Answer, problems: &[(u16, &str)], what: &str) {
    let given = (answer.status, answer.code());
    assert!(
        problems.contains(&given),
        "{what}: {given:?}, not one of {problems:?}: {answer:?}"
    );
    answer.assert_problem(given.0, given.1);
}
