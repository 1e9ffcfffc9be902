//! The codec between decimal text and integers with a scale: exact in both directions, for every scale up to 18.
//!
//! It keeps `units_from_text(format_units(x, s), s) = x` for every `x` that fits, and never rounds: what does not fit
//! exactly is an error. The cost is bounded by [`MAX_TEXT_LEN`], not by the number: `1e999999999` is refused as quickly
//! as `12`.

use std::fmt;

use super::AmountError;

/// The longest text that is looked at, in bytes. The longest number there is needs 41
/// (`-170141183460469231731.687303715884105728`, `i128::MIN` at scale 18); the rest is room for zeros.
pub const MAX_TEXT_LEN: usize = 64;

/// Any exponent beyond this cannot matter: 64 digits moved by 1,000 places are out of range or too precise, or zero.
const EXPONENT_LIMIT: i32 = 1_000;

/// The integer that `text` stands for, in units of `10^-scale`: `units_from_text("1.5", 8)` is `150_000_000`.
///
/// The grammar is that of a JSON number (RFC 8259, section 6) that may have leading zeros: `-`? digits (`.` digits)?
/// (`e` sign? digits)?, in ASCII, without spaces, `+` or separators.
///
/// # Errors
///
/// [`AmountError::TooLong`] and [`AmountError::Malformed`] for what is not a number, [`AmountError::TooPrecise`] if it
/// has non-zero digits below `10^-scale` (zeros there are fine), [`AmountError::OutOfRange`] if it does not fit `i128`.
pub fn units_from_text(text: &str, scale: u8) -> Result<i128, AmountError> {
    let decimal = Decimal::parse(text)?;
    if decimal.is_zero() {
        return Ok(0);
    }
    let shift = decimal.exponent + i32::from(scale);
    let zeros = u32::try_from(shift).map_err(|_| AmountError::TooPrecise)?;
    let magnitude = decimal.magnitude(zeros).ok_or(AmountError::OutOfRange)?;
    // `0 - magnitude` and not `-(magnitude)`: `i128::MIN` has no positive counterpart.
    let units = if decimal.negative {
        0_i128.checked_sub_unsigned(magnitude)
    } else {
        0_i128.checked_add_unsigned(magnitude)
    };
    units.ok_or(AmountError::OutOfRange)
}

/// The mantissa and scale of a positive number, as small as they can be: `("10.50")` is `(105, 1)`.
pub(super) fn positive_from_text(text: &str, max_scale: u8) -> Result<(u128, u8), AmountError> {
    let decimal = Decimal::parse(text)?;
    if decimal.is_zero() || decimal.negative {
        return Err(AmountError::NotPositive);
    }
    let zeros = u32::try_from(decimal.exponent).unwrap_or(0);
    let decimals = if decimal.exponent < 0 {
        decimal.exponent.unsigned_abs()
    } else {
        0
    };
    let scale = u8::try_from(decimals)
        .ok()
        .filter(|scale| *scale <= max_scale)
        .ok_or(AmountError::TooPrecise)?;
    let mantissa = decimal.magnitude(zeros).ok_or(AmountError::OutOfRange)?;
    Ok((mantissa, scale))
}

/// Writes `units × 10^-scale` as the shortest decimal text that is exact: `30`, `0.5`, `-13.77`.
///
/// The text is a JSON number. Width, fill and sign of the formatter apply; a precision does not, because it would
/// cut digits off.
pub fn format_units(f: &mut fmt::Formatter<'_>, units: i128, scale: u8) -> fmt::Result {
    format_magnitude(f, units.is_negative(), units.unsigned_abs(), scale)
}

pub(super) fn format_magnitude(
    f: &mut fmt::Formatter<'_>,
    negative: bool,
    mut magnitude: u128,
    mut scale: u8,
) -> fmt::Result {
    while scale > 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
        scale -= 1;
    }
    // From the last digit to the first. `u8::MAX` decimals, a point and a digit before it would still fit.
    let mut buffer = [b'0'; 1 + u8::MAX as usize + 39];
    let mut start = buffer.len();
    let mut decimals = usize::from(scale);
    loop {
        start -= 1;
        buffer[start] = b'0' + u8::try_from(magnitude % 10).expect("a remainder of ten is below ten");
        magnitude /= 10;
        if decimals > 0 {
            decimals -= 1;
            if decimals == 0 {
                start -= 1;
                buffer[start] = b'.';
            }
        } else if magnitude == 0 {
            // A digit before the point has been written, and none is left.
            break;
        }
    }
    let text = std::str::from_utf8(&buffer[start..]).expect("digits and a point are ASCII");
    f.pad_integral(!negative, "", text)
}

/// `(-1)^negative × digits × 10^exponent`. Without trailing zeros in `digits`: zero has no digits at all, and a negative
/// exponent means that the number really has that many decimals.
struct Decimal {
    negative: bool,
    digits: [u8; MAX_TEXT_LEN],
    len: usize,
    exponent: i32,
}

impl Decimal {
    fn parse(text: &str) -> Result<Self, AmountError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(AmountError::TooLong);
        }
        let (negative, rest) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (whole, rest) = split_digits(rest)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest)?,
            rest => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => parse_exponent(rest)?,
            _ => return Err(AmountError::Malformed),
        };

        let decimals = i32::try_from(fraction.len()).expect("a fraction is part of a text of bounded length");
        let mut decimal = Self {
            negative,
            digits: [0; MAX_TEXT_LEN],
            len: 0,
            exponent: exponent - decimals,
        };
        for digit in whole.iter().chain(fraction) {
            decimal.digits[decimal.len] = digit - b'0';
            decimal.len += 1;
        }
        while decimal.len > 0 && decimal.digits[decimal.len - 1] == 0 {
            decimal.len -= 1;
            decimal.exponent += 1;
        }
        Ok(decimal)
    }

    fn is_zero(&self) -> bool {
        self.len == 0
    }

    /// The digits followed by this many zeros, unless that is more than `u128` holds.
    fn magnitude(&self, zeros: u32) -> Option<u128> {
        let digits = self.digits[..self.len].iter().try_fold(0_u128, |value, digit| {
            value.checked_mul(10)?.checked_add(u128::from(*digit))
        })?;
        digits.checked_mul(10_u128.checked_pow(zeros)?)
    }
}

/// At least one digit, and what follows the digits.
fn split_digits(bytes: &[u8]) -> Result<(&[u8], &[u8]), AmountError> {
    let end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    if end == 0 {
        Err(AmountError::Malformed)
    } else {
        Ok(bytes.split_at(end))
    }
}

fn parse_exponent(bytes: &[u8]) -> Result<i32, AmountError> {
    let (sign, rest) = match bytes {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let (digits, rest) = split_digits(rest)?;
    if !rest.is_empty() {
        return Err(AmountError::Malformed);
    }
    let magnitude = digits.iter().fold(0_i32, |value, digit| {
        (value * 10 + i32::from(digit - b'0')).min(EXPONENT_LIMIT)
    });
    Ok(sign * magnitude)
}
