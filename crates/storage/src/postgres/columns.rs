//! How values lie in columns: amounts as `numeric(39,0)`, times as microseconds, texts without NUL.

use bytes::{BufMut as _, BytesMut};
use jiff::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use super::TxError;

type Failure = Box<dyn std::error::Error + Sync + Send>;

/// An amount's atomic units as a `numeric` column, exactly: the wire's binary form is a list of digits to the base of
/// 10,000 (PostgreSQL, `numeric_send`), and none of it passes through a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Numeric(pub i128);

const BASE: u16 = 10_000;
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

impl ToSql for Numeric {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let mut digits = Vec::with_capacity(10);
        let mut rest = self.0.unsigned_abs();
        while rest > 0 {
            digits.push(u16::try_from(rest % u128::from(BASE))?);
            rest /= u128::from(BASE);
        }
        out.put_u16(u16::try_from(digits.len())?);
        out.put_i16(i16::try_from(digits.len())?.saturating_sub(1));
        out.put_u16(if self.0 < 0 { NEGATIVE } else { POSITIVE });
        out.put_u16(0);
        for digit in digits.into_iter().rev() {
            out.put_u16(digit);
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let mut words = raw.chunks(2).map(|pair| match pair {
            [high, low] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err("half a digit"),
        });
        let mut word = || words.next().unwrap_or(Err("too short"));
        let (count, weight, sign, _scale) = (word()?, word()?.cast_signed(), word()?, word()?);
        // Below zero, where there is room for one more than above.
        let mut number = 0_i128;
        for place in 0..i32::from(count) {
            let digit = word()?;
            if i32::from(weight) - place < 0 && digit != 0 {
                return Err("not a whole number".into());
            }
            if i32::from(weight) - place >= 0 {
                number = number
                    .checked_mul(i128::from(BASE))
                    .and_then(|number| number.checked_sub(i128::from(digit)))
                    .ok_or("beyond 128 bits")?;
            }
        }
        // Zeros at the end are not sent.
        for _ in i32::from(count)..=i32::from(weight) {
            number = number.checked_mul(i128::from(BASE)).ok_or("beyond 128 bits")?;
        }
        match sign {
            NEGATIVE => Ok(Self(number)),
            POSITIVE => Ok(Self(number.checked_neg().ok_or("beyond 128 bits")?)),
            _ => Err("not a number".into()),
        }
    }

    accepts!(NUMERIC);
}

/// The time in a column of microseconds.
///
/// # Errors
/// [`TxError::Value`] for numbers outside representable time.
pub fn from_micros(micros: i64) -> Result<Timestamp, TxError> {
    Timestamp::from_microsecond(micros).map_err(|error| TxError::Value(error.to_string()))
}

/// A text from outside as it can be stored: PostgreSQL has no NUL, and a message with one must not be stored never.
#[must_use]
pub fn text(from_outside: String) -> String {
    if from_outside.contains('\0') {
        from_outside.replace('\0', "\u{fffd}")
    } else {
        from_outside
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(number: i128) -> i128 {
        let mut wire = BytesMut::new();
        Numeric(number).to_sql(&Type::NUMERIC, &mut wire).unwrap();
        Numeric::from_sql(&Type::NUMERIC, &wire).unwrap().0
    }

    #[test]
    fn the_ends_and_what_has_zeros_in_it_come_back_exactly() {
        for number in [
            0,
            1,
            -1,
            9_999,
            10_000,
            10_001,
            100_000_000,
            -(1 << 64),
            i128::MAX,
            i128::MIN,
        ] {
            assert_eq!(there_and_back(number), number);
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back_exactly(number: i128) {
            prop_assert_eq!(there_and_back(number), number);
        }
    }

    #[test]
    fn what_is_no_whole_number_of_128_bits_is_refused() {
        let wire = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let read = |words: &[u16]| {
            Numeric::from_sql(&Type::NUMERIC, &wire(words))
                .map(|Numeric(number)| number)
                .ok()
        };
        // Zeros at the end, before and after the point, are not a fraction; one half is.
        assert_eq!(read(&[1, 2, POSITIVE, 0, 7]), Some(700_000_000));
        assert_eq!(read(&[2, 0, NEGATIVE, 4, 7, 0]), Some(-7));
        assert_eq!(read(&[1, u16::MAX, POSITIVE, 1, 5_000]), None);
        assert_eq!(read(&[0, 0, 0xC000, 0]), None, "NaN");
        assert_eq!(read(&[1, 10, POSITIVE, 0, 1]), None, "10^40");
        assert_eq!(read(&[2, 0, POSITIVE]), None, "cut short");
    }

    #[test]
    fn a_text_with_nul_can_be_stored() {
        assert_eq!(text("a\0b".to_owned()), "a\u{fffd}b");
        assert_eq!(text("ab".to_owned()), "ab");
    }
}
