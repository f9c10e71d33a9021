//! `--halt`: when a map ends early, in GNU parallel's words.

/// When a map ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// What happens then.
    pub(crate) when: When,
    why: Why,
    most: Most,
}

/// What happens at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The job is cancelled.
    Now,
    /// No further input is handed out.
    Soon,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Fail,
    Success,
    Done,
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Most {
    Count(u64),
    /// Of all inputs.
    Percent(u64),
}

/// Tasks that ended, and how many inputs there are, once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) total: Option<u64>,
}

impl Halt {
    /// `WHEN,WHY=N`, `WHEN,WHY=N%` or `never`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self { when: When::Now, why: Why::Fail, most: Most::Count(u64::MAX) });
        }
        let expected = || {
            String::from(
                "never, or now or soon, a comma, and fail=N, success=N or done=N, with N from 1 on, or N% up to 100%: such as soon,fail=1",
            )
        };
        let (when, rest) = text.split_once(',').ok_or_else(expected)?;
        let (why, most) = rest.split_once('=').ok_or_else(expected)?;
        let when = match when {
            "now" => When::Now,
            "soon" => When::Soon,
            _ => return Err(expected()),
        };
        let why = match why {
            "fail" => Why::Fail,
            "success" => Why::Success,
            "done" => Why::Done,
            _ => return Err(expected()),
        };
        let number = |digits: &str, most: u64| {
            let number = digits.parse().ok().filter(|number| (1..=most).contains(number));
            number.filter(|_| !digits.starts_with('+')).ok_or_else(expected)
        };
        let most = match most.strip_suffix('%') {
            Some(percent) => Most::Percent(number(percent, 100)?),
            None => Most::Count(number(most, u64::from(u32::MAX))?),
        };
        Ok(Self { when, why, most })
    }

    /// Whether that many are enough.
    pub(crate) fn is_reached(&self, ended: Ended) -> bool {
        let Ended { done, failed, total } = ended;
        let counted = match self.why {
            Why::Fail => failed,
            Why::Success => done,
            Why::Done => done + failed,
        };
        match (self.most, total) {
            (Most::Count(most), _) => counted >= most,
            (Most::Percent(percent), Some(total)) => {
                counted > 0 && counted * 100 >= total.saturating_mul(percent)
            }
            (Most::Percent(_), None) => false,
        }
    }

    /// Whether it is successes that end the map: failures before them are no failure of it.
    pub(crate) fn is_success(&self) -> bool {
        self.why == Why::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(halt: &str, done: u64, failed: u64, total: Option<u64>) -> bool {
        Halt::parse(halt).unwrap().is_reached(Ended { done, failed, total })
    }

    #[test]
    fn it_ends_when_enough_are_counted() {
        // halt, done, failed, total -> reached
        let table = [
            ("soon,fail=1", 5, 0, None, false),
            ("soon,fail=1", 0, 1, None, true),
            ("now,fail=3", 9, 2, Some(20), false),
            ("now,fail=3", 9, 3, Some(20), true),
            ("now,success=1", 0, 9, None, false),
            ("now,success=1", 1, 9, None, true),
            ("now,done=4", 1, 2, None, false),
            ("now,done=4", 2, 2, None, true),
            ("now,fail=10%", 0, 9, Some(100), false),
            ("now,fail=10%", 0, 10, Some(100), true),
            ("now,fail=10%", 0, 10, None, false),
            ("soon,done=50%", 1, 0, Some(3), false),
            ("soon,done=50%", 2, 0, Some(3), true),
            ("soon,done=1%", 0, 0, Some(0), false),
            ("never", 9, u64::from(u32::MAX), None, false),
        ];
        for (halt, done, failed, total, expected) in table {
            assert_eq!(reached(halt, done, failed, total), expected, "{halt} {done} {failed} {total:?}");
        }
    }

    #[test]
    fn what_is_no_time_to_end_is_refused() {
        for wrong in [
            "",
            "now",
            "soon",
            "fail=1",
            "later,fail=1",
            "now,fail",
            "now,fail=",
            "now,fail=0",
            "now,fail=+1",
            "now,fail=-1",
            "now,fail=101%",
            "now,fail=0%",
            "now,lost=1",
            "now,fail=1,success=1",
            "now,fail=1.5",
            "now,fail=4294967296",
        ] {
            assert!(Halt::parse(wrong).is_err(), "{wrong}");
        }
    }
}
