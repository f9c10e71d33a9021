//! Which inputs of a map run, and in which order: all as they come, the first N, or N at random.

use weft_client::Input;

use super::Problem;
use super::plan::Planned;

/// What inputs may take in memory that are shuffled, in bytes.
const SHUFFLED_BYTES_MAX: usize = 1 << 30;

/// What `--shuf` and `--limit` say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) shuf: bool,
    pub(crate) limit: Option<u64>,
}

impl Choice {
    /// How many of that many are chosen.
    pub(crate) fn count_of(self, all: u64) -> u64 {
        self.limit.map_or(all, |limit| limit.min(all))
    }

    /// Those of a list that are chosen, in the order in which they run.
    ///
    /// # Errors
    /// As [`Choice::draw`].
    pub(crate) fn of(self, mut files: Vec<Planned>) -> Result<Vec<Planned>, Problem> {
        if self.shuf {
            return self.draw(files.into_iter().map(Ok));
        }
        files.truncate(usize::try_from(self.count_of(files.len() as u64)).unwrap_or(usize::MAX));
        Ok(files)
    }

    /// Draws by lot from all of them, each equally likely in each place.
    ///
    /// # Errors
    /// When they take too much memory, or the system has no randomness.
    pub(crate) fn draw(
        self,
        inputs: impl Iterator<Item = Result<Planned, Problem>>,
    ) -> Result<Vec<Planned>, Problem> {
        let mut lots = Lots::new()?;
        let most = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let (mut drawn, mut bytes, mut seen) = (Vec::new(), 0, 0);
        for input in inputs {
            let input = input?;
            seen += 1;
            bytes += bytes_of(&input);
            if drawn.len() < most {
                drawn.push(input);
            } else if let Some(place) =
                usize::try_from(lots.below(seen)).ok().and_then(|place| drawn.get_mut(place))
            {
                bytes -= bytes_of(place);
                *place = input;
            } else {
                bytes -= bytes_of(&input);
            }
            if bytes > SHUFFLED_BYTES_MAX {
                return Err(Problem::Failed(String::from(
                    "--shuf keeps its inputs in memory, and these take more than 1 GiB: choose fewer with --limit, or \
                     shuffle the file itself",
                )));
            }
        }
        for last in (1..drawn.len()).rev() {
            let other = usize::try_from(lots.below(last as u64 + 1)).unwrap_or(0);
            drawn.swap(last, other);
        }
        Ok(drawn)
    }
}

/// About what an input takes while it waits.
fn bytes_of(planned: &Planned) -> usize {
    let own = match &planned.input {
        Input::Bytes(bytes) => bytes.len(),
        Input::File(_) | Input::Blob { .. } | Input::Part(_) | Input::Parcel(_) | Input::Missing { .. } => 0,
    };
    own + size_of::<Planned>()
}

/// Fair numbers.
struct Lots(blake3::OutputReader);

impl Lots {
    fn new() -> Result<Self, Problem> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| Problem::Failed(format!("no randomness: {error}")))?;
        Ok(Self(blake3::Hasher::new_keyed(&seed).finalize_xof()))
    }

    /// A number from 0 to below `bound`, each as likely as the other to within one in 2^64.
    fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::try_from((u128::from(u64::from_le_bytes(bytes)) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Label;
    use super::*;

    fn drawn(all: u32, choice: Choice) -> Vec<u32> {
        let planned =
            |number| Planned { input: Input::default(), line: bytes::Bytes::new(), label: Label::of(number) };
        let inputs = (0..all).map(|number| Ok(planned(number)));
        choice.draw(inputs).unwrap().iter().map(|planned| planned.label.number).collect()
    }

    #[test]
    fn a_shuffle_loses_and_doubles_nothing() {
        let mut numbers = drawn(1000, Choice { shuf: true, limit: None });
        assert_ne!(numbers, Vec::from_iter(0..1000));
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..1000));
        assert!(drawn(0, Choice { shuf: true, limit: None }).is_empty());
    }

    #[test]
    fn a_draw_of_some_takes_each_as_often() {
        let mut often = [0; 10];
        for _ in 0..3000 {
            for number in drawn(10, Choice { shuf: true, limit: Some(3) }) {
                often[number as usize] += 1;
            }
        }
        assert_eq!(often.iter().sum::<u32>(), 9000);
        // 900 each, with a standard deviation of 25: this is ten of them.
        assert!(often.iter().all(|count| (650..1150).contains(count)), "{often:?}");
    }
}
