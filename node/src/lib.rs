//! The weft node: wiring, waiting, showing.
