//! The demo's own instance: what `cambist up` assembles, in a folder that is gone afterwards, with a chain that refuses
//! when it is told to, and with somebody who reads the mail.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bc_gateway::Custody;
use bc_gateway::chain::simulated::{ScriptedManners, SimulatedChain};
use contracts::{Amount, Asset, Clock, Entropy, SystemClock, SystemEntropy, UserId};
use notification::ports::{Mail, MailAnswer, Mailer};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::{Gathered, Secret, Settings};
use service_kit::shutdown::Shutdown;
use tokio::sync::mpsc;

use crate::audit::{Report, audit};
use crate::system::{Databases, Outside, Parts, Queues, System, establish_hot_wallet};

/// Coins in the simulated chain's first block.
const GENESIS: &str = "1000000";
/// How long a mail may take that must come.
const MAIL: Duration = Duration::from_secs(30);
/// More mails than a day has.
const MAILS: usize = 16;

/// A running instance.
pub(super) struct Stage {
    /// The public address.
    pub(super) public: String,
    /// The internal one.
    pub(super) internal: String,
    /// An operator's token for it.
    pub(super) operator: String,
    database: PathBuf,
    manners: Arc<ScriptedManners>,
    mails: mpsc::Receiver<Mail>,
}

/// The settings of an instance in `folder`: defaults, free ports, and nothing from outside.
pub(super) fn settings(folder: &Path, thinking: Duration) -> anyhow::Result<Settings> {
    let folder = folder.to_str().context("the temporary folder's name is no text")?;
    let latency = format!("{}ms", thinking.as_millis());
    let flags = [
        ("data_dir", folder),
        ("listen", "127.0.0.1:0"),
        ("internal_listen", "127.0.0.1:0"),
        ("deposits", "self"),
        ("venue_latency", &latency),
        ("log", "error"),
    ];
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Ok(Gathered::new().with_flags(flags)?.load()?.settings)
}

impl Stage {
    /// Starts the instance. It runs until `shutdown`.
    pub(super) async fn set(settings: Settings, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let database_path = super::super::database_path(&settings)?;
        let (databases, _) = Databases::open_file(&database_path, clock.as_ref())?;
        establish_hot_wallet(&databases, &settings, Arc::clone(&clock)).await?;
        let mut seed = [0; Custody::MIN_SEED];
        entropy.fill(&mut seed);
        let custody = Custody::try_new(&seed)?;
        let manners = Arc::new(ScriptedManners::new());
        let keys = custody.keys(SimulatedChain::NAME, UserId::HOT_WALLET);
        let chain = SimulatedChain::try_open(
            &settings.data_dir.join("scripted_chain.db"),
            &keys,
            vec![Amount::parse(GENESIS, Asset::BTC)?],
            Arc::clone(&clock),
            manners.clone(),
        )?;
        let (heard, mails) = mpsc::channel(MAILS);
        let mut usual = Outside::open(&settings, &custody, &clock, &entropy)?;
        usual.books.push(chain.database().clone());
        let outside = Outside {
            chain: Arc::new(chain),
            mailer: Arc::new(Overheard {
                mailer: usual.mailer,
                heard,
            }),
            venue: usual.venue,
            books: usual.books,
        };
        let operator = entropy.next_id();
        let caller = Caller::Operator("demo".to_owned());
        let system = System::assemble(Parts {
            queues: Queues::local(&settings),
            settings,
            databases,
            outside,
            custody,
            internal_tokens: InternalTokens::try_new([(caller, Secret::new(&operator))])?,
            clock,
            entropy,
        })?;
        let listening = system.start(shutdown).await?;
        Ok(Self {
            public: format!("http://{}", listening.public.context("nobody listens for users")?),
            internal: format!("http://{}", listening.internal),
            operator,
            database: database_path,
            manners,
            mails,
        })
    }

    /// From now on the chain refuses every transfer before it is signed, or takes them again.
    pub(super) fn let_the_chain_refuse(&self, refuse: bool) {
        self.manners.refuse_all(refuse);
    }

    /// The next mail that was delivered.
    pub(super) async fn mail(&mut self) -> anyhow::Result<Mail> {
        let mail = tokio::time::timeout(MAIL, self.mails.recv()).await;
        mail.context("no mail came")?.context("nobody sends mail any more")
    }

    /// What the audit says of the instance's database right now.
    pub(super) fn audit(&self) -> anyhow::Result<Report> {
        Ok(audit(&self.database, |_| {})?)
    }
}

/// The usual mailer, and somebody who reads what it has delivered.
struct Overheard {
    mailer: Arc<dyn Mailer>,
    heard: mpsc::Sender<Mail>,
}

#[async_trait]
impl Mailer for Overheard {
    async fn send(&self, mail: &Mail) -> MailAnswer {
        let answer = self.mailer.send(mail).await;
        if answer == MailAnswer::Delivered {
            // Whoever does not listen any more has seen enough.
            let _ = self.heard.try_send(mail.clone());
        }
        answer
    }
}
