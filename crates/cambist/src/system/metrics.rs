//! Everything the system shows to Prometheus: the services' own figures, and those of what all of them stand on, which
//! get their names here because storage and transport know nothing of Prometheus.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::ServiceName;
use jiff::Timestamp;
use service_kit::metrics::{Family, Figures, Process, Registry, Survey, disk};
use service_kit::telemetry;
use storage::outbox::Destination;
use storage::postgres::TxError;
use storage::sqlite::WriterMetrics;
use storage::survey::{CommandsSurvey, OutboxSurvey};
use storage::{StoreError, postgres, sqlite};
use transport::metrics::{DispatcherMetrics, WorkerMetrics};

use super::databases::{Books, Databases};
use super::part::Part;
use super::{System, peers, queues};

const BUILD: Family = Family::gauge(
    "cambist_build_info",
    &["version"],
    "Always 1; the label says which version runs.",
);

const COMMIT_JOBS: Family = Family::histogram(
    "cambist_storage_commit_jobs",
    &[],
    "How many jobs of all services shared a commit.",
);
const COMMIT: Family = Family::histogram(
    "cambist_storage_commit_duration_seconds",
    &[],
    "How long a commit took until it was on disk (fsync).",
)
.in_seconds();
const WORK: Family = Family::histogram(
    "cambist_storage_work_duration_seconds",
    &[],
    "How long the jobs of a commit worked before it, all together.",
)
.in_seconds();
const FAILED_COMMITS: Family = Family::counter(
    "cambist_storage_commits_failed_total",
    &[],
    "Commits that failed: everything in them was undone and its callers were told.",
);
const FAILED_JOBS: Family = Family::counter(
    "cambist_storage_jobs_failed_total",
    &[],
    "Jobs that failed and were undone alone.",
);
const REFUSED_JOBS: Family = Family::counter(
    "cambist_storage_jobs_refused_total",
    &[],
    "Jobs that were turned away because the writer's queue stayed full for a second.",
);
const WAITING_JOBS: Family = Family::gauge("cambist_storage_jobs_waiting", &[], "Jobs that wait for the writer.");

const CONNECTIONS: Family = Family::gauge(
    "cambist_database_connections",
    &["service", "state"],
    "Connections to the database server: `open`, and those of these that are `idle`.",
);
const WAITING_CALLERS: Family = Family::gauge(
    "cambist_database_callers_waiting",
    &["service"],
    "Callers that wait for a connection to the database server, as all of them are in use.",
);

const DELIVERIES: Family = Family::counter(
    "cambist_outbox_deliveries_total",
    &["service", "destination", "outcome"],
    "What became of outbox rows: `delivered`, `retried` later, or `dead`: a dead letter.",
);
const OUTBOX: Family = Family::gauge(
    "cambist_outbox_rows",
    &["service", "destination"],
    "Outbox rows that are not delivered, those under way included; of more than 100,000 only so many are counted.",
);
const OUTBOX_AGE: Family = Family::gauge(
    "cambist_outbox_oldest_age_seconds",
    &["service", "destination"],
    "How long the oldest of these rows has been waiting; 0 where there is none.",
)
.in_seconds();
const DEAD_LETTERS: Family = Family::gauge(
    "cambist_dead_letters",
    &["service", "source"],
    "Messages and commands that nobody could make sense of and that wait for a person, by where they died.",
);
const COMMANDS: Family = Family::gauge(
    "cambist_commands",
    &["service", "state"],
    "Commands that are not at their end: `open`, those of these whose outside answer is `answer_missing`, and `dead`.",
);
const COMMAND_AGE: Family = Family::gauge(
    "cambist_command_oldest_age_seconds",
    &["service"],
    "How long ago the oldest open command was accepted; 0 where there is none.",
)
.in_seconds();
const CLAIMS: Family = Family::counter(
    "cambist_command_claims_total",
    &["service", "outcome"],
    "What became of claimed commands: `done`, `failed`, `postponed` (a retry), `dead`; `fenced`: somebody else has it by \
     now; `panicked`; `overdue`: the lease ended first.",
);

