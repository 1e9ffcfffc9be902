//! The command line: which commands there are, and how errors are told.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, Command};
use contracts::ServiceName;
use service_kit::settings::with_flags;

use crate::system::Role;

/// The name of the flag that asks for machine-readable output.
pub const JSON: &str = "json";

/// The name of the argument that says which service.
pub const SERVICE: &str = "service";

/// The name of the flag that leaves out the pauses.
pub const FAST: &str = "fast";

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    let command = Command::new("cambist")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Buy and sell crypto for fiat: accounts, ledger, orders, withdrawals, notifications.")
        .long_about(
            "Cambist is the backend behind a \"Buy bitcoin\" button: accounts and login, wallets, a double-entry \
             ledger, orders executed at an exchange, withdrawals on a blockchain, notifications. No coin and no cent is \
             ever lost, doubled or left unexplained, whatever crashes.",
        )
        .after_help(
            "Start with `cambist up`; it prints lines of curl to try. Every setting is a flag, an environment variable \
             (CAMBIST_…) and a key of cambist.toml: `cambist help up` lists them, `cambist config` shows what is in \
             force.",
        )
        .styles(
            Styles::styled()
                .header(AnsiColor::Green.on_default().bold())
                .usage(AnsiColor::Green.on_default().bold())
                .literal(AnsiColor::Cyan.on_default()),
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("up").about("Run everything in one process, on the embedded database").long_about(
                "Runs all six services and their workers in one process, on the embedded database under ./data, which \
                 is created and upgraded where needed, or on a PostgreSQL server (CAMBIST_DATABASE_URL). Ctrl-C or SIGTERM \
                 stops it cleanly; after any other end it picks up where it was.",
            ),
        )
        .subcommand(serve())
        .subcommand(work())
        .subcommand(simulate())
        .subcommand(demo())
        .subcommand(
            Command::new("migrate").about("Create or upgrade the schema, and fund the hot wallet of a new one").long_about(
                "Applies the schema changes that are missing, creates the hot wallet (user 1) and funds it from the \
                 treasury. On PostgreSQL it makes a schema and a role for each service. Running it again changes nothing, \
                 and two at once are safe.",
            ),
        )
        .subcommand(
            Command::new("audit")
                .about("Prove that the books balance and no order is unexplained; exit 1 and a list if not")
                .long_about(
                    "Reads one consistent snapshot of the database, beside a running process or without one, and checks \
                     what must always be true: debits equal credits, nobody is below zero, every balance is the sum of \
                     its bookings, every order's bookings are exactly what its end says, replaying an order's events \
                     gives its state, and the hot wallet holds what it was funded with plus what orders in flight hold.",
                )
                .arg(json()),
        )
        .subcommand(crate::commands::ops::command())
        .subcommand(bench())
        .subcommand(
            Command::new("config").about("Show the settings in force and where each comes from, secrets masked").arg(json()),
        );
    with_flags(command)
}

fn serve() -> Command {
    Command::new("serve")
        .about("Run one service's API as a process of its own, on PostgreSQL and NATS")
        .long_about(
            "Runs the API of one service: the public routes on --listen where it has any (auth, wallet), the internal ones \
             and the probes on --internal-listen. Its tables are on a PostgreSQL server (CAMBIST_DATABASE_URL) that \
             `cambist migrate` has prepared, its queues on NATS (CAMBIST_NATS_URL). As many as wanted may run at once. \
             SIGTERM stops it when what is in flight is answered.",
        )
        .arg(one_of(&ServiceName::ALL))
}

fn work() -> Command {
    Command::new("work")
        .about("Run one service's worker as a process of its own, on PostgreSQL and NATS")
        .long_about(
            "Runs the worker of one service on its queue: wallet moves orders on, exchanger trades, bc_gateway transfers, \
             notification tells users. Probes and metrics are on --internal-listen. As many as wanted may run at once, and \
             any of them may die at any time. SIGTERM stops it when what is in hand is done or handed back.",
        )
        .arg(one_of(&Role::WITH_WORKER))
}

