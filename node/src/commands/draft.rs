//! A job before it is handed in: its task, and its inputs, which are read anew each time they are asked for. Knows no node: what the
//! job is called and what it survives is said by who hands it in.

use std::path::Path;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use weft_client::{Input, Task};

use super::feed::{Ahead, Feed, Source};
use super::inputs::{Inputs, inputs_of};
use super::plan::Plan;
use super::sources::Sources;
use super::tailor::Tailor;
use super::{Problem, task_of};
use crate::cli::{InputsArgs, TaskArgs};

/// A task, and the command line's words about its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// What is the same for all of its tasks.
    pub(crate) task: Task,
    /// What differs by task.
    tailor: Option<Tailor>,
    sources: Sources,
    inputs: InputsArgs,
}

impl Draft {
    /// What the command line says about a job.
    ///
    /// # Errors
    /// When the module can't be read, or the words don't fit together.
    pub(crate) fn of(
        module: &Path,
        mut task: TaskArgs,
        mut args: Vec<String>,
        inputs: InputsArgs,
    ) -> Result<Self, Problem> {
        // As of a map: what has words in braces is each task's own.
        let is_tailored = inputs.is_given() && task.function.is_none();
        let tailor = is_tailored.then(|| Tailor::take(&mut task, &mut args, inputs.as_file)).flatten();
        let sources = Sources::of(module, &task, &inputs)?;
        let task = task_of(module, task, args)?;
        let task = if tailor.is_some() { task.parcels() } else { task };
        Ok(Self { task, tailor, sources, inputs })
    }

    /// Whether the command line names inputs of a map.
    pub(crate) fn is_map(&self) -> bool {
        self.inputs.is_given()
    }

    /// The inputs of a map, opened and read from the first one on. If they break off, the last one is missing, so that no half of a
    /// job is handed in.
    ///
    /// # Errors
    /// When a file of them is not there.
    pub(crate) fn inputs(&self) -> Result<impl Stream<Item = Input> + Send + use<>, Problem> {
        let plan = Plan::new(None, self.tailor.clone(), false, self.sources.clone());
        let (inputs, choice) = inputs_of(self.inputs.clone(), &plan)?;
        let source = match inputs {
            Inputs::Stream(source) => source,
            Inputs::Files(files) => Source::Files(choice.of(files)?, 0),
        };
        let (feed, inputs) = Feed::start(source, plan, choice, Ahead::default());
        Ok(whole(feed, inputs))
    }
}

fn whole(feed: Arc<Feed>, inputs: impl Stream<Item = Input> + Send) -> impl Stream<Item = Input> + Send {
    let broken = stream::iter(std::iter::once_with(move || feed.take_problem()));
    inputs.chain(
        broken.filter_map(async |problem| {
            problem.map(|problem| Input::Missing { reason: problem.to_string() })
        }),
    )
}
