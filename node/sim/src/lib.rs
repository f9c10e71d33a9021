//! The weft engine under virtual time, in a cruel world.
