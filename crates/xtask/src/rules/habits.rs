//! Habits that keep money exact and runs repeatable: no floats, no clock or dice of one's own, no sleep without
//! a reason, no queue without an end.

use super::code::{Code, PathRef};
use super::lex::Kind;
use super::tree::{SourceFile, Tree};
use super::{Violation, is_exempt};

/// Rooms that measure: their figures are never money, and they need the machine's own stopwatch.
const MEASURING: &[&str] = &["telemetry", "metrics", "bench", "benches"];

/// Types whose `now` asks the machine.
const CLOCKS: &[&str] = &["Timestamp", "SystemTime", "Instant", "Zoned", "Utc", "Local"];

/// No float type, no float literal with a suffix, no JSON number read as a float, tests included.
pub(crate) fn floats(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree
        .rust()
        .filter(|(file, _)| !measures(file) && !is_exempt("floats", &file.path))
    {
        for token in &code.lexed.tokens {
            let float = match &token.kind {
                Kind::Ident(word) => matches!(word.as_str(), "f32" | "f64" | "as_f64" | "as_f32" | "from_f64"),
                Kind::Number(number) => {
                    !number.starts_with("0x") && (number.ends_with("f32") || number.ends_with("f64"))
                }
                Kind::Text(_) | Kind::PathSep | Kind::Punct(_) => false,
            };
            if float {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: token.line,
                    what: "a float".into(),
                    why: "0.1 + 0.2 is not 0.3 in a float, and a cent that is not exact is lost",
                    remedy:
                        "use Amount, Price or BasisPoints from contracts; for durations, whole micro- or milliseconds"
                            .into(),
                });
            }
        }
    }
    violations
}

/// Each call of a sleep, tests included, has a comment `// sleep: reason` beside or above it.
pub(crate) fn sleeps(tree: &Tree) -> Vec<Violation> {
    let sleeps = |file: &SourceFile, code: &Code, path: &PathRef| {
        let name = last(path);
        let ours = before(code, path).is_some_and(|word| word == "fn");
        matches!(name, "sleep" | "sleep_until" | "sleep_ms")
            && is_call(code, path)
            && !ours
            && !is_exempt("sleeps", &file.path)
            && !gives_reason(&code.comment_at(path.line))
    };
    find(
        tree,
        sleeps,
        "a sleep is too long on a fast machine and too short on a slow one",
        "wait for the event itself; where there is none (a backoff, a simulator's latency), say so above it: `// sleep: reason`",
    )
}

/// Nobody asks the machine for the time but the system clock, what measures, the tests and this program.
///
/// `tokio::time::Instant` is left alone: it only says when a timer rings, and the runtime's clock it reads can be
/// paused and moved by a test.
pub(crate) fn clock(tree: &Tree) -> Vec<Violation> {
    let asks = |file: &SourceFile, code: &Code, path: &PathRef| {
        let mut parts = path.path.rsplit("::");
        let now = parts.next() == Some("now");
        let of = parts.next().unwrap_or_default();
        now && CLOCKS.contains(&of)
            && !(of == "Instant" && (path.path == "tokio::time::Instant::now" || imports(code, "tokio::time::Instant")))
            && !(measures(file) || file.krate() == Some("xtask") || file.is_test(path.line))
            && !is_exempt("clock", &file.path)
    };
    find(
        tree,
        asks,
        "a run whose time is not handed in cannot be simulated, and its deadlines cannot be tested",
        "take a `contracts::Clock`",
    )
}

/// Nobody throws dice of their own but the system's entropy and the tests.
pub(crate) fn randomness(tree: &Tree) -> Vec<Violation> {
    let throws = |file: &SourceFile, _: &Code, path: &PathRef| {
        let dice = matches!(path.path.as_str(), "rand::rng" | "rand::random")
            || matches!(
                last(path),
                "thread_rng" | "ThreadRng" | "OsRng" | "SysRng" | "from_entropy" | "from_os_rng" | "getrandom"
            );
        dice && !file.is_test(path.line) && !is_exempt("randomness", &file.path)
    };
    find(
        tree,
        throws,
        "a run whose randomness is not handed in cannot be repeated from its seed",
        "take a `contracts::Entropy`",
    )
}

/// Every channel is bounded, tests included.
pub(crate) fn bounds(tree: &Tree) -> Vec<Violation> {
    let unbounded = |file: &SourceFile, code: &Code, path: &PathRef| {
        let of_std = path.path == "std::sync::mpsc::channel"
            || (path.path.ends_with("mpsc::channel") && is_empty_call(code, path));
        let named = match last(path) {
            "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => true,
            // Other libraries' name for it, and too good a word to be refused to a variable.
            "unbounded" => path.path.contains("::"),
            _ => false,
        };
        (of_std || named) && !is_exempt("bounds", &file.path)
    };
    find(
        tree,
        unbounded,
        "a queue without an end turns a slow neighbour into a process out of memory",
        "use a bounded channel, and decide what happens when it is full",
    )
}

fn find(
    tree: &Tree,
    bad: impl Fn(&SourceFile, &Code, &PathRef) -> bool,
    why: &'static str,
    remedy: &str,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.rust() {
        for path in code.paths.iter().filter(|path| bad(file, code, path)) {
            violations.push(Violation {
                path: file.path.clone(),
                line: path.line,
                what: format!("`{}`", path.path),
                why,
                remedy: remedy.to_owned(),
            });
        }
    }
    violations
}

fn measures(file: &SourceFile) -> bool {
    let mut parts = file.path.split('/');
    parts.any(|part| MEASURING.contains(&part.trim_end_matches(".rs")))
}

