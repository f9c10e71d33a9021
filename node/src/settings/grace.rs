//! How long work of others may run on when the node is told to end: a setting, between bounds of its own.

use std::time::Duration;

use super::quantity::parse_time;
use super::{SettingsError, wrong};

const GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// Longest time for which a node that is told to end lets work of others run on; a longer one is refused.
pub const GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// # Errors
/// When it is not a time of at most [`GRACE_MAX`].
pub(super) fn grace_of(given: Option<String>) -> Result<Duration, SettingsError> {
    let Some(text) = given else { return Ok(GRACE_DEFAULT) };
    match parse_time(&text) {
        Ok(grace) if grace <= GRACE_MAX => Ok(grace),
        Ok(_) => Err(wrong("grace", text, "at most 24h")),
        Err(expected) => Err(wrong("grace", text, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_is_10_s_unless_it_is_said_and_may_be_none() {
        let grace = |text: &str| grace_of(Some(text.into())).map_err(|error| error.to_string());
        assert_eq!(grace_of(None).unwrap(), Duration::from_secs(10));
        assert_eq!((grace("0"), grace("0s")), (Ok(Duration::ZERO), Ok(Duration::ZERO)));
        assert_eq!((grace("1m"), grace("24h")), (Ok(Duration::from_secs(60)), Ok(GRACE_MAX)));
        assert!(grace("2d").unwrap_err().contains("at most 24h"));
        for wrong in ["", "soon", "-1s", "10 parsecs"] {
            assert!(grace(wrong).unwrap_err().contains("such as 0, 10s"), "{wrong:?}");
        }
    }
}