/// The places in which dead letters die.
const SOURCES: [&str; 4] = ["queue", "service", "command", "other"];

impl System {
    /// What it shows to Prometheus, all of it.
    #[must_use]
    pub fn metrics(&self) -> Registry {
        let mut registry = Registry::new();
        registry.value(&BUILD, &[env!("CARGO_PKG_VERSION")], || 1);
        registry.survey(Arc::new(Process));
        self.http.register(&mut registry);
        telemetry::register_metrics(&mut registry);
        if let Databases::File(database) = &self.databases {
            registry.survey(disk(database.path().to_owned()));
            register_writer(&mut registry, database);
        }
        if let Databases::Server(pools) = &self.databases {
            for (service, database) in pools.iter() {
                register_connections(&mut registry, *service, database);
            }
        }
        self.queues.register_metrics(&mut registry);
        for (peer, metrics) in &self.peers {
            peers::register_metrics(&mut registry, *peer, metrics);
        }
        for part in &self.services {
            self.register(&mut registry, &**part);
        }
        registry
    }

    /// The reference of what this process shows, and of what services that run apart show besides.
    #[must_use]
    pub fn metrics_reference(&self) -> String {
        let elsewhere = [&CONNECTIONS, &WAITING_CALLERS].into_iter();
        let elsewhere = elsewhere.chain(queues::OF_NATS).chain(peers::OF_PEERS);
        self.metrics().reference_markdown(&elsewhere.collect::<Vec<_>>())
    }

    fn register(&self, registry: &mut Registry, part: &dyn Part) {
        let service = part.service();
        part.register_metrics(registry);
        match service {
            ServiceName::Balance => registry.survey(self.databases.survey_of_the_ledger()),
            ServiceName::Wallet => registry.survey(self.databases.survey_of_sagas()),
            ServiceName::Auth | ServiceName::Exchanger | ServiceName::BcGateway | ServiceName::Notification => {}
        }
        if let Some(worker) = part.worker_metrics() {
            register_claims(registry, service, worker);
        }
        let Some(dispatcher) = part.dispatcher_metrics() else {
            return;
        };
        register_deliveries(registry, service, dispatcher);
        registry.survey(Arc::new(Unfinished {
            service,
            destinations: dispatcher.lanes().map(|(destination, _)| destination).collect(),
            has_commands: part.worker_metrics().is_some(),
            databases: self.databases.clone(),
        }));
    }
}

