//! The diagrams at `assets/` show the sagas as they are: their states are those an order can be in, their edges those that
//! `advance` takes, with the facts that lead along them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use contracts::clients::Side;
use wallet::domain::{Advance, MAX_RELEASE_REFUSALS, OrderState, Saga, advance};

use crate::samples::*;

/// From, fact, to.
type Edge = (String, String, String);

/// What the diagram's source shows: a line `from -> to [label="fact, fact\nwords"]` for each edge.
fn drawn(name: &str) -> (BTreeSet<String>, BTreeSet<Edge>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets").join(name);
    let source = fs::read_to_string(&path).unwrap();
    let (mut states, mut edges) = (BTreeSet::new(), BTreeSet::new());
    for line in source.lines().map(str::trim) {
        let Some((names, attributes)) = line.split_once(" [label=") else {
            continue;
        };
        let Some((from, to)) = names.split_once(" -> ") else {
            states.insert(names.to_owned());
            continue;
        };
        let facts = attributes.trim_start_matches('"');
        let end = facts.find(['"', '\\']).unwrap();
        for fact in facts[..end].split(',') {
            edges.insert((from.to_owned(), fact.trim().to_owned(), to.to_owned()));
        }
    }
    (states, edges)
}

/// What the code does, tried with every fact in every state.
fn real(side: Side) -> (BTreeSet<String>, BTreeSet<Edge>) {
    let (mut states, mut edges) = (BTreeSet::new(), BTreeSet::new());
    for state in OrderState::ALL {
        let Some(saga) = saga_in(side, state) else { continue };
        states.insert(state.to_string());
        // A release is refused several times before its order is stuck.
        let patient = Saga {
            refusals: MAX_RELEASE_REFUSALS - 1,
            ..saga.clone()
        };
        for saga in [saga, patient] {
            for fact in every_fact(side) {
                let name = serde_json::to_value(&fact).unwrap()["fact"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                if let Advance::Moved(moved) = advance(&saga, &event(fact)) {
                    // A stuck order stays what it is until something else is known.
                    edges.insert((state.to_string(), name, moved.saga.state.to_string()));
                }
            }
        }
    }
    (states, edges)
}

#[test]
fn a_buy_is_drawn_as_it_goes() {
    assert_eq!(drawn("buy_crypto.dot"), real(Side::Buy));
}

#[test]
fn a_sell_is_drawn_as_it_goes() {
    assert_eq!(drawn("sell_crypto.dot"), real(Side::Sell));
}
