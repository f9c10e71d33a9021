//! Whole numbers, sizes and times as people write them, without floating point. Every parser answers a wrong text with
//! what it expected.

use std::str::FromStr;
use std::time::Duration;

/// Digits behind the point that count; one more would be less than a nanosecond of an hour.
const DECIMALS_MAX: usize = 9;

/// A whole number from `MIN` to `MAX`.
///
/// # Errors
/// What was expected.
pub fn parse_whole<T, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String>
where
    T: FromStr + TryFrom<u64>,
{
    let number = text.trim().parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("a whole number from {MIN} to {MAX}"))
}

/// A size in bytes: a number, alone or with `K`, `M`, `G`, `T` (or `KiB` and so on) for powers of 1024 and `KB`, `MB`,
/// `GB`, `TB` for powers of 1000. It may have decimals: `0.5GiB`.
///
/// # Errors
/// What was expected, when the text is no size or too large to count.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || String::from("a size such as 268435456, 512MiB or 0.5GiB");
    let (number, unit) = Number::split(text).ok_or_else(expected)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(expected()),
    };
    number.times(factor).ok_or_else(expected)
}

/// A time: a number with `ms`, `s`, `m` (or `min`), `h`, `d` or `w`; a number alone counts seconds. It may have
/// decimals, as `1.5h` has.
///
/// # Errors
/// What was expected, when the text is no time, or one of less than a millisecond.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || String::from("a time such as 500ms, 30s, 5m, 1.5h, 2d or 1w");
    let (number, unit) = Number::split(text).ok_or_else(expected)?;
    let factor_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(expected()),
    };
    let millis = number.times(factor_ms).filter(|millis| *millis > 0).ok_or_else(expected)?;
    Ok(Duration::from_millis(millis))
}

/// A decimal number that is not negative.
#[derive(Clone, Copy, Debug)]
struct Number {
    whole: u64,
    /// Billionths.
    part: u64,
}

impl Number {
    /// The number that a text begins with, and the unit behind it.
    fn split(text: &str) -> Option<(Self, &str)> {
        let text = text.trim();
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, part) =
            number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
        let part = match part {
            None => 0,
            Some(digits) if (1..=DECIMALS_MAX).contains(&digits.len()) => {
                format!("{digits:0<9}").parse().ok()?
            }
            Some(_) => return None,
        };
        Some((Self { whole: whole.parse().ok()?, part }, unit.trim()))
    }

    /// So many times `factor`, rounded down; `None` beyond what can be counted.
    fn times(self, factor: u64) -> Option<u64> {
        let part = u128::from(self.part) * u128::from(factor) / 1_000_000_000;
        let whole = u128::from(self.whole) * u128::from(factor);
        u64::try_from(whole + part).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_decimals() {
        let good = [
            ("512MiB", 512 << 20),
            ("2 GB", 2_000_000_000),
            ("0.5GiB", 512 << 20),
            ("1.5k", 1536),
            ("268435456", 256 << 20),
            ("0.1b", 0),
            ("16777215TiB", 16_777_215 << 40),
        ];
        for (text, bytes) in good {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in
            ["", "lots", "1Q", "-1", "1.MiB", ".5GiB", "1.2.3", "1.0000000001G", "99999999999T", "1e3"]
        {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units_up_to_weeks_and_decimals() {
        let good = [
            ("1500ms", 1500),
            ("30", 30_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("0.25 s", 250),
        ];
        for (text, ms) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "0s", "0.1ms", "1y", "1M", "-1s", "1.s", "soon", "99999999999999w"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_say_their_range() {
        assert_eq!(parse_whole::<u32, 1, 1024>("12"), Ok(12));
        let expected = || Err(String::from("a whole number from 0 to 4096"));
        for wrong in ["lots", "4097", "-1", "1.5", ""] {
            assert_eq!(parse_whole::<u32, 0, 4096>(wrong), expected(), "{wrong}");
        }
    }
}