fn register_writer(registry: &mut Registry, database: &sqlite::Database) {
    type Which<T> = fn(&WriterMetrics) -> &T;
    let histograms: [(&'static Family, Which<contracts::metrics::Histogram>); 3] = [
        (&COMMIT_JOBS, |writer| &writer.jobs),
        (&COMMIT, |writer| &writer.commit),
        (&WORK, |writer| &writer.work),
    ];
    for (family, of) in histograms {
        let writer = Arc::clone(database.writer().metrics());
        registry.distribution(family, &[], move || of(&writer).distribution());
    }
    let counters: [(&'static Family, Which<contracts::metrics::Counter>); 3] = [
        (&FAILED_COMMITS, |writer| &writer.failed_groups),
        (&FAILED_JOBS, |writer| &writer.failed_jobs),
        (&REFUSED_JOBS, |writer| &writer.refused),
    ];
    for (family, of) in counters {
        let writer = Arc::clone(database.writer().metrics());
        registry.value(family, &[], move || of(&writer).get());
    }
    let writer = database.writer().clone();
    registry.value(&WAITING_JOBS, &[], move || whole(writer.waiting()));
}

fn register_connections(registry: &mut Registry, service: ServiceName, database: &postgres::Database) {
    let mut show = |family: &'static Family, labels: &[&str], count: fn(postgres::Connections) -> usize| {
        let database = database.clone();
        registry.value(family, labels, move || whole(count(database.connections())));
    };
    let service = service.as_str();
    show(&CONNECTIONS, &[service, "open"], |connections| connections.open);
    show(&CONNECTIONS, &[service, "idle"], |connections| connections.idle);
    show(&WAITING_CALLERS, &[service], |connections| connections.waited_for);
}

fn register_deliveries(registry: &mut Registry, service: ServiceName, dispatcher: &DispatcherMetrics) {
    for (destination, lane) in dispatcher.lanes() {
        let mut show = |outcome: &str, count: fn(&transport::metrics::LaneMetrics) -> u64| {
            let lane = Arc::clone(lane);
            let labels = [service.as_str(), &destination.to_string(), outcome];
            registry.value(&DELIVERIES, &labels, move || count(&lane));
        };
        show("delivered", |lane| lane.delivered.get());
        show("retried", |lane| lane.retried.get());
        show("dead", |lane| lane.dead.get());
    }
}

fn register_claims(registry: &mut Registry, service: ServiceName, worker: &Arc<WorkerMetrics>) {
    let mut show = |outcome: &str, count: fn(&WorkerMetrics) -> u64| {
        let worker = Arc::clone(worker);
        registry.value(&CLAIMS, &[service.as_str(), outcome], move || count(&worker));
    };
    show("done", |worker| worker.done.get());
    show("failed", |worker| worker.failed.get());
    show("postponed", |worker| worker.postponed.get());
    show("dead", |worker| worker.dead.get());
    show("fenced", |worker| worker.fenced.get());
    show("panicked", |worker| worker.panicked.get());
    show("overdue", |worker| worker.overdue.get());
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// What a service has not finished: its outbox, its dead letters, its commands.
struct Unfinished {
    service: ServiceName,
    destinations: Vec<Destination>,
    has_commands: bool,
    databases: Databases,
}

impl Unfinished {
    async fn look(&self) -> Result<(OutboxSurvey, Option<CommandsSurvey>), StoreError> {
        let (service, has_commands) = (self.service, self.has_commands);
        match self.databases.of(service) {
            Books::File(database) => {
                let found = database.readers().run(move |connection| {
                    let commands = has_commands
                        .then(|| sqlite::survey_commands(connection, service))
                        .transpose()?;
                    Ok((sqlite::survey_outbox(connection, service)?, commands))
                });
                found.await
            }
            Books::Server(database) => {
                let mut tx = database.snapshot().await?;
                let found = async {
                    let commands = match has_commands {
                        true => Some(postgres::survey_commands(&mut tx, service).await?),
                        false => None,
                    };
                    Ok((postgres::survey_outbox(&mut tx, service).await?, commands))
                };
                let found: Result<_, TxError> = found.await;
                tx.roll_back().await;
                Ok(found?)
            }
        }
    }
}

#[async_trait]
impl Survey for Unfinished {
    fn name(&self) -> &'static str {
        self.service.as_str()
    }

    fn families(&self) -> &'static [&'static Family] {
        &[&OUTBOX, &OUTBOX_AGE, &DEAD_LETTERS, &COMMANDS, &COMMAND_AGE]
    }

    async fn read(&self, now: Timestamp) -> Result<Figures, String> {
        let (outbox, commands) = self.look().await.map_err(|error| error.to_string())?;
        let service = self.service.as_str();
        let mut figures = Figures::new();
        // Those without rows are shown as well: an alert on a figure that is missing never comes.
        for destination in &self.destinations {
            let waiting = outbox.waiting.iter().find(|(found, ..)| found == destination);
            let labels = [service, &destination.to_string()];
            figures.put(&OUTBOX, &labels, waiting.map_or(0, |(_, rows, _)| *rows));
            figures.put_age(&OUTBOX_AGE, &labels, now, waiting.and_then(|(.., since)| *since));
        }
        for source in SOURCES {
            let found = outbox.dead.iter().find(|(found, _)| *found == source);
            figures.put(
                &DEAD_LETTERS,
                &[service, source],
                found.map_or(0, |(_, letters)| *letters),
            );
        }
        if let Some(commands) = commands {
            figures.put(&COMMANDS, &[service, "open"], commands.open);
            figures.put(&COMMANDS, &[service, "answer_missing"], commands.answer_missing);
            figures.put(&COMMANDS, &[service, "dead"], commands.dead);
            figures.put_age(&COMMAND_AGE, &[service], now, commands.oldest);
        }
        Ok(figures)
    }
}
