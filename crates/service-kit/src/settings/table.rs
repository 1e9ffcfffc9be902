//! The one table of all settings. A line here is a field of [`Settings`], an environment variable, a flag, a key of
//! `cambist.toml`, a line of `cambist config` and a row of the reference; there is no second place to forget.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use contracts::BasisPoints;
use contracts::money::DecimalText;

use super::secret::{CallerTokens, Secret, SecretUrl};
use super::smtp::SmtpUrl;
use super::source::{Gathered, SettingsError};
use super::value::{Deposits, LogFilter, LogFormat, ServiceUrl, Value};

/// What is known about a setting besides its value.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The name, as in `cambist.toml`: `request_timeout`.
    pub name: &'static str,
    /// The heading under which the reference lists it.
    pub group: &'static str,
    /// The default's text. `{data_dir}` stands for that setting's value.
    pub default: &'static str,
    /// What to write: `DURATION`.
    pub kind: &'static str,
    /// Whether it is taken from the environment or a file only, and masked whenever shown.
    pub secret: bool,
    help: &'static [&'static str],
    pub(super) shown: fn(&str) -> String,
}

impl Setting {
    /// What it does, in a sentence or two.
    #[must_use]
    pub fn help(&self) -> String {
        self.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The environment variable: `CAMBIST_REQUEST_TIMEOUT`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CAMBIST_{}", self.name.to_ascii_uppercase())
    }

    /// The flag without its dashes, `request-timeout`; `None` for secrets.
    #[must_use]
    pub fn flag(&self) -> Option<String> {
        (!self.secret).then(|| self.name.replace('_', "-"))
    }
}

macro_rules! settings {
    ($($group:literal { $($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:literal;)+ })+) => {
        /// Every setting, typed and checked.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(
                $(#[doc = $help])+
                pub $name: $type,
            )+)+
        }

        /// Every setting, in the order of the reference.
        pub static TABLE: &[Setting] = &[$($(Setting {
            name: stringify!($name),
            group: $group,
            default: $default,
            kind: <$type as Value>::KIND,
            secret: <$type as Value>::SECRET,
            help: &[$($help),+],
            shown: <$type as Value>::shown,
        },)+)+];

        impl Settings {
            pub(super) fn from_gathered(gathered: &Gathered) -> Result<Self, SettingsError> {
                Ok(Self { $($($name: gathered.value::<$type>(stringify!($name))?,)+)+ })
            }
        }
    };
}

