//! Whose tasks a node takes: `accept` names all owners, `refuse` those that are left out. And which known results its jobs
//! use.

use weft_core::{OWNERS_MAX, Owners, PeerId, Recall};

use super::{SettingsError, wrong};

const ID: &str = "a node's id: 64 hexadecimal digits, as `weft peers --json` prints it";

/// One of the two lists; both at once contradict each other.
pub(super) fn owners_of(
    accept: Option<Vec<String>>,
    refuse: Option<Vec<String>>,
) -> Result<Owners, SettingsError> {
    match (accept, refuse) {
        (None, None) => Ok(Owners::All),
        (Some(accept), None) => Ok(Owners::Only(ids("accept", accept)?)),
        (None, Some(refuse)) => Ok(Owners::AllBut(ids("refuse", refuse)?)),
        (Some(_), Some(refuse)) => {
            let expected = "either accept or refuse: a node that accepts some owners refuses all others";
            Err(wrong("refuse", refuse.join(","), expected))
        }
    }
}

/// Which known results jobs of this node use.
pub(super) fn recall_of(given: Option<String>) -> Result<Recall, SettingsError> {
    let Some(text) = given else { return Ok(Recall::Own) };
    match text.as_str() {
        "own" => Ok(Recall::Own),
        "mesh" => Ok(Recall::Mesh),
        "off" => Ok(Recall::Off),
        _ => Err(wrong("memo", text, "own, mesh or off")),
    }
}

/// Texts may hold several ids, separated by commas.
fn ids(key: &'static str, given: Vec<String>) -> Result<Vec<PeerId>, SettingsError> {
    let all = given.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
    let parse = |text: &str| text.parse().ok().ok_or_else(|| wrong(key, text, ID));
    let mut ids: Vec<PeerId> = all.map(parse).collect::<Result<_, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > OWNERS_MAX {
        return Err(wrong(key, format!("{} ids", ids.len()), format!("at most {OWNERS_MAX}")));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_contradictions_named() {
        let (one, two) = ("1".repeat(64), "ab".repeat(32));
        let (id_one, id_two) = (PeerId([0x11; 32]), PeerId([0xab; 32]));
        let list = |texts: &[&str]| Some(texts.iter().map(|text| String::from(*text)).collect::<Vec<_>>());
        let both = format!("{two}, {one}");
        assert_eq!(owners_of(None, None).unwrap(), Owners::All);
        assert_eq!(owners_of(list(&[&both]), None).unwrap(), Owners::Only(vec![id_one, id_two]));
        assert_eq!(owners_of(None, list(&[&one, &one])).unwrap(), Owners::AllBut(vec![id_one]));
        assert_eq!(owners_of(list(&[]), None).unwrap(), Owners::Only(Vec::new()), "its own alone");
        let refusal = |accept, refuse| owners_of(accept, refuse).unwrap_err().to_string();
        assert!(refusal(list(&["anna"]), None).contains("`accept`: invalid value `anna`"));
        assert!(refusal(list(&[&one]), list(&[&two])).contains("either accept or refuse"));
        let many: Vec<String> = (0..=OWNERS_MAX).map(|number| format!("{number:064x}")).collect();
        assert!(owners_of(None, Some(many)).unwrap_err().to_string().contains("at most 32"));
    }

    #[test]
    fn known_results_are_one_of_three_choices() {
        let recall = |text: &str| recall_of(Some(text.to_owned()));
        assert_eq!(recall_of(None).unwrap(), Recall::Own, "unless it is said");
        assert_eq!(recall("own").unwrap(), Recall::Own);
        assert_eq!(recall("mesh").unwrap(), Recall::Mesh);
        assert_eq!(recall("off").unwrap(), Recall::Off);
        assert!(recall("all").unwrap_err().to_string().contains("own, mesh or off"));
    }
}
