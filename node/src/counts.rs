//! Numbers of things and times in words for people.

/// `1 task`, `2 tasks`: for nouns whose plural has an s.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// How far a job is that goes on: `412 outcomes kept, 1 task open`.
#[must_use]
pub fn kept_and_open(kept: u32, open: u32) -> String {
    format!("{} kept, {} open", counted(kept.into(), "outcome"), counted(open.into(), "task"))
}

/// A time in its largest fitting unit.
#[must_use]
pub fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{} ms", tenths(micros, 1_000)),
        1_000_000..120_000_000 => format!("{} s", tenths(micros, 1_000_000)),
        120_000_000..7_200_000_000 => format!("{} min", tenths(micros, 60_000_000)),
        _ => format!("{} h", tenths(micros, 3_600_000_000)),
    }
}

/// [`micros`] for milliseconds.
#[must_use]
pub fn millis(millis: u64) -> String {
    micros(millis.saturating_mul(1000))
}

/// `count` in units of `unit`, with one decimal where it says something.
#[must_use]
pub fn tenths(count: u64, unit: u64) -> String {
    let (whole, tenth) = (count / unit, count % unit * 10 / unit);
    if tenth == 0 || whole >= 100 { whole.to_string() } else { format!("{whole}.{tenth}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(kept_and_open(412, 1), "412 outcomes kept, 1 task open");
        assert_eq!(kept_and_open(1, 0), "1 outcome kept, 0 tasks open");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(micros(999), "999 us");
        assert_eq!(micros(1_500), "1.5 ms");
        assert_eq!(micros(61_000_000), "61 s");
        assert_eq!(millis(7_200_000), "2 h");
    }
}