fn gives_reason(comment: &str) -> bool {
    let reason = comment.split_once("sleep:").map(|(_, reason)| reason.trim());
    reason.is_some_and(|reason| !reason.is_empty())
}

fn imports(code: &Code, path: &str) -> bool {
    code.paths.iter().any(|found| found.imported && found.path == path)
}

fn last(path: &PathRef) -> &str {
    path.path.rsplit("::").next().unwrap_or_default()
}

fn before<'a>(code: &'a Code, path: &PathRef) -> Option<&'a str> {
    code.token(path.first.checked_sub(1)?)?.ident()
}

fn is_method(code: &Code, path: &PathRef) -> bool {
    let before = path.first.checked_sub(1).and_then(|at| code.token(at));
    before.is_some_and(|token| token.is_punct('.'))
}

/// A call of a free function. A method called `sleep` belongs to something handed in, which has its own reason.
fn is_call(code: &Code, path: &PathRef) -> bool {
    let open = code.token(path.end).is_some_and(|token| token.is_punct('('));
    open && !path.imported && !is_method(code, path)
}

/// `channel()` or `channel::<T>()`: without a bound between its brackets.
fn is_empty_call(code: &Code, path: &PathRef) -> bool {
    let rest = code.lexed.tokens.get(path.end..).unwrap_or_default();
    let open = rest.iter().position(|token| token.is_punct('(') || token.is_punct(';'));
    let call = open.map(|at| &rest[at..]).unwrap_or_default();
    call.len() > 1 && call[0].is_punct('(') && call[1].is_punct(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "crates/wallet/src/worker/saga.rs";

    fn lines(rule: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(path, text)).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn floats_are_found_and_words_and_hex_are_not() {
        let good = "// f64\nlet a = 0xf64; let of64 = \"f64\"; let b = 1_u64; let c = d.as_secs_f64_not();\n";
        assert_eq!(lines(floats, SERVICE, good), [0_usize; 0]);
        let bad = "let a: f64 = b;\nlet c = 1.0_f32;\nlet d = json.as_f64();\nlet e = 2f64;\n";
        assert_eq!(lines(floats, SERVICE, bad), [1, 2, 3, 4]);
        assert_eq!(lines(floats, "crates/service-kit/src/metrics.rs", bad), [0_usize; 0]);
        assert_eq!(lines(floats, "crates/cambist/src/bench/report.rs", bad), [0_usize; 0]);
    }

    #[test]
    fn a_sleep_says_why() {
        let good = "// sleep: the venue asked us to wait\ntokio::time::sleep(d).await;\n\
                    clock.sleep(d).await;\nfn sleep(d: Duration) {}\nuse tokio::time::sleep;\n\
                    // Long explanation,\n// sleep: backoff, bounded by the attempts\nthread::sleep(d);\n";
        assert_eq!(lines(sleeps, SERVICE, good), [0_usize; 0]);
        let bad = "tokio::time::sleep(d).await;\n// sleep:\nthread::sleep(d);\n// a reason\nsleep_until(t).await;\n";
        assert_eq!(lines(sleeps, SERVICE, bad), [1, 3, 5]);
        assert_eq!(lines(sleeps, "crates/wallet/tests/it/main.rs", bad), [1, 3, 5]);
    }

    #[test]
    fn the_time_is_handed_in() {
        let good = "let t = clock.now(); let d = Clock::now(&c); let n = now();\n\
                    sleep_until(tokio::time::Instant::now() + pause);\n";
        assert_eq!(lines(clock, SERVICE, good), [0_usize; 0]);
        assert_eq!(
            lines(clock, SERVICE, "use tokio::time::Instant;\nInstant::now();\n"),
            [0_usize; 0]
        );
        let bad = "jiff::Timestamp::now();\nstd::time::Instant::now();\nSystemTime::now();\n";
        assert_eq!(lines(clock, SERVICE, bad), [1, 2, 3]);
        for path in [
            "crates/contracts/src/time.rs",
            "crates/wallet/tests/it/main.rs",
            "crates/xtask/src/main.rs",
            "crates/service-kit/src/telemetry/http.rs",
            "crates/wallet/benches/x.rs",
        ] {
            assert_eq!(lines(clock, path, bad), [0_usize; 0], "{path}");
        }
    }

    #[test]
    fn randomness_is_handed_in() {
        assert_eq!(
            lines(randomness, SERVICE, "entropy.next_u64(); StdRng::seed_from_u64(1);\n"),
            [0_usize; 0]
        );
        let bad = "rand::rng();\nrand::random::<u64>();\nuse rand::{rngs::{StdRng, ThreadRng}};\nOsRng.fill(x);\n";
        assert_eq!(lines(randomness, SERVICE, bad), [1, 2, 3, 4]);
        assert_eq!(lines(randomness, "crates/contracts/src/random.rs", bad), [0_usize; 0]);
    }

    #[test]
    fn channels_are_bounded() {
        let good = "let (a, b) = mpsc::channel(64);\nlet c = std::sync::mpsc::sync_channel::<u8>(1);\nuse tokio::sync::mpsc;\nrange.unbounded();\n";
        assert_eq!(lines(bounds, SERVICE, good), [0_usize; 0]);
        let bad = "mpsc::unbounded_channel();\nlet c = mpsc::channel::<u8>();\nuse std::sync::mpsc::channel;\nstd::sync::mpsc::channel();\n";
        assert_eq!(lines(bounds, SERVICE, bad), [1, 2, 3, 4]);
    }
}
