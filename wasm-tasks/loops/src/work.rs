// The loops themselves, in plain Rust without any name of the guest's world: the benchmark of node/exec compiles this
// very file natively, so that both sides run the same source.

/// Points of the Mandelbrot set in a square of `size` pixels: floats, and a branch that nobody can foresee.
pub fn mandelbrot(size: u32) -> u64 {
    let mut inside = 0;
    for row in 0..size {
        for column in 0..size {
            let (a, b) = (
                f64::from(column) * 3.0 / f64::from(size) - 2.0,
                f64::from(row) * 2.0 / f64::from(size) - 1.0,
            );
            let (mut x, mut y, mut steps) = (0.0, 0.0, 0u64);
            while x * x + y * y <= 4.0 && steps < 200 {
                let next = x * x - y * y + a;
                y = 2.0 * x * y + b;
                x = next;
                steps += 1;
            }
            inside += steps;
        }
    }
    inside
}

/// Rounds of SHA-256's compression on one block: rotations and additions in a long chain.
pub fn sha256(rounds: u32) -> u64 {
    let mut state = [
        0x6a09_e667u32,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    for round in 0..rounds {
        let mut words = [0u32; 64];
        for (index, word) in words.iter_mut().take(16).enumerate() {
            *word = state[index % 8].wrapping_add(round).rotate_left(index as u32);
        }
        for index in 16..64 {
            let (a, b) = (words[index - 15], words[index - 2]);
            let low = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let high = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            words[index] =
                words[index - 16].wrapping_add(low).wrapping_add(words[index - 7]).wrapping_add(high);
        }
        let mut v = state;
        for word in words {
            let sum = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let first =
                v[7].wrapping_add(sum).wrapping_add(choice).wrapping_add(word).wrapping_add(0x428a_2f98);
            let sum = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let second = sum.wrapping_add((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            v = [first.wrapping_add(second), v[0], v[1], v[2], v[3].wrapping_add(first), v[4], v[5], v[6]];
        }
        for (total, word) in state.iter_mut().zip(v) {
            *total = total.wrapping_add(word);
        }
    }
    state.iter().fold(0, |sum, word| sum.rotate_left(7) ^ u64::from(*word))
}

/// Steps that all numbers below `limit` take to reach 1: integers, and a division by two that may be a shift.
pub fn collatz(limit: u32) -> u64 {
    let mut steps = 0;
    for start in 1..u64::from(limit) {
        let mut number = start;
        while number != 1 {
            number = if number % 2 == 0 { number / 2 } else { 3 * number + 1 };
            steps += 1;
        }
    }
    steps
}

/// The product of two matrices of `size` by `size`: memory in rows, and a sum that vectors like.
pub fn matmul(size: u32) -> u64 {
    let size = size as usize;
    let left: Vec<f32> = (0..size * size).map(|index| (index % 17) as f32).collect();
    let right: Vec<f32> = (0..size * size).map(|index| (index % 13) as f32).collect();
    let mut product = vec![0f32; size * size];
    for (row, into) in left.chunks_exact(size).zip(product.chunks_exact_mut(size)) {
        for (factor, line) in row.iter().zip(right.chunks_exact(size)) {
            for (sum, value) in into.iter_mut().zip(line) {
                *sum += factor * value;
            }
        }
    }
    product.iter().fold(0, |sum, value| sum.wrapping_mul(31).wrapping_add(*value as u64))
}

/// How many primes are below `limit`: stores all over a memory that is larger than a cache.
pub fn sieve(limit: u32) -> u64 {
    let limit = limit as usize;
    let mut composite = vec![false; limit];
    let mut primes = 0;
    for number in 2..limit {
        if composite[number] {
            continue;
        }
        primes += 1;
        // The square of a large one is beyond the limit, and beyond a guest's 32 bits.
        if number <= limit / number {
            for multiple in (number * number..limit).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    primes
}
