//! How values lie in columns. An amount is sixteen bytes whose order is the numbers' order, because SQLite's
//! integers end at 2⁶³; arithmetic happens in Rust.

use jiff::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};

/// An amount's atomic units as a column: big-endian two's complement with the sign bit flipped, so that
/// comparing bytes compares numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AmountBlob(pub i128);

const SIGN: u128 = 1 << 127;

impl AmountBlob {
    fn to_bytes(self) -> [u8; 16] {
        (self.0.cast_unsigned() ^ SIGN).to_be_bytes()
    }
}

impl ToSql for AmountBlob {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.to_bytes().to_vec()))
    }
}

impl FromSql for AmountBlob {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes: [u8; 16] = value.as_blob()?.try_into().map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self((u128::from_be_bytes(bytes) ^ SIGN).cast_signed()))
    }
}

/// A time as a column: microseconds since the epoch.
#[must_use]
pub fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The time in such a column.
///
/// # Errors
/// A conversion error for numbers outside representable time.
pub fn from_micros(column: usize, micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| bad_column(column, Type::Integer, error))
}

/// The error for a column whose content this program cannot have written.
pub fn bad_column(
    column: usize,
    kind: Type,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_sort_as_the_numbers_do_and_come_back_exactly() {
        let numbers = [i128::MIN, -(1 << 90), -1, 0, 1, 99, 1 << 64, 1 << 100, i128::MAX];
        let blobs: Vec<_> = numbers.iter().map(|n| AmountBlob(*n).to_bytes()).collect();
        assert!(blobs.is_sorted());
        for (number, blob) in numbers.into_iter().zip(&blobs) {
            assert_eq!(
                AmountBlob::column_result(ValueRef::Blob(blob)).unwrap(),
                AmountBlob(number)
            );
        }
    }
}
