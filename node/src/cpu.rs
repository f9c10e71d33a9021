//! What this machine's processor can do, as labels that tasks ask for: `weft run --need cpu.avx2=yes`. Found out by
//! itself; a label that the user gives goes before.

/// These labels, and the processor's own as well.
#[must_use]
pub(crate) fn with_own(mut given: Vec<(String, String)>) -> Vec<(String, String)> {
    let own: Vec<_> =
        labels().into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name)).collect();
    given.extend(own);
    given
}

/// Its architecture, and each feature of a short list that it has.
fn labels() -> Vec<(String, String)> {
    let features = features();
    let found = features.into_iter().filter(|(_, has)| *has).map(|(name, _)| (format!("cpu.{name}"), "yes"));
    let arch = (String::from("cpu.arch"), std::env::consts::ARCH);
    std::iter::once(arch).chain(found).map(|(name, value)| (name, String::from(value))).collect()
}

#[cfg(target_arch = "x86_64")]
fn features() -> [(&'static str, bool); 4] {
    [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn features() -> [(&'static str, bool); 3] {
    [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> [(&'static str, bool); 0] {
    []
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_says_what_it_is_in_few_short_words() {
        let all = labels();
        assert_eq!(all.first(), Some(&("cpu.arch".into(), std::env::consts::ARCH.into())));
        let yes = all.iter().skip(1).all(|(name, value)| name.starts_with("cpu.") && value == "yes");
        let given = vec![(String::from("cpu.arch"), String::from("z80"))];
        assert_eq!(with_own(given.clone())[..1], given[..], "what the user says goes before");
        assert_eq!(with_own(given).len(), all.len());
        assert!(yes && all.len() + crate::settings::LABELS_MAX < 32, "{all:?}");
    }
}
