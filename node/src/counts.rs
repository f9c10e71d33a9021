//! Numbers of things in words for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!(kept_and_open(412, 1), "412 outcomes kept, 1 task open");
        assert_eq!(kept_and_open(1, 0), "1 outcome kept, 0 tasks open");
    }
}