settings! {
    "Addresses and data" {
        /// Address of the public listener.
        listen: SocketAddr = "127.0.0.1:8000";
        /// Address of the internal listener: other services, operators, probes. Never expose it.
        internal_listen: SocketAddr = "127.0.0.1:8001";
        /// Directory for everything this process keeps: the embedded database, generated secrets, mail as files.
        data_dir: PathBuf = "./data";
        /// Where the books are: `sqlite:PATH` or `postgres://user:password@host/name`.
        database_url: SecretUrl = "sqlite:{data_dir}/cambist.db";
        /// How many connections to the database a process keeps for each service that it runs, where it is a server.
        database_connections: NonZeroUsize = "8";
        /// Where the queues are, for services that run apart: `nats://user:password@host:4222`, `nats://token@host`,
        /// `tls://host`; several servers of one cluster are parted by commas. Empty: inside this process.
        nats_url: Option<SecretUrl> = "";
        /// A file with the credentials for NATS (`.creds`), in place of those in `nats_url`.
        nats_credentials_file: Option<PathBuf> = "";
        /// A file with the certificates (PEM) of whoever vouches for the NATS servers, in place of the public authorities.
        nats_ca_file: Option<PathBuf> = "";
        /// How many NATS servers keep each queue: 1 to 5. Counts when the queue is made.
        nats_replicas: NonZeroU32 = "1";
        /// How long a start waits for a database or a NATS server that is not there yet.
        start_patience: Duration = "10s";
        /// Where mail goes: `smtp://user:password@host:587?tls=required` (STARTTLS), `smtps://user:password@host`, or
        /// `smtp://host` for a server nearby without encryption. Empty: `.eml` files under `data_dir`.
        smtp_url: Option<SmtpUrl> = "";
        /// Internal address of `auth`, when it runs apart.
        auth_url: Option<ServiceUrl> = "";
        /// Internal address of `balance`, when it runs apart.
        balance_url: Option<ServiceUrl> = "";
        /// Internal address of `exchanger`, when it runs apart.
        exchanger_url: Option<ServiceUrl> = "";
        /// Internal address of `bc_gateway`, when it runs apart.
        bc_gateway_url: Option<ServiceUrl> = "";
        /// Internal address of `notification`, when it runs apart.
        notification_url: Option<ServiceUrl> = "";
        /// Internal address of `wallet`, when it runs apart: for `cambist ops`; no service calls it.
        wallet_url: Option<ServiceUrl> = "";
        /// Where the venue is: `http://host:8001/venue` of a `cambist simulate`, which knows this process's token as
        /// `exchanger`'s or an operator's. Empty: simulated inside this process.
        venue_url: Option<ServiceUrl> = "";
        /// Where the chain is: `http://host:8001/chain` of a `cambist simulate`, which knows this process's token as
        /// `bc_gateway`'s or an operator's. Empty: simulated inside this process.
        chain_url: Option<ServiceUrl> = "";
    }
    "Mail" {
        /// The sender of mail. Its domain is also the name by which this process greets the mail server, and part of
        /// each message id.
        mail_from: String = "Cambist <cambist@localhost>";
        /// A file with the certificates (PEM) of whoever vouches for the mail server, in place of the public authorities.
        smtp_ca_file: Option<PathBuf> = "";
        /// How long the mail server may take until it is ready for mail: connection, encryption and login.
        smtp_connect_timeout: Duration = "5s";
        /// How long the mail server may take for its consent to a mail, and as long again for its answer once it has the
        /// mail. If that answer does not come, nobody knows whether the mail will arrive; it is sent once more. Patience
        /// is better than a second mail, but `command_lease` must be longer than `smtp_connect_timeout` and twice this.
        smtp_timeout: Duration = "10s";
        /// How many connections to the mail server may be open, and mails under way, at once.
        smtp_connections: NonZeroUsize = "8";
    }
    "Logs and traces" {
        /// Which log lines are written: a level, or levels per module (`info,exchanger=debug`).
        log: LogFilter = "info";
        /// How log lines look: for people, as JSON, or by whether standard error is a terminal.
        log_format: LogFormat = "auto";
        /// Where traces go: an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`. One trace
        /// for each order, over all services. Empty: none are made.
        otlp_endpoint: Option<ServiceUrl> = "";
    }
    "Access" {
        /// The token this process presents to other services. `up` makes one at its first start.
        internal_token: Option<Secret> = "";
        /// Who may call the internal listener: `NAME=TOKEN`, separated by commas. A name is a service, or
        /// `operator:` and a person's name, which the audit log will show.
        internal_tokens: CallerTokens = "";
        /// How long an access token is valid.
        token_ttl: Duration = "15m";
        /// The issuer named in access tokens.
        token_issuer: String = "cambist";
        /// The audience named in access tokens.
        token_audience: String = "cambist";
        /// How many verified access tokens are remembered.
        token_cache: NonZeroUsize = "100000";
        /// Failed logins of one account after which it is closed for `login_window`.
        login_failures: NonZeroU32 = "10";
        /// How long failed logins of an account are counted.
        login_window: Duration = "15m";
        /// How many passwords are hashed at the same time; each takes 19 MiB and a core.
        password_hashers: NonZeroUsize = "2";
        /// Who books deposits: users their own (`self`, the default of `up`), or only the internal side.
        deposits: Deposits = "operator";
    }
    "Limits" {
        /// Registrations and logins per minute from one address; 0 for no limit.
        requests_per_minute: u32 = "60";
        /// Requests worked on at the same time; more are answered 503 at once.
        max_in_flight: NonZeroUsize = "4096";
        /// Open connections per listener; more wait to be accepted.
        max_connections: NonZeroUsize = "8192";
        /// Streams of order events that are open at the same time; more are answered 503.
        max_streams: NonZeroUsize = "1024";
        /// Streams of order events that one user may have open at the same time; more are answered 429.
        max_streams_per_user: NonZeroUsize = "16";
        /// How long a request may take, its body included.
        request_timeout: Duration = "10s";
        /// How long a connection may take to send a request's headers, or stay idle.
        header_timeout: Duration = "15s";
        /// How long in-flight work may take to finish after a signal to stop.
        drain_timeout: Duration = "20s";
        /// Messages that wait in one queue inside this process, before its senders wait too.
        queue_capacity: NonZeroUsize = "8192";
    }
    "Orders" {
        /// How long a new order waits for its hold to be decided before it is answered as pending.
        hold_wait: Duration = "2s";
        /// How long a worker owns a command before another may take it.
        command_lease: Duration = "30s";
        /// How many orders a trade may send to the venue, each after proof that the one before was not executed, and how
        /// many in a row that sell nothing a reversal may send before an operator is asked.
        max_attempts: NonZeroU32 = "3";
        /// How long an outside answer may be unknown before the order counts as stuck.
        stuck_after: Duration = "30s";
        /// How often a worker looks for unfinished rows of its own.
        sweep_interval: Duration = "1s";
        /// How long an idempotency key is remembered.
        idempotency_retention: Duration = "7d";
    }
    "Funding of the hot wallet" {
        /// Fiat that `migrate` moves from the treasury into a new hot wallet.
        funding_fiat: DecimalText = "1000";
        /// Crypto that `migrate` moves from the treasury into a new hot wallet.
        funding_crypto: DecimalText = "1000";
    }
    "Venue" {
        /// The venue's name in the books (`venue:{name}`).
        venue_name: String = "sim";
        /// How long an order at the venue may be executed. Ends before `command_lease`.
        venue_expiry: Duration = "5s";
        /// How long an answer of the venue is waited for.
        venue_timeout: Duration = "3s";
        /// How long after its expiry an order that the venue took may still be invisible there.
        venue_engine_timeout: Duration = "5s";
        /// How far the clocks of the venue's own computers may be apart. Only the venue's time proves that an order is absent.
        venue_skew: Duration = "2s";
    }
    "Simulated venue" {
        /// What the chance of the simulated venue and of the simulated chain is drawn from. The same seed and the same
        /// orders meet the same fate, in whatever order they come and after a restart.
        venue_seed: u64 = "0";
        /// Fiat per unit of crypto, in the middle of the market.
        venue_price: DecimalText = "10";
        /// By how much of `venue_price` the price goes up with each order, or down where negative. After 1,000 orders it
        /// goes back the way it came.
        venue_drift_bp: i16 = "0";
        /// By how much of `venue_price` it goes further up or down with each order, at most; drawn evenly.
        venue_volatility_bp: BasisPoints = "0";
        /// How far the venue buys below and sells above the price.
        venue_spread_bp: BasisPoints = "0";
        /// The venue's fee, of the fiat side of a trade.
        venue_fee_bp: BasisPoints = "0";
        /// How long every answer of the venue takes.
        venue_latency: Duration = "0ms";
        /// Of 10,000 orders, how many are answered late, although executed.
        venue_slow_bp: BasisPoints = "0";
        /// How late.
        venue_slow_by: Duration = "1s";
        /// Of 10,000 orders, how many the venue refuses.
        venue_refuse_bp: BasisPoints = "0";
        /// Of 10,000 orders, how many it takes and fills nothing of.
        venue_nothing_filled_bp: BasisPoints = "0";
        /// Of 10,000 orders, how many it fills in part, by an evenly drawn share.
        venue_partial_bp: BasisPoints = "0";
        /// Of 10,000 orders, how many it executes without ever answering; asked about them, it knows them.
        venue_executed_but_timed_out_bp: BasisPoints = "0";
        /// Of 10,000 orders, how many it neither executes nor answers.
        venue_timed_out_not_executed_bp: BasisPoints = "0";
        /// Of 10,000 orders, how many it executes without answering, and at first knows nothing of when asked.
        venue_not_yet_visible_bp: BasisPoints = "0";
        /// For how long. Shorter than `venue_engine_timeout`, or the venue breaks its word.
        venue_hidden_for: Duration = "1s";
    }
    "Chain" {
        /// The seed of all keys that hold coins on the chain. `up` makes one at its first start.
        chain_seed: Option<Secret> = "";
        /// How long one answer of the chain is waited for. A worker asks several times under one lease, so `command_lease`
        /// must be longer than five times this.
        chain_timeout: Duration = "5s";
        /// Coins of each crypto at the hot wallet's address in the simulated chain's first block. Ample, because the
        /// simulated venue settles in the books only and delivers no coins to that address.
        chain_genesis: DecimalText = "1000000000";
    }
    "Simulated chain" {
        /// How long every call to the chain takes.
        chain_latency: Duration = "0ms";
        /// Of 10,000 transfers, how many the chain refuses before they are signed.
        chain_refuse_bp: BasisPoints = "0";
        /// Of 10,000 broadcasts, how many it says to have taken, and loses.
        chain_lost_broadcast_bp: BasisPoints = "0";
        /// Of 10,000 broadcasts, how many it takes without saying so.
        chain_unknown_but_taken_bp: BasisPoints = "0";
        /// Of 10,000 broadcasts, how many it neither takes nor answers.
        chain_unknown_not_taken_bp: BasisPoints = "0";
        /// Of 10,000 broadcasts, how many it confirms late.
        chain_late_bp: BasisPoints = "0";
        /// How late, at most; drawn evenly.
        chain_late_by: Duration = "2s";
        /// Of 10,000 broadcasts, how many it confirms in a block that a reorganisation undoes.
        chain_reorganise_bp: BasisPoints = "0";
    }
}
