//! `cambist bench`: how many orders a second this machine completes.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ArgMatches;
use service_kit::settings::given_flags;

use crate::bench::{Plan, measure};

pub(super) fn run(arguments: &ArgMatches, json: bool) -> anyhow::Result<ExitCode> {
    let number = |name: &str| *arguments.get_one::<u32>(name).expect("it has a default");
    let count = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
    let plan = Plan {
        url: arguments.get_one::<String>("url").cloned(),
        settings: given_flags(arguments),
        keep: arguments.get_flag("keep"),
        in_flight: count("in-flight"),
        placing: Duration::from_secs(number("seconds").into()),
        users: count("users"),
    };
    // One thread, so that the load takes little of what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the operating system gives no threads")?;
    let tell = |line: &str| {
        // Nothing sensible is left to do when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    let report = runtime.block_on(measure(&plan, &tell))?;
    if json {
        println!("{:#}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
