//! Words that were meant in the place of those that are not known.

/// Words that are named where none is alike.
const NAMED_MAX: usize = 12;

/// `; did you mean X?`, or which there are, or nothing where there are too many.
pub(crate) fn nearest(given: &str, known: &[&str]) -> String {
    let distance = |word: &str| strsim::damerau_levenshtein(given, word);
    // One slip, or one in three letters of a longer word.
    let slips_max = (given.chars().count() / 3).max(1);
    let best = known.iter().copied().min_by_key(|word| distance(word));
    match best.filter(|best| distance(best) <= slips_max) {
        Some(best) => format!("; did you mean {best}?"),
        None if known.len() <= NAMED_MAX => format!("; expected {}", known.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let known = ["retries", "timeout", "bad"];
        assert_eq!(nearest("retires", &known), "; did you mean retries?");
        assert_eq!(nearest("bda", &known), "; did you mean bad?");
        assert_eq!(nearest("time-out", &known), "; did you mean timeout?");
        assert_eq!(nearest("colour", &known), "; expected retries, timeout, bad");
    }
}
