//! Random walks through the ledger's life. A step comes from one number, so that proptest can shrink a failing walk:
//! zero is a step that does nothing.
//!
//! Names are few and most contents follow from the name, so that duplicates, conflicts, half-booked groups and
//! refused holds that come again are all common.

use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::{Amount, Asset, UserId};

use crate::given::{deposit, order, user};

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Open(UserId),
    Post(Vec<Posting>),
    Adjust {
        user: UserId,
        fiat: Option<i128>,
        crypto: Option<i128>,
        key: Option<u64>,
    },
    Fund {
        fiat: i128,
        crypto: i128,
    },
}

/// Users 2 to 5; each of them may or may not have a wallet yet.
pub(crate) fn users() -> impl Iterator<Item = UserId> {
    (2..=5).map(user)
}

const LEGS: [Leg; 6] = [
    Leg::Hold,
    Leg::TradePay,
    Leg::TradeReceive,
    Leg::TradeReturn,
    Leg::Withdraw,
    Leg::Release,
];

impl Step {
    pub(crate) fn of(number: u64) -> Self {
        if number == 0 {
            return Self::Post(Vec::new());
        }
        let mut dice = Dice(number);
        match dice.below(20) {
            0..=2 => Self::Open(user(2 + i64::try_from(dice.below(4)).unwrap())),
            3 => Self::Fund {
                fiat: i128::from(dice.below(3)) * 100_000,
                crypto: i128::from(dice.below(2)) * 100_000_000_000,
            },
            4 | 5 => Self::Adjust {
                user: user(1 + i64::try_from(dice.below(5)).unwrap()),
                fiat: dice.change(30_000),
                crypto: dice.change(1_000_000_000),
                key: (dice.below(2) == 0).then(|| dice.below(3)),
            },
            _ => Self::Post((0..=dice.below(5)).map(|_| dice.posting()).collect()),
        }
    }
}

/// Numbers from a number (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn change(&mut self, most: u64) -> Option<i128> {
        let change = i128::from(self.below(2 * most)) - i128::from(most);
        (self.below(3) > 0).then_some(change)
    }

    fn origin(&mut self) -> Origin {
        order(1 + i64::try_from(self.below(12)).unwrap())
    }

    fn posting(&mut self) -> Posting {
        match self.below(24) {
            0..=4 => Posting::single(paid_in(1 + i64::try_from(self.below(8)).unwrap())),
            5..=9 => Posting::single(usual(TransferId {
                origin: self.origin(),
                leg: Leg::Hold,
            })),
            10..=12 => {
                let leg = self.pick(&LEGS);
                Posting::single(usual(TransferId {
                    origin: self.origin(),
                    leg,
                }))
            }
            13..=15 => {
                let origin = self.origin();
                let legs = [Leg::TradePay, Leg::TradeReceive, Leg::TradeReturn];
                let transfers = legs.map(|leg| usual(TransferId { origin, leg })).to_vec();
                Posting { transfers }
            }
            16..=18 => {
                let how_many = 1 + self.below(8);
                let transfers = (0..how_many).map(|_| {
                    let leg = self.pick(&LEGS);
                    usual(TransferId {
                        origin: self.origin(),
                        leg,
                    })
                });
                Posting {
                    transfers: transfers.collect(),
                }
            }
            19..=21 => Posting::single(self.unusual()),
            22 => Posting::single(at_the_edge(self.below(4))),
            _ => self.malformed(),
        }
    }

    /// A known name with other content.
    fn unusual(&mut self) -> Transfer {
        let leg = self.pick(&LEGS);
        let mut transfer = usual(TransferId {
            origin: self.origin(),
            leg,
        });
        match self.below(5) {
            0 => transfer.amount = amount(transfer.amount.asset(), transfer.amount.units() + 1),
            1 => transfer.reason.push('!'),
            2 => transfer.actor.push('2'),
            3 => transfer.debit = Owner::Venue("other".to_owned()),
            _ => transfer.credit = Owner::Fees,
        }
        transfer
    }

    fn malformed(&mut self) -> Posting {
        let mut posting = Posting::single(usual(TransferId {
            origin: self.origin(),
            leg: Leg::Hold,
        }));
        let first = &mut posting.transfers[0];
        match self.below(9) {
            0 => first.amount = amount(Asset::ETH, 0),
            1 => first.amount = amount(Asset::ETH, i128::MIN),
            2 => first.credit = first.debit.clone(),
            3 => first.credit = Owner::Venue("No Name".to_owned()),
            4 => first.debit = Owner::User(UserId::HOT_WALLET),
            5 => first.reason = "r".repeat(201),
            6 => first.actor = "a".repeat(65),
            7 => posting.transfers.clear(),
            _ => posting.transfers = vec![first.clone(), first.clone()],
        }
        posting
    }
}