fn one_of(services: &'static [ServiceName]) -> Arg {
    let names = services.iter().map(|service| service.as_str()).collect::<Vec<_>>();
    Arg::new(SERVICE)
        .value_name("SERVICE")
        .required(true)
        .value_parser(names)
        .help("Which service")
}

fn simulate() -> Command {
    Command::new("simulate")
        .about("Run the simulated venue and chain as a process of their own, for services that run apart")
        .long_about(
            "Runs what `up` has inside, for processes that share it: the simulated venue and the simulated chain, with books \
             of their own under ./data, on --internal-listen. Whoever uses them names http://that-address/venue and /chain in \
             CAMBIST_VENUE_URL and CAMBIST_CHAIN_URL. CAMBIST_INTERNAL_TOKENS says who may come in (exchanger, bc_gateway, operators); \
             CAMBIST_CHAIN_SEED is the one that bc_gateway has. One process at a time; whatever ends it, it remembers what \
             it has said.",
        )
}

fn bench() -> Command {
    let number = |name: &'static str, value: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .default_value(default)
            .value_parser(clap::value_parser!(u32).range(1..))
            .help(help)
    };
    Command::new("bench")
        .about("Measure how many orders a second this machine completes, over real HTTP")
        .long_about(
            "Starts a fresh instance (`cambist up`, a process of its own) in a temporary folder on disk, sets up users who \
             register, log in, deposit and buy, and then keeps orders in flight: half of them buys, half of them sells. An \
             order is in flight from its request until its user's notification is delivered. The clock runs from the first \
             request until nothing is in flight any more. Ends with the audit. Flags for settings go to that instance; the \
             environment and cambist.toml do not. Exit 1 when anything was left in flight or the audit finds anything.",
        )
        .arg(
            Arg::new("url")
                .long("url")
                .value_name("URL")
                .help("Load a running instance instead, for example http://127.0.0.1:8000. From outside neither its memory \
                       nor its books can be seen: then a request is in flight until it is answered, there is no audit, \
                       and its users must be allowed to book deposits"),
        )
        .arg(number("in-flight", "ORDERS", "1000", "How many orders are kept in flight"))
        .arg(number("seconds", "SECONDS", "10", "How long new orders are placed"))
        .arg(number("users", "USERS", "100", "How many users place them; each is registered and logged in first"))
        .arg(
            Arg::new("keep")
                .long("keep")
                .action(ArgAction::SetTrue)
                .help("Keep the temporary folder, to look at books and mails"),
        )
        .arg(json())
}

fn demo() -> Command {
    let fast = Arg::new(FAST)
        .long(FAST)
        .action(ArgAction::SetTrue)
        .help("Leave out the pauses that a terminal gets");
    Command::new("demo")
        .about("Show a user's day: register, deposit, buy, sell, an order that fails, and the audit")
        .long_about(
            "Starts a fresh instance in this process, on ports and in a folder of its own, and shows a user's day on it \
             by real HTTP: each step of an order as its event arrives, each booking as the books have it, the mails, an \
             order that fails and is undone, and the audit. It takes no settings, changes nothing of yours and leaves \
             nothing behind. Exit 1 when the audit finds anything.",
        )
        .arg(json().help("Print one JSON object a line on standard output"))
        .arg(fast)
}

/// The flag that asks for machine-readable output.
pub(crate) fn json() -> Arg {
    Arg::new(JSON)
        .long(JSON)
        .action(ArgAction::SetTrue)
        .help("Print one JSON object on standard output")
}

/// Tells a person why the command failed, cause after cause, on standard error.
pub fn complain(error: &anyhow::Error) {
    use std::io::Write as _;
    // Nothing sensible is left to do when standard error is closed.
    let _ = writeln!(std::io::stderr(), "cambist: {error:#}");
}
