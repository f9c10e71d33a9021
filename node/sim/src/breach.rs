//! The first violation that a model of what is promised found, by the name of its invariant.

/// It, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Breach(Option<(&'static str, String)>);

impl Breach {
    /// Notes that an invariant does not hold, unless a violation is known.
    pub(crate) fn demand(&mut self, name: &'static str, holds: bool, text: impl FnOnce() -> String) {
        if !holds && self.0.is_none() {
            self.0 = Some((name, text()));
        }
    }

    /// The violation.
    pub(crate) fn first(&self) -> Option<&(&'static str, String)> {
        self.0.as_ref()
    }

    /// Whether that invariant holds, as far as is known.
    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        match &self.0 {
            Some((broken, text)) if *broken == name => Err(text.clone()),
            Some(_) | None => Ok(()),
        }
    }
}