fn amount(asset: Asset, units: i128) -> Amount {
    Amount::new(units, asset)
}

/// What a name usually stands for: always the same.
fn usual(id: TransferId) -> Transfer {
    let (_, number) = id.origin.parts();
    let mut dice = Dice(u64::try_from(number).unwrap() * 64 + u64::from(id.leg.number()));
    let customer = Owner::User(user(2 + number % 4));
    let venue = Owner::Venue("sim".to_owned());
    let (debit, credit) = if id.leg == Leg::Hold {
        (customer, Owner::HotWallet)
    } else if id.leg == Leg::TradePay {
        (Owner::HotWallet, venue)
    } else if id.leg == Leg::TradeReceive {
        (venue, Owner::HotWallet)
    } else {
        (Owner::HotWallet, customer)
    };
    let asset = if id.leg == Leg::TradeReceive || id.leg == Leg::Withdraw {
        Asset::ETH
    } else {
        Asset::USD
    };
    let asset = if number % 3 == 0 { Asset::ETH } else { asset };
    // In wei: up to 64 ether, which is more than 2⁶⁴ holds, and never a round number.
    let units = if asset == Asset::ETH {
        i128::from(dice.next()) * 3 + 7
    } else {
        1 + i128::from(dice.below(40_000))
    };
    Transfer {
        id,
        debit,
        credit,
        amount: amount(asset, units),
        reason: format!("{} of order {number}", id.leg),
        actor: "wallet".to_owned(),
    }
}

fn paid_in(number: i64) -> Transfer {
    let mut dice = Dice(u64::try_from(number).unwrap() + 77);
    let credit = Owner::wallet(user(1 + number % 5));
    let (debit, money) = if number % 2 == 0 {
        (Owner::ExternalChain, amount(Asset::ETH, i128::from(dice.next()) * 5))
    } else {
        (
            Owner::ExternalBank,
            amount(Asset::USD, 1 + i128::from(dice.below(60_000))),
        )
    };
    Transfer {
        id: TransferId {
            origin: deposit(number),
            leg: Leg::Deposit,
        },
        debit,
        credit,
        amount: money,
        reason: "pay-in".to_owned(),
        actor: "operator:ann".to_owned(),
    }
}

/// As much as 128 bits hold, in an asset of its own: the second time it does not fit any more.
fn at_the_edge(number: u64) -> Transfer {
    let number = i64::try_from(number).unwrap();
    let (debit, credit) = match number {
        0 => (Owner::Treasury, Owner::HotWallet),
        1 => (Owner::Fees, Owner::HotWallet),
        2 => (Owner::Treasury, Owner::Rounding),
        _ => (Owner::HotWallet, Owner::Treasury),
    };
    Transfer {
        id: TransferId {
            origin: deposit(100 + number),
            leg: Leg::Deposit,
        },
        debit,
        credit,
        amount: amount(Asset::SOL, i128::MAX),
        reason: String::new(),
        actor: String::new(),
    }
}
