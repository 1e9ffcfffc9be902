//! The benchmark: how many orders a second this machine completes, over real HTTP, from request to delivered mail.
//!
//! What it keeps true, so that its figures can be believed: the instance is the program as it is shipped, in a process and
//! a folder of its own, on a disk; an order counts once it is completed in the books, on disk; the clock runs until nothing
//! is in flight any more, so that no backlog is left out; and every run ends with the audit. The generator of the load runs
//! on one thread beside it, and its share of the processors is told.

mod books;
mod client;
mod customers;
mod instance;
mod load;
mod machine;
mod outside;
mod report;

use std::time::Duration;

use anyhow::{Context as _, ensure};

use self::books::Books;
use self::client::Address;

use self::instance::Instance;
use self::load::{Load, Placed};
pub use self::report::Report;

/// How long whatever is in flight may take to end once no more orders are placed.
const MAX_DRAIN: Duration = Duration::from_secs(60);
/// How long one order of the preparation may take.
const MAX_PREPARATION: Duration = Duration::from_secs(60);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A running instance; none for a fresh one.
    pub url: Option<String>,
    /// Settings of the fresh instance, by name.
    pub settings: Vec<(String, String)>,
    /// Whether the fresh instance's folder is kept, to be looked at.
    pub keep: bool,
    /// How many orders are kept in flight.
    pub in_flight: usize,
    /// How long orders are placed.
    pub placing: Duration,
    /// How many users place them.
    pub users: usize,
}

/// Measures. `tell` hears, now and then, how far it is.
///
/// # Errors
/// Whatever keeps it from measuring, in words for the person who asked for it.
pub async fn measure(plan: &Plan, tell: &dyn Fn(&str)) -> anyhow::Result<Report> {
    match &plan.url {
        None => measure_fresh(plan, tell).await,
        Some(url) => measure_running(plan, &Address::parse(url)?, tell).await,
    }
}

async fn measure_fresh(plan: &Plan, tell: &dyn Fn(&str)) -> anyhow::Result<Report> {
    let instance = Instance::start(&plan.settings, plan.keep).await?;
    tell(&format!("a fresh instance runs in {}", instance.folder().display()));
    let customers = customers::prepare(instance.public(), plan.users, tell).await?;
    let books = Books::open(&instance.database())?;
    books.wait_until_quiet(MAX_PREPARATION).await?;

    let load = Load::new(instance.public(), &customers, plan.in_flight, plan.placing);
    let before = (instance.processor_time()?, machine::own_processor_time()?);
    let (mut placed, ended) = books.follow(load, MAX_DRAIN, tell).await?;
    let after = (instance.processor_time()?, machine::own_processor_time()?);
    let memory = instance.memory()?;

    tell("stopping the instance, and auditing its books");
    let database = instance.stop().await?;
    let audit = crate::audit::audit(&database.path, |_| {})?;
    placed.completed = books.completed_since(ended.first_order)?;
    let mut report = Report::of_orders(plan, &placed, &ended);
    report.audit = Some(audit);
    report.memory = Some(memory);
    report.processor_time = Some((after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)));
    report.machine = machine::Facts::read(database.folder.path());
    Ok(report)
}

async fn measure_running(plan: &Plan, address: &Address, tell: &dyn Fn(&str)) -> anyhow::Result<Report> {
    let customers = customers::prepare(address, plan.users, tell).await?;
    outside::wait_until_quiet(address, &customers, MAX_PREPARATION).await?;
    let load = Load::new(address, &customers, plan.in_flight, plan.placing);
    let mut placed: Placed = load.run_by_answers(tell).await?;
    ensure!(placed.accepted() > 0, "no order was accepted: {}", placed.failures());
    tell("counting what became of the orders");
    let ended = outside::count(address, &customers, &mut placed, MAX_DRAIN)
        .await
        .context("the orders' ends cannot be counted")?;
    let mut report = Report::of_requests(plan, &placed, &ended);
    report.machine = machine::Facts::read(&std::env::temp_dir());
    Ok(report)
}
