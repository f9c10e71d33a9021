//! How the results of a kept job go on where the way to it breaks: its node is started again, or another one takes it over.
//! They are asked for from where they were told up to, so that each is told once. Driven by the [`Map`] that is polled.

use std::pin::Pin;

use crate::api::Level;
use crate::error::Error;
use crate::frames::{self, Splitter};
use crate::http::{About, Answer, Call};
use crate::job::Reading;
use crate::map::Map;
use crate::patience::Patience;
use crate::task::Task;

/// What it takes to read on where the way to a job broke.
pub(crate) struct Again {
    reading: Reading,
    /// Where to read on behind the results that come next.
    pub(crate) told_upto: Option<u64>,
    patience: Patience,
    was_broken: bool,
    /// Why.
    why: Option<String>,
    pub(crate) reopening: Option<Reopening>,
}

pub(crate) type Reopening = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

impl Again {
    fn of(reading: Reading) -> Self {
        Self {
            reading,
            told_upto: None,
            patience: Patience::new(),
            was_broken: false,
            why: None,
            reopening: None,
        }
    }

    /// Results came; `None` if their node does not say where to read on.
    pub(crate) fn told(mut self) -> Option<Self> {
        self.reading.from = self.told_upto.take()?;
        self.patience.renew();
        Some(self)
    }
}

/// The path of a job's results.
pub(crate) fn results_path(job: &str, reading: Reading) -> String {
    let Reading { from, follow } = reading;
    format!("/v1/jobs/{job}/results?from={from}&follow={follow}")
}

impl Map {
    /// Results that are read, and can be read again.
    pub(crate) fn reading(mut self, reading: Reading) -> Self {
        self.again = Some(Again::of(reading));
        self
    }

    /// Results of a new job of that task.
    pub(crate) fn of_task(self, task: &Task) -> Self {
        let is_kept = task.keep.level.unwrap_or_default() != Level::Memory;
        if is_kept { self.reading(Reading { from: 0, follow: true }) } else { self }
    }

    /// Why the way to the job is broken, while it is looked for again; the results go on once it is found.
    #[must_use]
    pub fn away(&self) -> Option<&str> {
        self.again.as_ref().filter(|again| again.reopening.is_some()).and_then(|again| again.why.as_deref())
    }

    /// Asks for the results again that were not told, after a while; the error itself if that is of no use.
    pub(crate) fn reopen(&mut self, error: Error) -> Result<(), Error> {
        // Inputs that were not sent are lost with the connection.
        let Some(again) = self.again.as_mut().filter(|_| self.pump.is_finished()) else { return Err(error) };
        if let Error::Protocol { .. } | Error::Refused { .. } = error {
            return Err(error);
        }
        let Some(pause) = again.patience.after(&error) else { return Err(error) };
        again.was_broken = true;
        again.why = Some(error.to_string());
        let (mesh, job, reading) = (self.mesh.clone(), self.job.clone(), again.reading);
        again.reopening = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let about = About { what: "job", name: &job };
            let accept = Some(frames::CONTENT_TYPE);
            mesh.http().send(Call { accept, ..Call::get(results_path(&job, reading), about) }).await
        }));
        Ok(())
    }

    /// Takes the new answer, or tries on.
    pub(crate) fn reopened(&mut self, answer: Result<Answer, Error>) -> Result<(), Error> {
        if let Some(again) = &mut self.again {
            again.reopening = None;
        }
        match answer {
            Ok(Answer { body, connection, .. }) => {
                (self.body, self.connection) = (body, Some(connection));
                (self.splitter, self.begins) = (Splitter::default(), true);
                Ok(())
            }
            Err(error) => self.reopen(error),
        }
    }

    /// That inputs did not reach the node before the connection broke, if some did not.
    pub(crate) fn lacking(&mut self) -> Option<Error> {
        let (sent, summary) = (self.pump.tasks(), self.summary?);
        let was_broken = self.again.take().is_some_and(|again| again.was_broken);
        (was_broken && summary.tasks < sent).then(|| Error::Refused {
            what: format!(
                "the connection broke before {} of {sent} inputs had reached the node",
                sent - summary.tasks
            ),
            expected: None,
            help: Some(String::from("the job has the inputs before them; hand in the others as another job")),
        })
    }
}
