//! One line about any bytes: `checksum` returns `crc32 fnv1a-64 length`, the first two in hexadecimal. The CRC is
//! the one of gzip, zip and PNG (`crc32 FILE` agrees).

fn checksum(input: &[u8]) -> String {
    format!("{:08x} {:016x} {}\n", crc32(input), fnv1a(input), input.len())
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

weft_guest::functions! { checksum }

#[test]
fn known_sums() {
    assert_eq!(checksum(b"123456789"), "cbf43926 06d5573923c6cdfc 9\n");
    assert_eq!(checksum(b""), "00000000 cbf29ce484222325 0\n");
}
