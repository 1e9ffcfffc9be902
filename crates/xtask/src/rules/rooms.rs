//! Every service has the same rooms, so that who knows one finds their way in all.

use super::Violation;
use super::crates::SERVICES;
use super::tree::Tree;

/// The rooms of every service; each is a folder or, while small, a file.
const ROOMS: &[&str] = &[
    "lib",
    "ports",
    "domain",
    "use_cases",
    "store",
    "api",
    "worker",
    "metrics",
];

/// The room for a service's outside adapter.
const OUTSIDE: &[(&str, &str)] = &[
    ("exchanger", "venue"),
    ("bc-gateway", "chain"),
    ("notification", "mailer"),
];

const DATABASES: &[&str] = &["sqlite", "postgres"];

/// A service's `src/` holds its rooms and nothing else; its tests are one binary, `tests/it`.
pub(crate) fn room_plan(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        let Some(krate) = file.krate().filter(|krate| SERVICES.contains(krate)) else {
            continue;
        };
        let below = file.path["crates/".len() + krate.len() + 1..].to_owned();
        let fits = match below.split_once('/') {
            None => matches!(below.as_str(), "Cargo.toml" | "README.md" | "build.rs"),
            Some(("src", inside)) => is_room(krate, inside),
            Some(("tests", inside)) => inside.starts_with("it/"),
            Some((folder, _)) => matches!(folder, "migrations" | "benches"),
        };
        if !fits {
            violations.push(Violation {
                path: file.path.clone(),
                line: 1,
                what: format!("`{below}` is in no room of the plan"),
                why: "six services with one plan are learnt once",
                remedy: format!(
                    "move it into one of: src/{}, migrations/, tests/it/ (one test binary; modules by theme)",
                    rooms_of(krate).join(", src/")
                ),
            });
        }
    }
    violations
}

fn rooms_of(krate: &str) -> Vec<&'static str> {
    let outside = OUTSIDE.iter().filter(|(of, _)| *of == krate).map(|(_, room)| *room);
    ROOMS.iter().copied().chain(outside).collect()
}

fn is_room(krate: &str, inside: &str) -> bool {
    let room = inside
        .split_once('/')
        .map_or_else(|| inside.strip_suffix(".rs"), |(room, _)| Some(room));
    room.is_some_and(|room| rooms_of(krate).contains(&room))
}

/// Migrations are `migrations/{sqlite,postgres}/NNNN_name.sql`, each number once. Numbers may be missing: some
/// migrations of a service are those that all services share, and lie in `storage`.
pub(crate) fn migrations(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut last = None;
    // The tree is in the order of paths, so equal numbers of one folder are neighbours.
    for file in &tree.files {
        let Some((krate, place)) = file.path.split_once("/migrations/") else {
            continue;
        };
        let (database, name) = place.split_once('/').unwrap_or(("", place));
        let this = number(name)
            .filter(|_| DATABASES.contains(&database))
            .map(|number| (krate, database, number));
        let what = match this {
            None => format!("`{place}` is not the name of a migration"),
            Some((.., number)) if this == last => format!("two migrations with the number {number}"),
            Some(_) => {
                last = this;
                continue;
            }
        };
        violations.push(Violation {
            path: file.path.clone(),
            line: 1,
            what,
            why: "migrations are applied once each, in order, on every machine that ever ran an earlier version",
            remedy: "name it migrations/{sqlite,postgres}/NNNN_name.sql with the next free number; never change one \
                     that was released"
                .into(),
        });
    }
    violations
}

/// The number of `NNNN_name.sql`, where the name is lower case words.
fn number(name: &str) -> Option<usize> {
    let (number, name) = name.split_once('_')?;
    let name = name.strip_suffix(".sql")?;
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let fits = number.len() == 4 && !name.is_empty() && name.chars().all(lower);
    if fits { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(rule: fn(&Tree) -> Vec<Violation>, paths: &[&str]) -> Vec<String> {
        let files = paths.iter().map(|path| ((*path).to_owned(), String::new()));
        let found = rule(&Tree::new(files.collect()));
        found.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn the_plan_has_room_for_all_a_service_needs() {
        let good = [
            "crates/exchanger/Cargo.toml",
            "crates/exchanger/migrations/sqlite/0001_start.sql",
            "crates/exchanger/src/lib.rs",
            "crates/exchanger/src/ports.rs",
            "crates/exchanger/src/domain.rs",
            "crates/exchanger/src/domain/attempt.rs",
            "crates/exchanger/src/venue/simulated.rs",
            "crates/exchanger/tests/it/main.rs",
            "crates/storage/src/anything.rs",
        ];
        assert_eq!(strangers(room_plan, &good), Vec::<String>::new());
    }

    #[test]
    fn what_is_in_no_room_is_found() {
        let bad = [
            "crates/wallet/src/helpers.rs",
            "crates/wallet/src/utils/mod.rs",
            "crates/wallet/src/venue/x.rs",
            "crates/wallet/tests/orders.rs",
        ];
        assert_eq!(strangers(room_plan, &bad), bad);
    }

    #[test]
    fn migrations_have_a_number_each() {
        let good = [
            "crates/auth/migrations/sqlite/0001_users.sql",
            "crates/auth/migrations/sqlite/0003_failed_logins.sql",
            "crates/auth/migrations/postgres/0001_users.sql",
        ];
        assert_eq!(strangers(migrations, &good), Vec::<String>::new());
        let bad = [
            "crates/auth/migrations/0001_users.sql",
            "crates/auth/migrations/sqlite/0001_users.sql",
            "crates/auth/migrations/sqlite/0001_again.sql",
            "crates/auth/migrations/postgres/users.sql",
            "crates/auth/migrations/sqlite/3_x.sql",
            "crates/auth/migrations/sqlite/README.md",
        ];
        assert_eq!(strangers(migrations, &bad).len(), 5);
    }
}
