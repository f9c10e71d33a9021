//! Where a wrong value was given: an error names the flag, the variable, or the key of the settings file.

use super::SettingsError;
use super::layer::Layer;

impl SettingsError {
    /// The same error, which names the place that the value came from: the first layer that says something counts.
    pub(super) fn named_by(self, flags: &Layer, [environment, file]: &[Layer; 2]) -> Self {
        let Self::Value { key, value, expected } = self else { return self };
        let place = match key.as_str() {
            key if flags.says(key) => format!("--{key}"),
            key if environment.says(key) => format!("WEFT_{}", key.replace('-', "_").to_ascii_uppercase()),
            // The error puts it between backticks.
            key if file.says(key) => format!("{}` in `weft.toml", file_key_of(key)),
            key => format!("--{key}"),
        };
        Self::Value { key: place, value, expected }
    }
}

/// The file's key for a flag.
fn file_key_of(key: &str) -> &str {
    match key {
        "label" => "labels",
        "peer" => "peers",
        other => other,
    }
}

impl Layer {
    /// Whether this layer says something about the setting of that flag's name.
    fn says(&self, key: &str) -> bool {
        match key {
            "name" => self.name.is_some(),
            "listen" => self.listen.is_some(),
            "api" => self.api.is_some(),
            "slots" => self.slots.is_some(),
            "slot-kind" => self.slot_kind.is_some(),
            "memory" => self.memory.is_some(),
            "module-limit" => self.module_limit.is_some(),
            "label" => self.labels.is_some(),
            "class-min" => self.class_min.is_some(),
            "accept" => self.accept.is_some(),
            "refuse" => self.refuse.is_some(),
            "peer" => self.peers.is_some(),
            "store" => self.store.is_some(),
            "memo" => self.memo.is_some(),
            _ => false,
        }
    }
}
