//! The course of the market: where its price stands when an order comes. Pure, in whole basis points.
//!
//! What it keeps true: the place of an order on the course depends on the seed and the order's name alone. Whoever comes
//! first, and however often the venue is started, an order meets the same price.

use contracts::BasisPoints;
use contracts::messages::Step;

use crate::ports::ClientOrderId;

/// How many steps a walk has. Then it goes back the way it came, so that the market always returns to its middle.
const WALK: u64 = 1_000;

/// How many steps after its trade an order is reversed.
const REVERSAL_LAG: u64 = 10;

/// The farthest from the middle, in basis points: a price stays above zero, and below its double.
const FARTHEST: i64 = 9_000;

/// How the price moves from order to order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    /// What it is drawn from.
    pub seed: u64,
    /// Basis points of the middle price by which each step goes up, or down where negative.
    pub drift: i16,
    /// The most basis points by which a step's chance goes further up or down; evenly drawn.
    pub volatility: BasisPoints,
}

impl Course {
    /// How far the market stands from its middle when the order of this name comes: −9,000 to 9,000 basis points.
    ///
    /// Order `n` comes at step `n`, a repeated attempt one step later, a reversal ten. At most 1,000 draws.
    #[must_use]
    pub fn at(&self, id: &ClientOrderId) -> i64 {
        if self.drift == 0 && self.volatility == BasisPoints::ZERO {
            return 0;
        }
        let lag = if id.step == Step::Reverse { REVERSAL_LAG } else { 0 };
        let step = id.order_id.get().unsigned_abs() + u64::from(id.attempt.saturating_sub(1)) + lag;
        let (leg, along) = (step / WALK, step % WALK);
        let steps = if leg.is_multiple_of(2) { along } else { WALK - along };
        let walk = mixed(self.seed).wrapping_add((leg / 2).wrapping_mul(WALK));
        let reached = (1..=steps).fold(0_i64, |reached, step| reached + self.step(walk.wrapping_add(step)));
        reached.clamp(-FARTHEST, FARTHEST)
    }

    fn step(&self, place: u64) -> i64 {
        let spread = i64::from(self.volatility.get());
        let drawn = mixed(place) % (2 * spread.unsigned_abs() + 1);
        i64::from(self.drift) + drawn.cast_signed() - spread
    }
}

/// The output of SplitMix64 at this place of its sequence (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014): any place can be had without those before it.
fn mixed(place: u64) -> u64 {
    let mut z = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
