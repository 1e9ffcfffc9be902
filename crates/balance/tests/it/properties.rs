//! The ledger on real databases against the model on paper, through the port: after every step all accounts and the whole
//! books are looked at. 150 walks of 50 steps, 10,000 with `CAMBIST_TEST_FULL=1`; on PostgreSQL 8 and 500.

use std::collections::BTreeMap;

use balance::domain::{Adjusted, Adjustment, Capital, Funding, RequestKey};
use balance::ports::LedgerStore;
use balance::store::sqlite::audit;
use contracts::clients::Opened;
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Transfer, TransferId};
use contracts::{Amount, Asset, UserId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;
use storage::postgres::Numeric;
use storage::sqlite::AmountBlob;
use tokio_postgres::Client;

use crate::given::{at, fresh_books, postgres};
use crate::model::{Balances, Model, Verdict};
use crate::walk::{Step, users};

/// What the model says about an adjustment.
#[derive(Debug, PartialEq)]
enum Answer {
    Booked {
        id: i64,
        wallet: Vec<Amount>,
        replayed: bool,
    },
    KeyReused,
    Refused(Verdict),
}

/// How a request with a key was answered: its fingerprint, the number, the wallet.
type Known = ([u8; 32], i64, Vec<Amount>);

/// The paper, with what only the store does: numbering adjustments, knowing keys, funding once.
#[derive(Default)]
struct Paper {
    model: Model,
    adjustments: i64,
    keys: BTreeMap<(UserId, u64), Known>,
    funded: Option<Vec<Amount>>,
}

fn fingerprint(fiat: Option<i128>, crypto: Option<i128>) -> [u8; 32] {
    let halves = [fiat, crypto].map(|change| change.unwrap_or(0).to_be_bytes());
    halves.concat().try_into().unwrap()
}

fn booking(origin: Origin, leg: Leg, to: Owner, change: Amount, reason: &str, actor: &str) -> Transfer {
    let (debit, credit) = if change.units() < 0 {
        (to, Owner::Treasury)
    } else {
        (Owner::Treasury, to)
    };
    Transfer {
        id: TransferId { origin, leg },
        debit,
        credit,
        amount: Amount::new(change.units().abs(), change.asset()),
        reason: reason.to_owned(),
        actor: actor.to_owned(),
    }
}

impl Paper {
    fn adjust(&mut self, who: UserId, fiat: Option<i128>, crypto: Option<i128>, key: Option<u64>) -> Answer {
        let fingerprint = fingerprint(fiat, crypto);
        if let Some((known, id, wallet)) = key.and_then(|key| self.keys.get(&(who, key))) {
            let (id, wallet) = (*id, wallet.clone());
            return if *known == fingerprint {
                Answer::Booked {
                    id,
                    wallet,
                    replayed: true,
                }
            } else {
                Answer::KeyReused
            };
        }
        let id = self.adjustments + 1;
        let origin = Origin::Adjustment(id);
        let to = Owner::wallet(who);
        let fiat = fiat.map(|units| (Leg::AdjustFiat, Amount::new(units, Asset::USD)));
        let crypto = crypto.map(|units| (Leg::AdjustCrypto, Amount::new(units, Asset::ETH)));
        let transfers = [fiat, crypto].into_iter().flatten();
        let transfers = transfers
            .map(|(leg, change)| booking(origin, leg, to.clone(), change, "found a coin", "operator:ann"))
            .collect();
        let verdict = self.model.post(&Posting { transfers });
        if verdict != Verdict::Posted {
            return Answer::Refused(verdict);
        }
        self.adjustments = id;
        let wallet = self.model.wallet(who).unwrap();
        if let Some(key) = key {
            self.keys.insert((who, key), (fingerprint, id, wallet.clone()));
        }
        Answer::Booked {
            id,
            wallet,
            replayed: false,
        }
    }

    fn fund(&mut self, fiat: i128, crypto: i128) -> Funding {
        let wanted: Vec<_> = [
            (Leg::FundFiat, Amount::new(fiat, Asset::USD)),
            (Leg::FundCrypto, Amount::new(crypto, Asset::ETH)),
        ]
        .into_iter()
        .filter(|(_, amount)| amount.units() > 0)
        .collect();
        let amounts: Vec<_> = wanted.iter().map(|(_, amount)| *amount).collect();
        match &self.funded {
            Some(booked) if *booked == amounts => Funding::Before,
            Some(booked) => Funding::BeforeOtherwise { booked: booked.clone() },
            None if wanted.is_empty() => Funding::Nothing,
            None => {
                let transfers = wanted
                    .into_iter()
                    .map(|(leg, amount)| {
                        let reason = "the house's first capital";
                        booking(Origin::Funding, leg, Owner::HotWallet, amount, reason, "balance")
                    })
                    .collect();
                assert_eq!(self.model.post(&Posting { transfers }), Verdict::Posted);
                self.funded = Some(amounts);
                Funding::Booked
            }
        }
    }
}

fn answer(adjusted: Adjusted) -> Answer {
    match adjusted {
        Adjusted::Booked { id, wallet, replayed } => Answer::Booked {
            id,
            wallet: wallet.balances,
            replayed,
        },
        Adjusted::KeyReused => Answer::KeyReused,
        Adjusted::Refused(refusal) => Answer::Refused(Verdict::from(&PostingOutcome::Refused { refusal })),
    }
}

async fn take(ledger: &dyn LedgerStore, paper: &mut Paper, second: i64, step: Step) {
    let now = at(second);
    match step {
        Step::Open(who) => {
            let expected = if paper.model.wallets.insert(who) {
                Opened::Now
            } else {
                Opened::Before
            };
            assert_eq!(ledger.open_wallet(now, who).await.unwrap(), expected);
        }
        Step::Post(postings) => {
            let expected: Vec<_> = postings.iter().map(|posting| paper.model.post(posting)).collect();
            let outcomes = ledger.post(now, postings.clone()).await.unwrap();
            let verdicts: Vec<_> = outcomes.iter().map(Verdict::from).collect();
            assert_eq!(verdicts, expected, "{postings:#?}");
        }
        Step::Adjust {
            user,
            fiat,
            crypto,
            key,
        } => {
            let adjustment = Adjustment {
                user,
                fiat: fiat.map(|units| Amount::new(units, Asset::USD)),
                crypto: crypto.map(|units| Amount::new(units, Asset::ETH)),
                reason: "found a coin".to_owned(),
                actor: "operator:ann".to_owned(),
                request: key.map(|key| RequestKey {
                    key: key.to_string(),
                    fingerprint: fingerprint(fiat, crypto),
                }),
            };
            let expected = paper.adjust(user, fiat, crypto, key);
            assert_eq!(answer(ledger.adjust(now, adjustment).await.unwrap()), expected);
        }
        Step::Fund { fiat, crypto } => {
            let capital = Capital {
                fiat: Amount::new(fiat, Asset::USD),
                crypto: Amount::new(crypto, Asset::ETH),
            };
            assert_eq!(ledger.fund(now, capital).await.unwrap(), paper.fund(fiat, crypto));
        }
    }
}

/// After every step, on one snapshot: the database holds exactly the accounts of the paper, and its audit agrees.
fn compare(reader: &Connection, paper: &Paper) {
    let model = &paper.model;
    Model::assert_sound(&model.balances);
    let snapshot = reader.unchecked_transaction().unwrap();
    let report = audit::check_books(&snapshot).unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report.transfers, model.journal.len() as u64);
    let mut accounts = snapshot
        .prepare_cached("SELECT owner, asset, balance FROM balance_accounts")
        .unwrap();
    let accounts = accounts.query_map((), |row| {
        let asset = row.get::<_, String>(1)?.parse().unwrap();
        Ok(((row.get(0)?, asset), row.get::<_, AmountBlob>(2)?.0))
    });
    let balances: Balances = accounts.unwrap().map(Result::unwrap).collect();
    assert_eq!(balances, model.balances);
}

