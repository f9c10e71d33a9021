//! Pi by darts: `pi` takes `seed samples` as text and returns how many of that many random points in the unit
//! square lie in the quarter circle. Four times all hits by all samples is pi; the sum over many seeds is what a
//! mesh is for. The same seed gives the same hits on every machine: all numbers are integers.

fn pi(input: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|word| word.parse().map_err(|error| format!("{:?} is no number: {}", word, error)))
        .collect::<Result<_, String>>()?;
    match numbers[..] {
        [seed, samples] => Ok(hits(seed, samples).to_string()),
        _ => Err(format!("expected \"seed samples\", got {} words", numbers.len())),
    }
}

/// How many of `samples` points with coordinates of 31 bits are nearer than 2^31 to the origin.
fn hits(seed: u64, samples: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut hits = 0;
    for _ in 0..samples {
        let bits = random.next();
        let (x, y) = (bits >> 33, bits & 0x7fff_ffff);
        hits += u64::from(x * x + y * y < 1 << 62);
    }
    hits
}

/// xorshift64*: a state of 64 bits that is never zero, scrambled by a multiplication.
struct Random(u64);

impl Random {
    /// Neighbouring seeds give unrelated sequences: a splitmix64 step spreads them.
    fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ state >> 31).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

weft_guest::functions! { pi }

#[test]
fn many_darts_make_pi() {
    let total: u64 = (0..10).map(|seed| hits(seed, 100_000)).sum();
    let pi = 4.0 * total as f64 / 1e6;
    assert!((pi - std::f64::consts::PI).abs() < 0.01, "{}", pi);
    assert_eq!(self::pi(b"7 1000"), self::pi(b" 7\n1000\n"));
    assert!(self::pi(b"7").unwrap_err().contains("1 words"));
}
