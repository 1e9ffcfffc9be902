//! The arguments of `cambist ops`, with an example in the help of each verb.

use clap::{Arg, ArgAction, Command, value_parser};
use contracts::operators::MAX_REASON;
use contracts::{OrderId, ServiceName, UserId};
use service_kit::extract::PageLimit;

use crate::cli::json;

pub(super) const URL: &str = "url";
pub(super) const ORDER: &str = "order";
pub(super) const USER: &str = "user";
pub(super) const REASON: &str = "reason";
pub(super) const EVIDENCE: &str = "evidence";
pub(super) const LIMIT: &str = "limit";
pub(super) const CURSOR: &str = "cursor";
pub(super) const STATE: &str = "state";
pub(super) const MIN_AGE: &str = "min-age";
pub(super) const OUTCOME: &str = "outcome";
pub(super) const ATTEMPT: &str = "attempt";
pub(super) const FILL: &str = "fill";
pub(super) const VENUE_REFERENCE: &str = "venue-reference";
pub(super) const TRANSACTION: &str = "transaction";
pub(super) const STEP: &str = "step";
pub(super) const SERVICE: &str = "service";
pub(super) const LETTER: &str = "letter";
pub(super) const AMOUNT: &str = "amount";
pub(super) const CURRENCY: &str = "currency-code";
pub(super) const REFERENCE: &str = "reference";

/// The services that have dead letters.
pub(super) const WITH_LETTERS: [ServiceName; 4] = [
    ServiceName::Wallet,
    ServiceName::Exchanger,
    ServiceName::BcGateway,
    ServiceName::Notification,
];

/// `cambist ops` with its verbs.
#[must_use]
pub fn command() -> Command {
    Command::new("ops")
        .about("What operators do: look at orders, retry, resolve, freeze, replay, book deposits")
        .long_about(
            "Asks a running Cambist over its internal listener. The token is the setting internal_token, or the one that \
             `cambist up` keeps in its data directory; the name that belongs to it is recorded with every act, and with \
             it the reason you give. Every verb may be repeated: what was done is not done again.\n\n\
             Example: see what needs you\n  cambist ops sagas --state stuck\n  cambist ops dead-letters",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new(URL)
                .long(URL)
                .value_name("URL")
                .global(true)
                .help("The internal listener of a Cambist in one process [default: http:// and the setting internal_listen; services \
                       that run apart are where wallet_url, exchanger_url and the others say]"),
        )
        .subcommands(about_orders())
        .subcommands(about_transfers())
        .subcommands(about_users())
        .subcommands(about_letters())
}

fn about_orders() -> [Command; 4] {
    [
        Command::new("sagas")
            .about("List the orders that are not at their end, oldest first")
            .long_about(
                "Lists the orders that are not at their end, oldest first.\n\n\
                 Example: those that are stuck, and those that took longer than an hour\n  \
                 cambist ops sagas --state stuck\n  cambist ops sagas --min-age 3600",
            )
            .arg(
                Arg::new(STATE)
                    .long(STATE)
                    .value_name("STATE")
                    .help("Only these: stuck, created, exchanging, withdrawing, reversing, releasing, stuck_exchanging, …"),
            )
            .arg(
                number(MIN_AGE, "SECONDS", "Only those accepted at least so long ago").value_parser(value_parser!(u64)),
            )
            .args(paging())
            .arg(json()),
        Command::new("saga")
            .about("Show one order: its step, its log, and what operators did")
            .long_about(
                "Shows one order with its current step as the service that does it has it, its log, and what operators did. \
                 The step names the attempt that `resolve` asks for.\n\n\
                 Example\n  cambist ops saga 7",
            )
            .arg(order())
            .arg(json()),
        Command::new("retry")
            .about("Try an order's current step again at once")
            .long_about(
                "Tries an order's current step again at once. It sends nothing outside twice and is harmless when nothing \
                 is wrong. It is the way out of stuck_releasing, once the hot wallet has the money again, and of \
                 stuck_reversing, once the venue takes orders again.\n\n\
                 Example\n  cambist ops retry 7 --reason \"the venue is back, says its status page\"",
            )
            .arg(order())
            .arg(step())
            .arg(reason())
            .arg(json()),
        resolve(),
    ]
}

