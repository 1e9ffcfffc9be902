//! `cambist audit`: exit 0 when the books balance and every order is explained, 1 and a list when not.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use service_kit::settings::Settings;

use crate::audit::{audit, audit_server};
use crate::system::Address;

pub(super) fn run(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let report = match Address::of(settings)? {
        Address::File(path) => {
            ensure!(
                path.exists(),
                "there is no database at {}; `cambist up` or `cambist migrate` makes one",
                path.display()
            );
            audit(&path, progress())?
        }
        Address::Server(url) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("the operating system gives no threads")?;
            runtime.block_on(audit_server(&url, settings.start_patience, progress()))?
        }
    };
    if json {
        println!("{:#}", report.to_json());
    } else {
        println!("{report}");
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tells on a terminal how far the audit is, on one line that rewrites itself.
fn progress() -> impl FnMut(u64) + Send {
    let terminal = std::io::stderr().is_terminal();
    move |orders| {
        if terminal {
            let _ = write!(std::io::stderr(), "\r{orders} orders looked at\r");
        }
    }
}
