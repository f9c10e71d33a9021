//! Bytes by their BLAKE3 hash, checked as they stream.