/// The same on PostgreSQL.
async fn compare_on_postgres(ledger: &dyn LedgerStore, reader: &Client, paper: &Paper) {
    let model = &paper.model;
    Model::assert_sound(&model.balances);
    let report = ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
    assert_eq!(report.transfers, model.journal.len() as u64);
    let accounts = "SELECT owner, asset, balance FROM balance.accounts";
    let accounts = reader.query(accounts, &[]).await.unwrap();
    let accounts = accounts.iter().map(|row| {
        let asset = row.get::<_, &str>(1).parse().unwrap();
        ((row.get(0), asset), row.get::<_, Numeric>(2).0)
    });
    assert_eq!(accounts.collect::<Balances>(), model.balances);
}

/// At the end of a walk every wallet and statement is read through the port: the journal from both sides.
async fn compare_statements(ledger: &dyn LedgerStore, paper: &Paper) {
    let journal = &paper.model.journal;
    for who in std::iter::once(UserId::HOT_WALLET).chain(users()) {
        let wallet = ledger.wallet(who).await.unwrap();
        assert_eq!(
            wallet.map(|wallet| wallet.balances),
            paper.model.wallet(who),
            "the wallet of {who}"
        );
        let owner = Owner::wallet(who);
        let mut expected = Vec::new();
        for (place, entry) in journal.iter().enumerate().rev() {
            let Transfer {
                id,
                debit,
                credit,
                amount,
                reason,
                ..
            } = &entry.transfer;
            let line = |units, counter: &Owner, after| (place + 1, *id, units, counter.clone(), after, reason.clone());
            if *debit == owner {
                expected.push(line(-amount.units(), credit, entry.debit_after));
            } else if *credit == owner {
                expected.push(line(amount.units(), debit, entry.credit_after));
            }
        }
        let mut found = Vec::new();
        let mut before = None;
        while let Some(page) = ledger
            .statement(who, before, 7)
            .await
            .unwrap()
            .filter(|page| !page.is_empty())
        {
            before = page.last().map(|line| line.entry_id);
            found.extend(page.into_iter().map(|line| {
                let id = TransferId {
                    origin: line.origin,
                    leg: line.leg,
                };
                let place = usize::try_from(line.entry_id).unwrap();
                (
                    place,
                    id,
                    line.amount.units(),
                    line.counter_account,
                    line.balance_after.units(),
                    line.reason,
                )
            }));
        }
        assert_eq!(found, expected, "the statement of {who}");
    }
}

