//! Settings that `weft-sim compare` can change in one of two runs of a seed: durations of the mesh, the weather, and
//! whether faults happen.

use weft_core::MeshConfig;

use crate::link::Chaos;
use crate::options::Options;

/// Settings that replace those drawn from a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    mesh: MeshConfig,
    delay_us: Option<u64>,
    jitter_us: Option<u64>,
    loss_permille: Option<u32>,
    calm: bool,
}

impl Settings {
    /// Reads `name=value` pairs, separated by commas.
    ///
    /// # Errors
    /// When a name is unknown or a value is invalid; the text says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}`: expected name=value"))?;
            let number: u64 = value
                .parse()
                .map_err(|_cause| format!("{name}: invalid value `{value}`: expected a whole number"))?;
            settings.set(name, number)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let small = u32::try_from(value)
            .map_err(|_cause| format!("{name}: {value} is too large: expected at most {}", u32::MAX));
        match name {
            "lease_ms" => self.mesh.lease_ms = value,
            "renew_ms" => self.mesh.renew_ms = value,
            "grace_ms" => self.mesh.grace_ms = value,
            "bid_ms" => self.mesh.bid_ms = value,
            "call_ms" => self.mesh.call_ms = value,
            "call_ttl_ms" => self.mesh.call_ttl_ms = value,
            "resend_ms" => self.mesh.resend_ms = value,
            "keep_ms" => self.mesh.keep_ms = value,
            "capacity_ms" => self.mesh.capacity_ms = value,
            "capacity_min_ms" => self.mesh.capacity_min_ms = value,
            "losses_max" => self.mesh.losses_max = small?,
            "delay_us" => self.delay_us = Some(value),
            "jitter_us" => self.jitter_us = Some(value),
            "loss_permille" => self.loss_permille = Some(small?),
            "calm" => self.calm = value > 0,
            _ => return Err(format!("unknown setting `{name}`; `weft-sim compare --help` lists them")),
        }
        Ok(())
    }

    /// A swarm's options with these settings applied.
    pub(crate) fn apply(&self, mut options: Options) -> Options {
        // The seed decides how the mesh is divided into cells.
        let MeshConfig { full_mesh, cell_nodes, flocks, .. } = options.mesh;
        options.mesh = MeshConfig { full_mesh, cell_nodes, flocks, ..self.mesh };
        let weather = &mut options.weather;
        weather.delay_us = self.delay_us.unwrap_or(weather.delay_us);
        weather.jitter_us = self.jitter_us.unwrap_or(weather.jitter_us);
        weather.loss_permille = self.loss_permille.unwrap_or(weather.loss_permille);
        if self.calm {
            weather.chaos = Chaos::NONE;
            options.faults.clear();
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_names_and_numbers() {
        let settings = Settings::parse("lease_ms=8000,loss_permille=5,calm=1").unwrap();
        assert_eq!((settings.mesh.lease_ms, settings.loss_permille, settings.calm), (8000, Some(5), true));
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        for (text, error) in [("lease_ms", "name=value"), ("x=1", "`x`"), ("losses_max=-1", "`-1`")] {
            assert!(Settings::parse(text).unwrap_err().contains(error));
        }
    }
}