fn about_transfers() -> [Command; 2] {
    [
        Command::new("transfers")
            .about("List the transfers on the chain that are not at their end, oldest first")
            .long_about(
                "Lists the transfers on the chain that are not at their end, oldest first: those of orders, and withdrawals \
                 that were taken back, which no order waits for.\n\n\
                 Example\n  cambist ops transfers",
            )
            .args(paging())
            .arg(json()),
        Command::new("transfer")
            .about("Show a step of one order on the chain, and what operators did to it")
            .long_about(
                "Shows one step of an order as bc_gateway has it, at its end or not, and what operators did to it.\n\n\
                 Example: a withdrawal that is taken back\n  cambist ops transfer 7 --step withdraw-back",
            )
            .arg(order())
            .arg(step().default_value("withdraw"))
            .arg(json()),
    ]
}

fn resolve() -> Command {
    Command::new("resolve")
        .about("Say what became of an attempt whose outcome cannot be had")
        .long_about(
            "Records what became of an attempt at the venue or on the chain, when it cannot be had from there and you know it \
             from elsewhere. The order then goes on by itself. What is recorded is final: say it only with evidence in \
             hand; a venue or a chain that answers is asked first, and believed. `cambist ops saga` names the attempt. Of a \
             reversal that the venue has refused, `executed` says what was got elsewhere for all that is left.\n\n\
             Examples\n  \
             cambist ops resolve 7 executed --attempt cambist-5eed0001-7-exchange-1 \\\n      \
             --fill 3@10 --venue-reference 99812 --evidence \"statement of 22 Nov, line 4\"\n  \
             cambist ops resolve 7 not-executed --attempt cambist-5eed0001-7-exchange-1 \\\n      \
             --evidence \"mail from the venue, ticket 311\"\n  \
             cambist ops resolve 7 confirmed --transaction 5f0c… --evidence \"block 8812 in two explorers\"\n  \
             cambist ops resolve 7 never-confirms --evidence \"nonce used by the refill of 22 Nov\"\n  \
             cambist ops resolve 7 never-confirms --step withdraw-back --evidence \"nonce used by ticket 88\"",
        )
        .arg(order())
        .arg(step())
        .arg(
            Arg::new(OUTCOME)
                .required(true)
                .value_name("OUTCOME")
                .value_parser(["executed", "not-executed", "confirmed", "never-confirms"])
                .help("Of a venue's order: executed or not-executed; of a transfer: confirmed or never-confirms"),
        )
        .arg(
            Arg::new(ATTEMPT)
                .long(ATTEMPT)
                .value_name("NAME")
                .help("The order's name at the venue, as `cambist ops saga` shows it"),
        )
        .arg(
            Arg::new(FILL)
                .long(FILL)
                .value_name("QUANTITY@PRICE[+FEE]")
                .action(ArgAction::Append)
                .help("A part that was executed, for example 3@10+0.05; once for each"),
        )
        .arg(
            Arg::new(VENUE_REFERENCE)
                .long(VENUE_REFERENCE)
                .value_name("NUMBER")
                .help("The venue's own number of the order"),
        )
        .arg(
            Arg::new(TRANSACTION)
                .long(TRANSACTION)
                .value_name("HASH")
                .help("The transfer's hash, as `cambist ops saga` shows it"),
        )
        .arg(
            Arg::new(EVIDENCE)
                .long(EVIDENCE)
                .required(true)
                .value_name("TEXT")
                .help(format!("How you know: at most {MAX_REASON} characters, kept for good")),
        )
        .arg(json())
}

