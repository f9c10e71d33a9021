//! Whole numbers, sizes and times as people write them, without floating point. Every parser answers a wrong text with
//! what it expected. Own code, because `humantime` knows neither decimals nor a number alone, and reads `M` as a month.

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
/// What was expected, when the text is not a size or too large to count.
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

/// A time: one or more numbers with a unit each, as in `1h 30m`, which are added up; a number alone counts seconds. The
/// units are those of [`unit_ms`], and a number may have decimals, as in `1.5h`.
///
/// # Errors
/// What was expected, when the text is not a time, or one of less than a millisecond.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let millis = parse_millis(text).filter(|millis| *millis > 0);
    let expected = || String::from("a time such as 500ms, 30s, 5m, 1h 30m, 1.5h, 2d or 1week");
    millis.map(Duration::from_millis).ok_or_else(expected)
}

/// A size as [`parse_bytes`] takes it, of at most `MAX` bytes.
///
/// # Errors
/// What was expected, with the bound where that is what was exceeded.
pub fn size_up_to<const MAX: u64>(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if bytes <= MAX {
        return Ok(bytes);
    }
    let (unit, name) = if MAX.is_multiple_of(1 << 30) { (1 << 30, "GiB") } else { (1 << 20, "MiB") };
    Err(format!("at most {} {name}", MAX / unit))
}

/// A time as [`parse_duration`] takes it, of at most `MAX` milliseconds.
///
/// # Errors
/// What was expected, with the bound where that is what was exceeded.
pub fn time_up_to<const MAX: u64>(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time <= Duration::from_millis(MAX) {
        return Ok(time);
    }
    Err(format!("at most {} days", MAX / (24 * 3600 * 1000)))
}

/// A time as [`parse_duration`] takes it, or none at all: `0`.
///
/// # Errors
/// What was expected.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let expected = || String::from("a time such as 0, 10s, 1m 30s or 1h");
    parse_millis(text).map(Duration::from_millis).ok_or_else(expected)
}

fn parse_millis(text: &str) -> Option<u64> {
    let (number, unit) = Number::split(text)?;
    if unit.is_empty() {
        return number.times(1_000);
    }
    let (mut millis, mut number, mut rest) = (0u64, number, unit);
    loop {
        let end = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, behind) = rest.split_at(end);
        millis = millis.checked_add(number.times(unit_ms(unit.trim())?)?)?;
        if behind.is_empty() {
            return Some(millis);
        }
        (number, rest) = Number::split(behind)?;
    }
}

/// The length of a unit in milliseconds. Months and years have none.
fn unit_ms(unit: &str) -> Option<u64> {
    match unit {
        "ms" | "msec" | "millis" => Some(1),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1_000),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60_000),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600_000),
        "d" | "day" | "days" => Some(86_400_000),
        "w" | "week" | "weeks" => Some(604_800_000),
        _ => None,
    }
}

/// A decimal number that is not negative.
#[derive(Clone, Copy, Debug)]
struct Number {
    whole: u64,
    /// Billionths.
    part: u64,
}

impl Number {
    /// The number that a text begins with, and the text behind it, without spaces around.
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

    /// The number times `factor`, rounded down; `None` if that is more than a `u64` holds.
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
    fn a_size_or_a_time_beyond_its_bound_is_told_the_bound() {
        assert_eq!(size_up_to::<{ 1 << 30 }>("1GiB"), Ok(1 << 30));
        assert_eq!(size_up_to::<{ 1 << 30 }>("1025MiB"), Err(String::from("at most 1 GiB")));
        assert_eq!(size_up_to::<{ 16 << 20 }>("1GiB"), Err(String::from("at most 16 MiB")));
        assert!(size_up_to::<{ 1 << 30 }>("lots").unwrap_err().starts_with("a size such as"));
        const WEEK: u64 = 7 * 24 * 3600 * 1000;
        assert_eq!(time_up_to::<WEEK>("1week"), Ok(Duration::from_millis(WEEK)));
        assert_eq!(time_up_to::<WEEK>("8d"), Err(String::from("at most 7 days")));
        assert!(time_up_to::<WEEK>("lots").unwrap_err().starts_with("a time such as"));
    }

    #[test]
    fn times_are_sums_with_units_up_to_weeks_and_decimals() {
        let good = [
            ("1500ms", 1500),
            ("30", 30_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1.5h", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1week", 604_800_000),
            ("2 days", 172_800_000),
            ("0.25 s", 250),
            ("1h 30m", 5_400_000),
            ("1h30min", 5_400_000),
            ("1.5h 30 sec 5ms", 5_430_005),
        ];
        for (text, ms) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in [
            "",
            "0s",
            "0.1ms",
            "1y",
            "1M",
            "-1s",
            "1.s",
            "soon",
            "99999999999999w",
            "1h 30",
            "1 2h",
            "1h m",
            "1h 30000000000000w",
        ] {
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
