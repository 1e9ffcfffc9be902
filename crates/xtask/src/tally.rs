//! Counts what tests report while their lines go through.
//!
//! The lines themselves stay the record; the counts only feed the last line of a run and the list of what to
//! run again.

use std::io::{self, BufRead, Write};

/// What all test binaries of a run reported together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// How many programs came to their end and said what became of their tests.
    pub(crate) reports: u64,
    /// Names of the tests that failed, in the order they were reported.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Copies `from` to `to` line by line, each behind `whose` and flushed, and counts.
    pub(crate) fn copy(&mut self, mut from: impl BufRead, mut to: impl Write, whose: &str) -> io::Result<()> {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line)? > 0 {
            // At once: others write there as well.
            to.write_all(&[whose.as_bytes(), &line].concat())?;
            to.flush()?;
            self.count(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        Ok(())
    }

    /// Adds what others counted.
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.reports += other.reports;
        self.failures.extend(other.failures);
    }

    fn count(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.reports += 1;
            for part in result.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let Some(count) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
                    continue;
                };
                match words.next() {
                    Some("passed") => self.passed += count,
                    Some("failed") => self.failed += count,
                    Some("ignored") => self.ignored += count,
                    _ => {}
                }
            }
        } else if let Some(name) = line.strip_prefix("test ")
            && let Some(name) = name.strip_suffix(" ... FAILED")
        {
            self.failures.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\nrunning 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\nfailures:\n    a::c\n\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s\n\n\
        running 3 tests\n\
        test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in 1.50s\n";

    #[test]
    fn the_results_of_all_binaries_are_added() {
        let mut copy = Vec::new();
        let mut tally = Tally::default();
        tally.copy(OUTPUT.as_bytes(), &mut copy, "").unwrap();
        let expected = Tally {
            passed: 4,
            failed: 1,
            ignored: 2,
            reports: 2,
            failures: vec!["a::c".into()],
        };
        assert_eq!(tally, expected);
        assert_eq!(copy, OUTPUT.as_bytes());
    }

    #[test]
    fn each_line_says_whose_it_is_and_two_tallies_are_one() {
        let (mut copy, mut tally) = (Vec::new(), Tally::default());
        tally
            .copy(&b"running 1 test\ntest a ... FAILED\n"[..], &mut copy, "wallet  ")
            .unwrap();
        assert_eq!(copy, b"wallet  running 1 test\nwallet  test a ... FAILED\n");
        let mut all = Tally {
            passed: 2,
            ..Tally::default()
        };
        all.add(tally);
        assert_eq!((all.passed, all.failures), (2, vec!["a".to_owned()]));
    }

    #[test]
    fn a_last_line_without_an_end_and_bytes_that_are_no_text_go_through() {
        let bytes = b"\xff\xfe\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        let mut copy = Vec::new();
        let mut tally = Tally::default();
        tally.copy(&bytes[..], &mut copy, "").unwrap();
        assert_eq!((tally.passed, copy.as_slice()), (1, &bytes[..]));
    }
}