/// The journal as the audit reads it.
fn compare_journals(snapshot: &Connection, paper: &Paper) {
    let journal = &paper.model.journal;
    let mut found = audit::transfers_of_orders(snapshot, 1, i64::MAX).unwrap();
    found.extend(audit::transfers_of_deposits(snapshot, 1, i64::MAX).unwrap());
    found.extend(audit::transfers_of_adjustments(snapshot, 1, i64::MAX).unwrap());
    found.extend(audit::funding(snapshot).unwrap());
    found.sort_by_key(|posted| posted.entry_id);
    assert_eq!(found.len(), journal.len());
    for (posted, entry) in found.iter().zip(journal) {
        assert_eq!(posted.transfer, entry.transfer);
        assert_eq!(posted.debit_balance_after.units(), entry.debit_after);
        assert_eq!(posted.credit_balance_after.units(), entry.credit_after);
    }
}

/// Takes random walks.
fn walk(cases: u32, walk: impl AsyncFn(Vec<u64>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let walks = proptest::collection::vec(any::<u64>(), 50);
    let outcome = runner.run(&walks, |steps| {
        runtime.block_on(walk(steps));
        Ok(())
    });
    outcome.unwrap();
}

fn cases(quick: u32, full: u32) -> u32 {
    if std::env::var_os("CAMBIST_TEST_FULL").is_some() {
        full
    } else {
        quick
    }
}

#[test]
fn the_ledger_agrees_with_the_books_on_paper() {
    walk(cases(150, 10_000), async |steps| {
        let given = fresh_books();
        let reader = storage::sqlite::reader(&given.path).unwrap();
        let mut paper = Paper::default();
        for (second, number) in (0..).zip(steps) {
            take(&*given.ledger, &mut paper, second, Step::of(number)).await;
            compare(&reader, &paper);
        }
        compare_statements(&*given.ledger, &paper).await;
        compare_journals(&reader, &paper);
    });
}

#[test]
fn the_ledger_of_several_processes_agrees_with_the_books_on_paper() {
    walk(cases(8, 500), async |steps| {
        let given = postgres::fresh_books().await;
        let (reader, other) = (given.owner().await, given.beside().await);
        let mut paper = Paper::default();
        for (second, number) in (0..).zip(steps) {
            let replica = if second % 2 == 0 { &given.ledger } else { &other };
            take(&**replica, &mut paper, second, Step::of(number)).await;
            compare_on_postgres(&*given.ledger, &reader, &paper).await;
        }
        compare_statements(&*given.ledger, &paper).await;
    });
}
