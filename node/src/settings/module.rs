//! The longest module that a node takes: a setting, between bounds of its own.

use super::{SettingsError, bytes_of, wrong};

const BYTES_MIN: u64 = 1 << 20;
/// Code is three to eight times as long as its module, and may have 1 GiB.
const BYTES_MAX: u64 = 512 << 20;

/// # Errors
/// When it is not a size between 1 MiB and 512 MiB.
pub(super) fn limit_of(given: Option<String>) -> Result<u64, SettingsError> {
    let text = given.clone().unwrap_or_default();
    let bytes = bytes_of("module-limit", given, weft_exec::MODULE_BYTES_MAX, BYTES_MIN)?;
    if bytes > BYTES_MAX {
        return Err(wrong("module-limit", text, format!("at most {} MiB", BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_limit_is_64_mib_unless_it_is_said_and_lies_between_1_and_512() {
        let limit = |text: &str| limit_of(Some(text.into())).map_err(|error| error.to_string());
        assert_eq!(limit_of(None).unwrap(), 64 << 20);
        assert_eq!((limit("1MiB"), limit("512MiB")), (Ok(1 << 20), Ok(512 << 20)));
        assert!(limit("1KiB").unwrap_err().contains("at least 1 MiB"));
        assert!(limit("1GiB").unwrap_err().contains("at most 512 MiB"));
    }
}
