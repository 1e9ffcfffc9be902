//! Logs: for people on a terminal, JSON otherwise, always to standard error. Traces: to a collector, where one is named.
//!
//! Standard output belongs to the commands (`audit`, `bench --json`). Secrets never get here: their types print as
//! `[secret]`, and neither headers nor bodies of requests are ever logged. Panics are logged like everything else,
//! so that a machine that reads JSON reads those too.

mod otlp;

use std::io::IsTerminal as _;

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use self::otlp::Exporting;
use crate::metrics::Registry;
use crate::settings::{LogFilter, LogFormat, Settings};

/// Logs or traces cannot be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter's text is no filter.
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// It has been set up before, and a process has one log.
    #[error("logging is already set up")]
    Again(#[from] TryInitError),
    /// There is no way to send traces.
    #[error("otlp_endpoint: traces cannot be sent: {0}")]
    Traces(String),
}

/// To be dropped when the process ends: it waits then until the last traces are sent, two seconds at most as a rule.
#[derive(Debug)]
pub struct Telemetry(#[allow(dead_code, reason = "it is kept for what it does when it is dropped")] Option<Exporting>);

/// Sets up logging and tracing for this process, which is called `process` in traces (`OTEL_SERVICE_NAME` counts more).
/// Without `otlp_endpoint` no span is made.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(settings: &Settings, process: &str) -> Result<Telemetry, TelemetryError> {
    log(&settings.log, settings.log_format)?;
    let endpoint = settings.otlp_endpoint.as_ref();
    let exporting = endpoint.map(|endpoint| otlp::export(endpoint, process)).transpose()?;
    Ok(Telemetry(exporting))
}

/// Shows how many spans were sent.
///
/// # Panics
/// As [`Registry::value`].
pub fn register_metrics(registry: &mut Registry) {
    otlp::register_metrics(registry);
}

/// Colours appear only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>).
fn log(filter: &LogFilter, format: LogFormat) -> Result<(), TelemetryError> {
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(filter, human, colours, std::io::stderr)?.try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    Ok(())
}

/// What [`init`] installs for logs, with a writer of choice.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn subscriber<W>(
    filter: &LogFilter,
    human: bool,
    colours: bool,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets: Targets = filter.as_str().parse()?;
    let lines = fmt::layer().with_writer(writer);
    let lines = if human {
        lines.with_ansi(colours).boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    };
    Ok(tracing_subscriber::registry().with(targets).with(lines))
}
