//! The client of a weft node: what the SDK and the CLI speak.
