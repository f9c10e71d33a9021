//! Why a worker takes no task of a call, in words for people.

use alloc::string::String;
use core::fmt;

use super::class::Class;
use super::needs::{LABEL_BYTES_MAX, LABELS_MAX, TEXT_BYTES};

/// Why a worker takes no task of a call.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Reason {
    /// All slots are taken or promised.
    Busy {
        /// Slots of the node.
        slots: u32,
        /// Slots of the tasks that it holds or has promised to take.
        held: u32,
    },
    /// The node lacks a label.
    Label {
        /// The label's name.
        name: String,
        /// The value that the call wants.
        wanted: String,
    },
    /// A task may use more memory than the node gives to one.
    Memory {
        /// Memory that the call wants, in bytes.
        wanted_bytes: u64,
        /// Memory that the node gives to a task, in bytes.
        limit_bytes: u64,
    },
    /// A limit of the task is higher than any node grants.
    Limit {
        /// The limit's name, with its unit.
        name: String,
        /// The value that the call wants.
        wanted: u64,
        /// The highest value that a node grants.
        most: u64,
    },
    /// The call's function name, arguments, environment, labels and inline files are too long to be kept.
    TooLong {
        /// Their length in bytes, as [`super::CALL_TEXT_BYTES_MAX`] counts.
        bytes: u64,
        /// The bound, in bytes.
        limit_bytes: u64,
    },
    /// The node takes no new work.
    Draining,
    /// The node already keeps as many calls of this owner as it can.
    TooManyCalls,
    /// The node could not get the module or an input.
    Unfetched,
    /// A task would not end there before the deadline.
    Late {
        /// When it would start, in milliseconds from now.
        start_ms: u32,
        /// Known service time of a task, in milliseconds; 0 while unknown.
        service_ms: u32,
        /// Time left until the deadline, in milliseconds.
        left_ms: u32,
    },
    /// The node takes only more urgent work.
    Class {
        /// The lowest class that it takes.
        least: Class,
    },
    /// The node lost tasks or gave a false result. An owner's own note; no honest worker sends it.
    Mistrusted {
        /// For how much longer it gets no tasks, in milliseconds.
        for_ms: u64,
    },
    /// The node takes no tasks of this owner.
    Owner,
    /// A task needs more slots at once than the node has.
    Slots {
        /// Slots that the call wants for a task.
        wanted: u32,
        /// Slots of the node.
        slots: u32,
    },
    /// The node has no room on its disk for the module, an input or an output.
    NoRoom,
    /// The job verifies its tasks, and the node has no vote. An owner's own note; no honest worker sends it.
    NoVote,
    /// The node lost tasks or gave a false result, and has the one task that it may have until it has done well. An owner's
    /// own note; no honest worker sends it.
    Probation,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { slots, held } => {
                let (tasks, all) = (plural(*held), plural(*slots));
                write!(f, "busy: it holds {held} task{tasks} for {slots} slot{all}")
            }
            Self::Label { name, wanted } => write!(f, "label {name}={wanted} is not there"),
            Self::Memory { wanted_bytes, limit_bytes } => {
                write!(
                    f,
                    "memory: {} MiB wanted, {} MiB given (want less, or start that node with a higher --memory)",
                    wanted_bytes >> 20,
                    limit_bytes >> 20
                )
            }
            Self::Limit { name, wanted, most } => {
                write!(f, "limit {name}: {wanted} wanted, at most {most} granted")?;
                setting_of(name)
                    .map_or(Ok(()), |flag| write!(f, " (start that node with a higher {flag})"))
            }
            Self::TooLong { bytes, limit_bytes } => {
                write!(
                    f,
                    "arguments, environment, labels and inline files take {bytes} bytes, at most {limit_bytes} are kept \
                     (each text counts {TEXT_BYTES} bytes more than its length)"
                )
            }
            Self::Draining => f.write_str("draining: takes no new work"),
            Self::TooManyCalls => f.write_str("it keeps as many calls of this owner as it can"),
            Self::Mistrusted { for_ms } => {
                write!(f, "it lost tasks or lied: it is given none for {for_ms} ms")
            }
            Self::Unfetched => f.write_str("it could not fetch the module or an input"),
            Self::Late { start_ms, service_ms, left_ms } => write!(
                f,
                "late: would start in {start_ms} ms and take {service_ms} ms, {left_ms} ms are left"
            ),
            Self::Class { least } => write!(f, "class: it takes {} and above", least.word()),
            Self::Slots { wanted, slots } => write!(f, "slots: {wanted} wanted together, it has {slots}"),
            Self::Owner => f.write_str("owner: it refuses tasks of this owner"),
            Self::NoRoom => f.write_str("no room in its store or on its disk for the module, an input or an output"),
            Self::NoVote => f.write_str(
                "it has no vote (--verify): it is reached in another way than those that have one, and may be one of \
                 their machines",
            ),
            Self::Probation => f.write_str("it lost tasks or lied: it is given one task at a time"),
        }
    }
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The flag with which a node grants more; none of what no node grants.
fn setting_of(limit: &str) -> Option<&'static str> {
    match limit {
        "module_bytes" => Some("--module-limit"),
        "store_bytes" => Some("--store"),
        _ => None,
    }
}

/// Why no node can carry these labels; `None` if a node may have them.
pub(crate) fn label_excess(labels: &[(String, String)]) -> Option<Reason> {
    let excess = |name: &str, wanted: usize, most: usize| {
        let (wanted, most) = (wanted as u64, most as u64);
        Some(Reason::Limit { name: name.into(), wanted, most })
    };
    if labels.len() > LABELS_MAX {
        return excess("labels", labels.len(), LABELS_MAX);
    }
    let longest = labels.iter().map(|(name, value)| name.len().max(value.len())).max().unwrap_or(0);
    if longest > LABEL_BYTES_MAX { excess("label_bytes", longest, LABEL_BYTES_MAX) } else { None }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec::Vec;

    use super::*;

    fn labels(count: usize, name: usize, value: usize) -> Vec<(String, String)> {
        alloc::vec![("n".repeat(name), "v".repeat(value)); count]
    }

    #[test]
    fn a_limit_that_is_a_setting_of_a_node_names_its_flag() {
        let limit = |name: &str| Reason::Limit { name: name.into(), wanted: 9, most: 8 };
        let table = [
            (limit("module_bytes"), Some("--module-limit")),
            (limit("store_bytes"), Some("--store")),
            (Reason::Memory { wanted_bytes: 2 << 20, limit_bytes: 1 << 20 }, Some("--memory")),
            (limit("wall_ms"), None),
            (limit("labels"), None),
        ];
        for (reason, flag) in table {
            let said = reason.to_string();
            let advice = said.split_once("start that node with a higher ").map(|(_, flag)| flag);
            assert_eq!(advice.map(|flag| flag.trim_end_matches(')')), flag, "{said}");
        }
    }

    #[test]
    fn labels_that_no_node_can_carry_are_told_with_the_bound() {
        // number of labels, bytes of a name, bytes of a value -> the error
        let table = [
            (0, 0, 0, None),
            (32, 64, 64, None),
            (33, 0, 0, Some("limit labels: 33 wanted, at most 32 granted")),
            (1, 65, 0, Some("limit label_bytes: 65 wanted, at most 64 granted")),
            (1, 0, 70, Some("limit label_bytes: 70 wanted, at most 64 granted")),
        ];
        for (count, name, value, wrong) in table {
            let said = label_excess(&labels(count, name, value)).map(|reason| reason.to_string());
            assert_eq!(said.as_deref(), wrong, "{count} {name} {value}");
        }
    }
}
