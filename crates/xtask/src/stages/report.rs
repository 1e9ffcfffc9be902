//! What a run says of itself: a headline for each stage, a table of what they took, and the closing lines.

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use super::{Failed, Stage};
use crate::tally::Tally;

/// The stage, and what it runs.
pub(super) fn headline(stage: Stage, where_it_runs: &str) {
    let line = format!("[{}{where_it_runs}]", stage.name());
    let bold = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let line = if bold { format!("\x1b[1m{line}\x1b[0m") } else { line };
    let command = stage.cargo().map(|arguments| format!(" cargo {arguments}"));
    println!("\n{line}{}", command.unwrap_or_default());
}

/// The stages and their durations, slowest first, and how long all of it took: less than their sum, as some run beside others.
pub(super) fn table(times: &[(Stage, Duration)], total: Duration) -> String {
    let mut times: Vec<(&str, Duration)> = times.iter().map(|(stage, time)| (stage.name(), *time)).collect();
    times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    times.push(("total", total));
    let rows = times.iter().map(|(name, time)| {
        let millis = time.as_millis();
        format!("{:>8}.{} s  {name}\n", millis / 1000, millis % 1000 / 100)
    });
    rows.collect()
}

/// Prints what to do next and, as the last line, how the run ended.
pub(super) fn close(stages: &[Stage], failed: Option<&Failed>, tally: &Tally) -> ExitCode {
    if let Some(Failed(stage)) = failed {
        for name in &tally.failures {
            println!("failed: {name}");
        }
        println!("next: {}", stage.remedy());
    }
    match failed {
        // A run that broke without a failed test (it did not compile, a process died) must not read like a good one.
        Some(Failed(stage)) if tally.failed == 0 => println!("stopped at {}", stage.name()),
        None if tally.passed == 0 => {
            let names: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
            println!("{}: ok", names.join(", "));
        }
        Some(_) | None => println!("{} passed, {} failed", tally.passed, tally.failed),
    }
    match failed {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stage_stands_first_and_the_total_last() {
        let times = [
            (Stage::Fmt, Duration::from_millis(1_250)),
            (Stage::Test, Duration::from_secs(61)),
            (Stage::Rules, Duration::from_millis(40)),
        ];
        let expected = "      61.0 s  test\n       1.2 s  fmt\n       0.0 s  rules\n      62.0 s  total\n";
        assert_eq!(table(&times, Duration::from_secs(62)), expected);
    }

    #[test]
    fn a_failed_stage_is_a_failed_run_and_a_failed_test_counts() {
        let good = || Tally {
            passed: 3,
            ..Tally::default()
        };
        assert_eq!(close(Stage::ALL, None, &good()), ExitCode::SUCCESS);
        assert_eq!(
            close(Stage::ALL, Some(&Failed(Stage::Test)), &good()),
            ExitCode::FAILURE
        );
        assert_eq!(
            close(Stage::ALL, Some(&Failed(Stage::Fmt)), &Tally::default()),
            ExitCode::FAILURE
        );
        assert_eq!(close(&[Stage::Rules], None, &Tally::default()), ExitCode::SUCCESS);
    }
}
