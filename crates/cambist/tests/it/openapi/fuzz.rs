//! schemathesis against the program itself: whatever it makes up, there is no 5xx, and no answer outside the document.
//!
//! The seed is fixed, so a run finds what the run before found. `CAMBIST_TEST_FULL=1` makes up many more requests.

use test_kit::api::{User, placed};
use test_kit::process::{Program, Running};

use super::tool;
use crate::program::cambist;

/// The token of the wallet's own calls.
const WALLET_TOKEN: &str = "wallet-token-that-only-tests-know";

/// The token of an operator.
const OPERATOR_TOKEN: &str = "operator-token-that-only-tests-know";

/// Requests made up per operation and phase.
fn examples() -> &'static str {
    let full = std::env::var_os("CAMBIST_TEST_FULL").is_some();
    if full { "200" } else { "5" }
}

struct Fuzzed {
    program: Program,
    running: Running,
    user: User,
    folder: tempfile::TempDir,
}

/// A system with a user who has money, coins and orders.
async fn given() -> Fuzzed {
    let folder = tempfile::tempdir().unwrap();
    let tokens = format!("wallet={WALLET_TOKEN},operator:ann={OPERATOR_TOKEN}");
    let program = cambist(&folder).with("CAMBIST_INTERNAL_TOKENS", &tokens);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let order = placed(&user.buy("30", None).await);
    user.order_at_its_end(order).await;
    Fuzzed {
        program,
        running,
        user,
        folder,
    }
}

impl Fuzzed {
    /// Lets schemathesis loose on the document at `base`.
    async fn fuzz(&self, base: &str, token: &str, more: &[&str]) {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi/schemathesis.toml");
        let output = tool("schemathesis")
            .args(["--config-file", config, "run", &format!("{base}/openapi.json")])
            .args(["--seed", "20260102", "--generation-database", "none"])
            .args(["--max-examples", examples(), "--no-color"])
            .args(more)
            .env("USER_TOKEN", &self.user.token)
            .env("CALLER_TOKEN", token)
            .current_dir(self.folder.path())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let erred = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{erred}\n{}", self.program.log());
    }

    /// Stops it; the findings of the audit then.
    async fn findings(self) -> Vec<String> {
        let Self {
            program,
            running,
            folder: _folder,
            ..
        } = self;
        assert_eq!(running.terminate().await, Some(0), "{}", program.log());
        let (code, report, err) = program.run(&["audit"]).await;
        assert!(matches!(code, Some(0 | 1)), "{report}{err}");
        let findings: Vec<_> = report
            .lines()
            .filter(|line| line.starts_with('✗'))
            .map(str::to_owned)
            .collect();
        assert_eq!(findings.is_empty(), code == Some(0), "{report}");
        findings
    }

    /// Inside, callers are trusted to tell of orders that exist. Of those that were made up the audit finds every one, and
    /// what they did to the hot wallet; that is all it may find: the books themselves balance.
    async fn assert_only_orders_that_nobody_placed(self) {
        let others: Vec<_> = self
            .findings()
            .await
            .into_iter()
            .filter(|it| !it.ends_with("there is no such order") && !it.starts_with("✗ hot wallet holds"))
            .collect();
        assert_eq!(others, Vec::<String>::new());
    }
}

#[tokio::test]
async fn nothing_made_up_breaks_the_public_side() {
    let system = given().await;
    system.fuzz(system.running.api.address(), "unused", &[]).await;
    assert_eq!(system.findings().await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_an_operator_makes_up_breaks_the_internal_side() {
    let system = given().await;
    system.fuzz(&system.running.internal, OPERATOR_TOKEN, &[]).await;
    system.assert_only_orders_that_nobody_placed().await;
}

/// What is for services only: an operator is answered 403 there, whatever else is sent.
#[tokio::test]
async fn nothing_the_wallet_makes_up_breaks_its_neighbours() {
    let system = given().await;
    let only = [
        "--include-path-regex",
        "^/(exchanger|bc_gateway)/(rulings|retries|steps)",
    ];
    system.fuzz(&system.running.internal, WALLET_TOKEN, &only).await;
    system.assert_only_orders_that_nobody_placed().await;
}
