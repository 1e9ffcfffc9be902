//! A big number as a child would write it: decimal digits on paper, schoolbook addition and multiplication.
//!
//! Slow and obviously right, and sharing nothing with the code under test: no binary wide integers, no `u128` and no
//! decimal codec. There is no division, so a rounded result is checked by the inequality that defines it.

use std::cmp::Ordering;

/// A natural number of any size: decimal digits from the last to the first, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u8>);

impl Natural {
    pub(crate) fn from_digits(text: &str) -> Self {
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
        Self::trimmed(text.bytes().rev().map(|byte| byte - b'0').collect())
    }

    pub(crate) fn of(number: impl ToString + Copy) -> Self {
        Self::from_digits(&number.to_string())
    }

    pub(crate) fn power_of_ten(exponent: usize) -> Self {
        Self::of(1).times_power_of_ten(exponent)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn digits(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        self.0.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut sum = Vec::new();
        let mut carry = 0;
        for place in 0..self.0.len().max(other.0.len()) {
            let digit = self.at(place) + other.at(place) + carry;
            sum.push(digit % 10);
            carry = digit / 10;
        }
        sum.push(carry);
        Self::trimmed(sum)
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut columns = vec![0_u32; self.0.len() + other.0.len() + 1];
        for (place, digit) in self.0.iter().enumerate() {
            for (other_place, other_digit) in other.0.iter().enumerate() {
                columns[place + other_place] += u32::from(*digit) * u32::from(*other_digit);
            }
        }
        let mut carry = 0;
        let product = columns
            .into_iter()
            .map(|column| {
                let value = column + carry;
                carry = value / 10;
                u8::try_from(value % 10).unwrap()
            })
            .collect();
        Self::trimmed(product)
    }

    pub(crate) fn times_power_of_ten(&self, exponent: usize) -> Self {
        let mut digits = vec![0; exponent];
        digits.extend(&self.0);
        Self::trimmed(digits)
    }

    /// This number without its last digits, if those are zeros.
    pub(crate) fn divided_by_power_of_ten(&self, exponent: usize) -> Option<Self> {
        let dropped = self.0.len().min(exponent);
        self.0[..dropped]
            .iter()
            .all(|digit| *digit == 0)
            .then(|| Self(self.0[dropped..].to_vec()))
    }

    fn at(&self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or(0)
    }

    fn trimmed(mut digits: Vec<u8>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self(digits)
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[test]
fn the_model_itself_can_count() {
    for a in 0..120_u32 {
        for b in 0..120_u32 {
            assert_eq!(Natural::of(a).plus(&Natural::of(b)), Natural::of(a + b));
            assert_eq!(Natural::of(a).times(&Natural::of(b)), Natural::of(a * b));
            assert_eq!(Natural::of(a).cmp(&Natural::of(b)), a.cmp(&b));
        }
    }
    assert_eq!(Natural::of(1_200).divided_by_power_of_ten(2), Some(Natural::of(12)));
    assert_eq!(Natural::of(1_200).divided_by_power_of_ten(3), None);
    assert_eq!(Natural::of(0).divided_by_power_of_ten(3), Some(Natural::of(0)));
    let max = Natural::of(u128::MAX);
    assert_eq!(
        max.times(&max).digits(),
        "115792089237316195423570985008687907852589419931798687112530834793049593217025"
    );
}
