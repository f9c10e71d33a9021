//! `GET /v1/jobs`: the jobs of this node, filtered and in pages.

use axum::extract::{Query, State};
use weft_client::api::{Job, JobFilter, Phase, Position};

use super::error::ApiError;
use super::{Answered, Api, json, views};
use crate::jobs::{JobSummary, Title};

/// Jobs in one answer at most.
const PAGE_MAX: u32 = 1000;

/// The newest jobs that pass, oldest first.
pub(super) async fn jobs(State(api): State<Api>, Query(query): Query<Vec<(String, String)>>) -> Answered {
    let filter = filter(query)?;
    let snapshot = api.handle.snapshot().await?;
    // What is asked of names and times is looked at first: there may be a hundred thousand jobs.
    let called = |summary: &JobSummary| {
        let Title { name, labels } = &*summary.meta.title;
        filter.is_called(name, labels) && filter.is_in_time(summary.meta.submitted_ms)
    };
    let mut all = api.handle.jobs().summaries();
    all.retain(called);
    let mut jobs: Vec<Job> = views::jobs(all, &snapshot).filter(|job| filter.passes(job)).collect();
    jobs.sort_by_cached_key(Position::of);
    if let Some(before) = &filter.before {
        jobs.truncate(jobs.partition_point(|job| Position::of(job) < *before));
    }
    let most = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    jobs.drain(..jobs.len().saturating_sub(most));
    Ok(json::answer(&jobs))
}

/// The filter of a query.
fn filter(query: Vec<(String, String)>) -> Result<JobFilter, ApiError> {
    let mut filter = JobFilter { limit: Some(PAGE_MAX), ..JobFilter::default() };
    for (name, value) in query {
        let wrong = || ApiError::bad(format!("{name} of {value:?}"));
        match name.as_str() {
            "state" => {
                for word in value.split(',') {
                    let phases = Phase::of_word(word);
                    let expected = |text: String| wrong().expected(text.trim_start_matches("expected "));
                    filter.phases.extend(phases.map_err(expected)?);
                }
            }
            "label" => {
                let pair = value.split_once('=').filter(|(label, _)| !label.is_empty());
                let (label, value) = pair.ok_or_else(|| wrong().expected("NAME=VALUE"))?;
                filter.labels.push((label.to_owned(), value.to_owned()));
            }
            "name" => filter.name = Some(value),
            "since_ms" => {
                let since_ms = value.parse().map_err(|_cause| wrong().expected("milliseconds since 1970"))?;
                filter.since_ms = Some(since_ms);
            }
            "before" => {
                let position: Result<Position, String> = value.parse();
                let expected = |text: String| wrong().expected(text.trim_start_matches("expected "));
                filter.before = Some(position.map_err(expected)?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                let expected = || wrong().expected(format!("a whole number from 1 to {PAGE_MAX}"));
                filter.limit = Some(limit.ok_or_else(expected)?);
            }
            _ => {
                let text = format!("{name} is no filter of jobs");
                return Err(ApiError::bad(text).expected("state, label, name, since_ms, before or limit"));
            }
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&str, &str)]) -> Result<JobFilter, ApiError> {
        filter(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn a_query_is_a_filter() {
        let query = [
            ("state", "failed,cancelled"),
            ("label", "team=fonts"),
            ("label", "a=b=c"),
            ("name", "friday"),
            ("since_ms", "5"),
            ("limit", "7"),
            ("before", "1-a7c372edeab46585"),
        ];
        let expected = JobFilter {
            phases: vec![Phase::Failed, Phase::Cancelled],
            labels: vec![("team".into(), "fonts".into()), ("a".into(), "b=c".into())],
            name: Some("friday".into()),
            since_ms: Some(5),
            before: "1-a7c372edeab46585".parse().ok(),
            limit: Some(7),
        };
        assert_eq!(parsed(&query), Ok(expected));
        assert_eq!(parsed(&[]).unwrap().limit, Some(PAGE_MAX));
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        let wrong = [
            ("state", "lost"),
            ("state", ""),
            ("label", "team"),
            ("label", "=x"),
            ("since_ms", "-1"),
            ("before", "a7c372edeab46585"),
            ("limit", "0"),
            ("limit", "1001"),
            ("owner", "anna"),
        ];
        for pair in wrong {
            assert!(parsed(&[pair]).is_err(), "{pair:?}");
        }
    }
}
