//! The nodes that agreed on a result, and those that differed, in JSON and in frames the same. It is what the task's owner
//! found when it compared their answers: the owner's claim, which is not signed, and so not part of a receipt.

use serde::{Deserialize, Serialize};

/// Who gave which answer, of the nodes that computed one task. Ids are lower-case hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Verified {
    /// Who computed what counts, in the order in which they answered: more than half of as many nodes as were asked
    /// for.
    pub agreed: Vec<String>,
    /// Who answered something else before enough agreed; with those above at most twice as many nodes as were asked
    /// for, and one. Empty where none did.
    pub differed: Vec<String>,
}
