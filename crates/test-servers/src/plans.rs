//! The plans that a connection to PostgreSQL holds for statements that it has prepared. A generic plan is made once, for the
//! table as it is then, and may be in use long after.

/// What asks for the plan of each statement that is prepared: as it is held, with no look at parameters. The statement itself
/// follows in a comment.
const HELD: &str = "SELECT 'EXPLAIN EXECUTE ' || quote_ident(name)
        || CASE WHEN cardinality(parameter_types) = 0 THEN ''
           ELSE '(' || array_to_string(array_fill('NULL'::text, ARRAY[cardinality(parameter_types)]), ', ') || ')' END
        || ' -- ' || regexp_replace(statement, '\\s+', ' ', 'g')
    FROM pg_prepared_statements ORDER BY prepare_time";
const HELD_ONES: &str = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false)";

/// Looks at the plans of all statements that name `table`, a table or the beginning of several, on the one connection behind
/// `ask`, which answers with the texts in the first column. Returns how many there are, and in words which of them read a whole
/// table, or a whole index.
///
/// From then on the connection uses generic plans alone. Whoever was asked the same six times has one already.
pub async fn that_read_everything(table: &str, ask: impl AsyncFn(String) -> Vec<String>) -> (usize, Vec<String>) {
    ask(HELD_ONES.to_owned()).await;
    let (mut seen, mut found) = (0, Vec::new());
    for explain in ask(HELD.to_owned()).await {
        if !explain.contains(table) {
            continue;
        }
        seen += 1;
        let plan = ask(explain.clone()).await;
        if reads_everything(&plan) {
            found.push(format!("{explain}\n{}", plan.join("\n")));
        }
    }
    (seen, found)
}

/// Whether a plan, line by line, has a scan that is bounded by no condition.
fn reads_everything(plan: &[String]) -> bool {
    let mut lines = plan
        .iter()
        .map(|line| line.trim_start().trim_start_matches("->  "))
        .peekable();
    while let Some(line) = lines.next() {
        let of_index = ["Index Scan", "Index Only Scan", "Bitmap Index Scan"];
        let of_index = of_index.iter().any(|scan| line.starts_with(scan));
        let bounded = lines.peek().is_some_and(|next| next.starts_with("Index Cond:"));
        if line.starts_with("Seq Scan") || of_index && !bounded {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::reads_everything;

    fn plan(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_scan_without_a_condition_reads_everything_and_one_with_a_condition_does_not() {
        let by_key = plan(&[
            "Update on t",
            "  ->  Nested Loop",
            "        ->  Index Scan using k on t",
            "              Index Cond: (a = $1)",
        ]);
        assert!(!reads_everything(&by_key));
        assert!(reads_everything(&plan(&[
            "Hash Join",
            "  ->  Seq Scan on t",
            "        Filter: (a = $1)"
        ])));
        assert!(reads_everything(&plan(&[
            "Merge Join",
            "  ->  Index Scan using k on t",
            "  ->  Sort"
        ])));
        assert!(reads_everything(&plan(&[
            "Bitmap Heap Scan on t",
            "  ->  Bitmap Index Scan on k"
        ])));
    }
}
