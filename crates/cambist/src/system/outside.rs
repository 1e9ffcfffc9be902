//! The world outside: a venue and a chain that are simulated, with books of their own, in this process or in another
//! (`venue_url`, `chain_url`), and mail by SMTP or as files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bc_gateway::Custody;
use bc_gateway::chain::remote::RemoteChain;
use bc_gateway::chain::simulated::{RandomManners as ChainManners, Rates as ChainRates, SimulatedChain};
use bc_gateway::ports::Chain;
use contracts::{Amount, Asset, AssetKind, Clock, Entropy, Price, UserId};
use exchanger::ports::{Venue, VenueName};
use exchanger::venue::remote::RemoteVenue;
use exchanger::venue::simulated::{Course, Market, RandomManners as VenueManners, Rates as VenueRates, SimulatedVenue};
use notification::mailer::{EmlMailer, Sender, SmtpMailer, SmtpServer};
use notification::ports::Mailer;
use service_kit::settings::{MailSecurity, ServiceUrl, Settings};
use storage::sqlite::Database;
use transport::http::{Options, Peer};

use crate::simulators::{CHAIN, VENUE};

/// A file of certificates may have as much; all public authorities together take a quarter.
const MAX_AUTHORITIES_BYTES: u64 = 1024 * 1024;

/// Venue, chain and mail.
#[derive(Clone)]
pub struct Outside {
    /// Where orders are executed.
    pub venue: Arc<dyn Venue>,
    /// Where crypto is sent.
    pub chain: Arc<dyn Chain>,
    /// How users are told.
    pub mailer: Arc<dyn Mailer>,
    /// What the simulators keep their books in. The process ends when they fail, as it does with its own.
    pub books: Vec<Database>,
}

impl Outside {
    /// All three, as the settings describe them.
    ///
    /// # Errors
    /// Settings that make no sense together, or files that cannot be used.
    pub fn open(
        settings: &Settings,
        custody: &Custody,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let (venue, venue_books) = venue(settings, clock, entropy)?;
        let (chain, chain_books) = chain(settings, custody, clock, entropy)?;
        Ok(Self {
            venue,
            chain,
            mailer: mailer(settings, entropy.as_ref())?,
            books: venue_books.into_iter().chain(chain_books).collect(),
        })
    }
}

