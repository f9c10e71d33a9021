//! Simple constant expressions of the source, and the quantities of a page that they are compared with.

/// What a bound is: a number of things or bytes, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    Number(i128),
    /// Nanoseconds.
    Nanos(i128),
}

/// The lower-case words of a constant's name, or of `Type::NAME.field`.
pub(crate) fn words(name: &str) -> impl DoubleEndedIterator<Item = String> {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.split('_').map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

/// Nanoseconds of a unit, by its word in a constant's name or on a page.
pub(crate) fn nanos_per(unit: &str) -> Option<i128> {
    let nanos = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    Some(nanos)
}

/// A quantity as a page writes it: `65,536`, `64 KiB`, `5 s`.
pub(crate) fn parse_quantity(text: &str) -> Option<Quantity> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: i128 = number.replace([',', '_'], "").parse().ok()?;
    match unit {
        "" | "B" => Some(Quantity::Number(number)),
        "KiB" => Some(Quantity::Number(number << 10)),
        "MiB" => Some(Quantity::Number(number << 20)),
        "GiB" => Some(Quantity::Number(number << 30)),
        time => nanos_per(time).map(|nanos| Quantity::Nanos(number * nanos)),
    }
}

/// What a constant expression is worth: numbers, `+ - * / <<`, parentheses, `as`, durations, and other constants, whose
/// expressions `resolve` gives.
pub(crate) fn evaluate(text: &str, resolve: &dyn Fn(&str) -> Option<String>) -> Option<Quantity> {
    evaluate_within(text, resolve, 8)
}

/// `depth` ends constants that name each other.
fn evaluate_within(text: &str, resolve: &dyn Fn(&str) -> Option<String>, depth: u32) -> Option<Quantity> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, resolve, depth: depth.checked_sub(1)? };
    let value = parser.shift()?;
    parser.tokens.is_empty().then_some(value)
}

/// Words (numbers, names with `::` and `.`) and operators.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_:.".contains(letter);
        let length = if is_word(first) {
            rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len())
        } else if rest.starts_with("<<") {
            2
        } else if "+-*/()".contains(first) {
            1
        } else {
            return None;
        };
        let (token, after) = rest.split_at(length);
        found.push(token.to_owned());
        rest = after.trim_start();
    }
    Some(found)
}

struct Parser<'a> {
    tokens: &'a [String],
    resolve: &'a dyn Fn(&str) -> Option<String>,
    depth: u32,
}

impl Parser<'_> {
    fn shift(&mut self) -> Option<Quantity> {
        self.chain(&["<<"], Self::sum)
    }

    fn sum(&mut self) -> Option<Quantity> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Option<Quantity> {
        self.chain(&["*", "/"], Self::cast)
    }

    /// Operators of one rank, from the left.
    fn chain(&mut self, operators: &[&str], next: fn(&mut Self) -> Option<Quantity>) -> Option<Quantity> {
        let mut value = next(self)?;
        while let Some(operator) = self.take(operators) {
            value = apply(value, &operator, next(self)?)?;
        }
        Some(value)
    }

    /// A value and the types that it is cast to, which change nothing here.
    fn cast(&mut self) -> Option<Quantity> {
        let value = self.atom()?;
        while self.take(&["as"]).is_some() {
            self.word()?;
        }
        Some(value)
    }

    fn atom(&mut self) -> Option<Quantity> {
        if self.take(&["("]).is_some() {
            let value = self.shift()?;
            return self.take(&[")"]).map(|_| value);
        }
        let word = self.word()?;
        if word.starts_with(|letter: char| letter.is_ascii_digit()) {
            return number(&word).map(Quantity::Number);
        }
        let unit = match word.rsplit("::").next()? {
            "from_nanos" => "ns",
            "from_micros" => "us",
            "from_millis" => "ms",
            "from_secs" => "s",
            _ => return evaluate_within(&(self.resolve)(&word)?, self.resolve, self.depth),
        };
        self.take(&["("])?;
        let Quantity::Number(amount) = self.shift()? else { return None };
        self.take(&[")"])?;
        Some(Quantity::Nanos(amount * nanos_per(unit)?))
    }

    fn take(&mut self, wanted: &[&str]) -> Option<String> {
        let (first, rest) = self.tokens.split_first()?;
        if !wanted.contains(&first.as_str()) {
            return None;
        }
        self.tokens = rest;
        Some(first.clone())
    }

    fn word(&mut self) -> Option<String> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        first
            .starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
            .then(|| first.clone())
    }
}

fn apply(left: Quantity, operator: &str, right: Quantity) -> Option<Quantity> {
    let Quantity::Number(by) = right else { return None };
    let (amount, of): (i128, fn(i128) -> Quantity) = match left {
        Quantity::Number(amount) => (amount, Quantity::Number),
        Quantity::Nanos(amount) => (amount, Quantity::Nanos),
    };
    let result = match operator {
        "<<" => amount.checked_shl(u32::try_from(by).ok()?)?,
        "+" => amount.checked_add(by)?,
        "-" => amount.checked_sub(by)?,
        "*" => amount.checked_mul(by)?,
        "/" => amount.checked_div(by)?,
        _ => return None,
    };
    Some(of(result))
}

/// A number without its underscores and without its type.
fn number(text: &str) -> Option<i128> {
    let digits = text.replace('_', "");
    let end = digits.find(['u', 'i', 'f']).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[test]
fn expressions_are_worth_what_the_compiler_says() {
    let resolve = |name: &str| match name {
        "A" => Some(String::from("B + 1")),
        "B" => Some(String::from("7")),
        "LOOP" => Some(String::from("LOOP")),
        _ => None,
    };
    for (text, value) in [
        ("64 << 20", Some(Quantity::Number(64 << 20))),
        ("16 * 1024 + 16", Some(Quantity::Number(16_400))),
        ("1 << 4 + 1", Some(Quantity::Number(1 << 5))),
        ("2 * (A as usize - 1)", Some(Quantity::Number(14))),
        ("65_536_u32", Some(Quantity::Number(65_536))),
        ("Duration::from_secs(5)", Some(Quantity::Nanos(5_000_000_000))),
        ("Duration::from_millis(A * 10)", Some(Quantity::Nanos(80_000_000))),
        ("LOOP", None),
        ("u64::MAX", None),
        ("Most { all: 256 }", None),
        ("", None),
    ] {
        assert_eq!(evaluate(text, &resolve), value, "{text}");
    }
}

#[test]
fn quantities_of_a_page_have_units() {
    assert_eq!(parse_quantity("65,536"), Some(Quantity::Number(65_536)));
    assert_eq!(parse_quantity("64 KiB"), Some(Quantity::Number(65_536)));
    assert_eq!(parse_quantity("2 min"), Some(Quantity::Nanos(120_000_000_000)));
    assert_eq!(parse_quantity("2 apples"), None);
    assert_eq!(parse_quantity("a few"), None);
}