fn about_users() -> [Command; 4] {
    [
        Command::new("freeze")
            .about("Freeze a user: nothing of theirs is answered but 403")
            .long_about(
                "Freezes a user at once: every public route of theirs answers 403 (user_frozen). They can still log in, and \
                 orders in flight go on to their end.\n\n\
                 Example\n  cambist ops freeze 2 --reason \"card reported stolen, case 118\"",
            )
            .arg(user())
            .arg(reason())
            .arg(json()),
        Command::new("unfreeze")
            .about("Lift a user's freeze")
            .long_about(
                "Lifts a user's freeze. One who is not frozen stays as they are.\n\n\
                 Example\n  cambist ops unfreeze 2 --reason \"case 118 closed: card was found\"",
            )
            .arg(user())
            .arg(reason())
            .arg(json()),
        Command::new("frozen")
            .about("List frozen users, or show one with what was done before")
            .long_about(
                "Lists frozen users, or shows one with everything that was done before.\n\n\
                 Examples\n  cambist ops frozen\n  cambist ops frozen 2",
            )
            .arg(user().required(false))
            .args(paging())
            .arg(json()),
        Command::new("deposit")
            .about("Book a payment that arrived for a user")
            .long_about(
                "Books a payment that arrived for a user. The reference names the payment: repeating it books nothing again, \
                 and another amount under it is refused.\n\n\
                 Example\n  cambist ops deposit 2 600 --reference SEPA-88121 --reason \"bank statement of 22 Nov\"",
            )
            .arg(user())
            .arg(
                Arg::new(AMOUNT)
                    .required(true)
                    .value_name("AMOUNT")
                    .allow_negative_numbers(true)
                    .help("How much, for example 600 or 600.50"),
            )
            .arg(
                Arg::new(CURRENCY)
                    .long("currency")
                    .value_name("CODE")
                    .default_value("USD")
                    .help("Of which currency"),
            )
            .arg(
                Arg::new(REFERENCE)
                    .long(REFERENCE)
                    .required(true)
                    .value_name("TEXT")
                    .help("The payment's own name: at most 64 characters, once for a user"),
            )
            .arg(reason())
            .arg(json()),
    ]
}

fn about_letters() -> [Command; 2] {
    let service = || {
        Arg::new(SERVICE)
            .value_name("SERVICE")
            .value_parser(WITH_LETTERS.map(ServiceName::as_str))
    };
    [
        Command::new("dead-letters")
            .about("List messages and commands that nobody could make sense of")
            .long_about(
                "Lists messages and commands that nobody could make sense of and that wait for you, with what was wrong.\n\n\
                 Examples\n  cambist ops dead-letters\n  cambist ops dead-letters exchanger",
            )
            .arg(service().help("Only this service's; all without"))
            .args(paging())
            .arg(json()),
        Command::new("replay")
            .about("Put a dead letter on its way again")
            .long_about(
                "Puts a dead letter on its way again, once what was wrong is repaired. Receivers know what they have seen, \
                 so nothing is done twice. If it dies again, it is listed as a new letter.\n\n\
                 Example\n  cambist ops replay exchanger 3 --reason \"fixed by release 0.1.1\"",
            )
            .arg(service().required(true).help("Whose letter"))
            .arg(
                Arg::new(LETTER)
                    .required(true)
                    .value_name("LETTER")
                    .value_parser(value_parser!(i64).range(1..))
                    .help("Its number, as `cambist ops dead-letters` shows it"),
            )
            .arg(reason())
            .arg(json()),
    ]
}

fn order() -> Arg {
    Arg::new(ORDER)
        .required(true)
        .value_name("ORDER")
        .value_parser(value_parser!(OrderId))
        .help("The order's number")
}

fn step() -> Arg {
    Arg::new(STEP)
        .long(STEP)
        .value_name("STEP")
        .value_parser(["withdraw", "withdraw-back"])
        .help("A step on the chain by its name, instead of the one that the order is at")
}

fn user() -> Arg {
    Arg::new(USER)
        .required(true)
        .value_name("USER")
        .value_parser(value_parser!(UserId))
        .help("The user's number")
}

fn reason() -> Arg {
    Arg::new(REASON)
        .long(REASON)
        .required(true)
        .value_name("TEXT")
        .help(format!("Why: at most {MAX_REASON} characters, kept with your name"))
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn paging() -> [Arg; 2] {
    let most = i64::from(PageLimit::MAX);
    [
        number(LIMIT, "N", "How many at most [default: 20]").value_parser(value_parser!(u16).range(1..=most)),
        number(CURSOR, "N", "Go on after this, as the page before said").value_parser(value_parser!(i64)),
    ]
}