/// The venue that the settings describe: at `venue_url`, or simulated here, under the data directory, with books of its own.
///
/// # Errors
/// Settings that make no sense together, or files that cannot be used.
pub fn venue(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<(Arc<dyn Venue>, Option<Database>)> {
    if let Some(url) = &settings.venue_url {
        let peer = way_to(VENUE, url, settings.venue_timeout, settings, entropy)?;
        return Ok((Arc::new(RemoteVenue::new(venue_name(settings)?, peer)), None));
    }
    let venue = simulated_venue(settings, clock)?;
    let books = venue.database().clone();
    Ok((Arc::new(venue), Some(books)))
}

/// The chain that the settings describe: at `chain_url`, or simulated here, under the data directory, with books of its own.
///
/// # Errors
/// Settings that make no sense together, or files that cannot be used.
pub fn chain(
    settings: &Settings,
    custody: &Custody,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<(Arc<dyn Chain>, Option<Database>)> {
    if let Some(url) = &settings.chain_url {
        let peer = way_to(CHAIN, url, settings.chain_timeout, settings, entropy)?;
        return Ok((Arc::new(RemoteChain::new(&peer)), None));
    }
    let chain = simulated_chain(settings, custody, clock)?;
    let books = chain.database().clone();
    Ok((Arc::new(chain), Some(books)))
}

/// The way to the simulator of this name in another process. `patience` is how long one of its answers is waited for.
fn way_to(
    name: &'static str,
    url: &ServiceUrl,
    patience: Duration,
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<Peer> {
    let token = settings.internal_token.as_ref().with_context(|| {
        format!(
            "{name}_url leads to another process, which asks who calls: write the token of this one in internal_token"
        )
    })?;
    let usual = Options::default();
    let options = Options {
        connect_timeout: usual.connect_timeout.min(patience),
        attempt_timeout: patience,
        // Whoever asks stops waiting before that; what it is for is bounded all the same.
        call_timeout: patience.saturating_mul(2),
        ..usual
    };
    Peer::try_new(name, url.as_str(), token.expose(), options, Arc::clone(entropy))
        .with_context(|| format!("{name}_url"))
}

fn venue_name(settings: &Settings) -> anyhow::Result<VenueName> {
    VenueName::try_new(&settings.venue_name).context("venue_name")
}

/// The venue that is simulated in this process.
pub(crate) fn simulated_venue(settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<SimulatedVenue> {
    let market = Market {
        price: Price::parse(settings.venue_price.text()).context("venue_price")?,
        spread: settings.venue_spread_bp,
        fee: settings.venue_fee_bp,
    };
    let rates = VenueRates {
        refuse: settings.venue_refuse_bp,
        partial: settings.venue_partial_bp,
        fill_nothing: settings.venue_nothing_filled_bp,
        executed_but_timed_out: settings.venue_executed_but_timed_out_bp,
        timed_out_not_executed: settings.venue_timed_out_not_executed_bp,
        not_yet_visible: settings.venue_not_yet_visible_bp,
        hidden_for: settings.venue_hidden_for,
        slow: settings.venue_slow_bp,
        slow_by: settings.venue_slow_by,
    };
    let course = Course {
        seed: settings.venue_seed,
        drift: settings.venue_drift_bp,
        volatility: settings.venue_volatility_bp,
    };
    let manners = VenueManners::try_new(settings.venue_seed, rates, settings.venue_latency, course)
        .context("the venue's rates")?;
    let path = settings.data_dir.join("venue.db");
    Ok(SimulatedVenue::try_open(
        &path,
        venue_name(settings)?,
        market,
        Arc::new(manners),
        Arc::clone(clock),
    )?)
}

/// The chain that is simulated in this process.
pub(crate) fn simulated_chain(
    settings: &Settings,
    custody: &Custody,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<SimulatedChain> {
    let rates = ChainRates {
        refuse_before_signing: settings.chain_refuse_bp,
        lost_broadcast: settings.chain_lost_broadcast_bp,
        unknown_but_taken: settings.chain_unknown_but_taken_bp,
        unknown_not_taken: settings.chain_unknown_not_taken_bp,
        late_confirmation: settings.chain_late_bp,
        late_by: settings.chain_late_by,
        reorganise: settings.chain_reorganise_bp,
    };
    let manners =
        ChainManners::try_new(settings.venue_seed, rates, settings.chain_latency).context("the chain's rates")?;
    let coins = Asset::KNOWN.iter().filter(|asset| asset.kind() == AssetKind::Crypto);
    let genesis: Vec<Amount> = coins
        .map(|asset| settings.chain_genesis.amount(*asset))
        .collect::<Result<_, _>>()
        .context("chain_genesis")?;
    let hot_wallet = custody.keys(SimulatedChain::NAME, UserId::HOT_WALLET);
    let path = settings.data_dir.join("chain.db");
    Ok(SimulatedChain::try_open(
        &path,
        &hot_wallet,
        genesis,
        Arc::clone(clock),
        Arc::new(manners),
    )?)
}

/// Mail as the settings describe it: by SMTP, or as files under the data directory.
///
/// # Errors
/// Settings that make no sense together, or files that cannot be used.
pub fn mailer(settings: &Settings, entropy: &dyn Entropy) -> anyhow::Result<Arc<dyn Mailer>> {
    let sender: Sender = settings.mail_from.parse().context("mail_from")?;
    let Some(url) = settings.smtp_url.clone() else {
        let folder = settings.data_dir.join("mail");
        return Ok(Arc::new(EmlMailer::try_new(&folder, sender, entropy)?));
    };
    if url.security == MailSecurity::Open && !url.is_local() {
        tracing::warn!(
            host = url.host,
            "mail goes to the mail server unprotected; write ?tls=required behind smtp_url unless the network is closed"
        );
    }
    let server = SmtpServer {
        url,
        authorities: settings.smtp_ca_file.as_deref().map(authorities).transpose()?,
        connect_timeout: settings.smtp_connect_timeout,
        timeout: settings.smtp_timeout,
        connections: settings.smtp_connections,
    };
    Ok(Arc::new(SmtpMailer::try_new(server, sender).context("smtp_ca_file")?))
}

fn authorities(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("smtp_ca_file: {}", path.display()))?;
    let mut pem = Vec::new();
    let read = file.take(MAX_AUTHORITIES_BYTES).read_to_end(&mut pem);
    read.with_context(|| format!("smtp_ca_file: {}", path.display()))?;
    Ok(pem)
}
