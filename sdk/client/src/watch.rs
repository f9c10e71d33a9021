//! Events as they come, asked for page by page: a break of the way, or a restart of the node, costs nothing but what the node then
//! says that is missing.

use futures::Stream;
use futures::stream;

use crate::api::{Event, EventFilter, Events, Missed};
use crate::error::Error;
use crate::http::{About, Call};
use crate::jobs::encoded;
use crate::mesh::Mesh;
use crate::patience::Patience;

/// How long the node holds back the answer while there is no event, in milliseconds.
const WAIT_MS: u32 = 20_000;

/// What a watch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// An event.
    Event(Event),
    /// Events that the node does not have: it was started again, or the watch fell behind by more than the node keeps. What jobs are
    /// now is what [`Mesh::list`] says.
    Missed(Missed),
}

impl Mesh {
    /// Events that the node has now, from an offset on, some thousand at most; [`Events::next`] is where to read on.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a job that no node knows; [`Error::Refused`] for one that another node leads, which has its events.
    pub async fn events(&self, filter: &EventFilter) -> Result<Events, Error> {
        self.events_within(filter, 0).await
    }

    /// Events from an offset on, and then each as it comes, without an end. Where the node is started again, that is waited for: for
    /// two minutes at most.
    ///
    /// ```no_run
    /// use futures::StreamExt as _;
    /// use weft_client::{EventFilter, Mesh, Watched};
    ///
    /// # async fn example() -> Result<(), weft_client::Error> {
    /// let mesh = Mesh::connect().await?;
    /// let mut watch = Box::pin(mesh.watch(EventFilter::default()));
    /// while let Some(watched) = watch.next().await {
    ///     if let Watched::Event(event) = watched? {
    ///         println!("{} {:?}", event.offset, event.what);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Mesh::events`]; the stream ends with it.
    pub fn watch(&self, filter: EventFilter) -> impl Stream<Item = Result<Watched, Error>> + Send + use<> {
        let watch = Watch {
            mesh: self.clone(),
            filter,
            come: Vec::new().into_iter(),
            patience: Patience::new(),
            over: false,
        };
        stream::unfold(watch, Watch::next)
    }

    async fn events_within(&self, filter: &EventFilter, wait_ms: u32) -> Result<Events, Error> {
        let EventFilter { from, job } = filter;
        let mut path = format!("/v1/events?from={from}&wait_ms={wait_ms}");
        if let Some(job) = job {
            path.push_str(&format!("&job={}", encoded(job)));
        }
        let about = About { what: "job", name: job.as_deref().unwrap_or_default() };
        self.http().json(Call::get(path, about)).await
    }
}

struct Watch {
    mesh: Mesh,
    filter: EventFilter,
    come: std::vec::IntoIter<Watched>,
    patience: Patience,
    over: bool,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Watched, Error>, Self)> {
        loop {
            if let Some(watched) = self.come.next() {
                return Some((Ok(watched), self));
            }
            if self.over {
                return None;
            }
            match self.mesh.events_within(&self.filter, WAIT_MS).await {
                Ok(Events { missed, events, next, is_all: _ }) => {
                    self.patience.renew();
                    self.filter.from = next;
                    let come =
                        missed.map(Watched::Missed).into_iter().chain(events.into_iter().map(Watched::Event));
                    self.come = come.collect::<Vec<_>>().into_iter();
                }
                Err(error) => match self.patience.after(&error) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => {
                        self.over = true;
                        return Some((Err(error), self));
                    }
                },
            }
        }
    }
}
