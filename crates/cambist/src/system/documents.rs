//! What the two OpenAPI documents say of themselves.

use service_kit::openapi::About;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// For users and the programs they use.
pub(super) const PUBLIC: About = About {
    title: "Cambist",
    version: VERSION,
    description: "Buy and sell crypto with fiat money. Register, log in, open a wallet, deposit, then buy and sell.\n\n\
                  Amounts are exact: send them as JSON numbers or as strings, read them as decimals. Every POST and \
                  PATCH that moves money takes an `Idempotency-Key`; repeating a request with its key is safe, whatever \
                  happened to the first. An order that is accepted (202) always comes to an end: read it, or wait for \
                  the mail. Every refusal is a problem (RFC 9457) with a stable `code`.",
    tags: &[
        ("accounts", "Who somebody is."),
        ("wallet", "What somebody has."),
        ("orders", "What somebody buys and sells."),
        ("documentation", "This."),
    ],
};

/// For the services among themselves, and for operators.
pub(super) const INTERNAL: About = About {
    title: "Cambist, internal",
    version: VERSION,
    description: "What the services ask each other and what operators may ask, each service under its name. Every \
                  route has its callers; probes, metrics and this document need no token. Never reachable from \
                  outside.",
    tags: &[
        ("auth", "Users, credentials, signing keys."),
        ("balance", "The double-entry ledger."),
        ("exchanger", "Orders at the external venue."),
        ("bc_gateway", "Addresses and transfers on a blockchain."),
        ("notification", "Messages to users."),
        ("wallet", "Orders, sagas, deposits."),
        ("probes", "What supervisors ask."),
        ("documentation", "This."),
    ],
};
