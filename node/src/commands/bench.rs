//! `weft bench`: a mesh of processes on this machine, measured, with the floor next to every figure.

use tokio::signal::unix::{SignalKind, signal};
use weft_node::bench::{BenchArgs as Bench, Report, Row};

use super::Problem;
use crate::cli::BenchArgs;
use crate::render::{Side, Table, print_json, say};

/// Measures, and prints the figures.
pub(crate) async fn bench(args: BenchArgs) -> Result<u8, Problem> {
    let BenchArgs { nodes, quick, json } = args;
    let bench = Bench { nodes: usize::from(nodes), quick };
    let work = async {
        let measured = weft_node::bench::run(&bench, &say).await;
        measured.map_err(|error| Problem::Failed(error.to_string()))
    };
    // Whatever ends this process must end the nodes too.
    let mut terminate = signal(SignalKind::terminate()).map_err(Problem::Runtime)?;
    let stopped = || Problem::Interrupted("interrupted; the bench's nodes are stopped".into());
    let report = tokio::select! {
        report = Box::pin(work) => report?,
        _ = tokio::signal::ctrl_c() => return Err(stopped()),
        _ = terminate.recv() => return Err(stopped()),
    };
    if json {
        print_json(&report)?;
    } else {
        print_table(&report)?;
    }
    Ok(0)
}

fn print_table(report: &Report) -> Result<(), Problem> {
    let mut table = Table::new(&[
        ("WHAT", Side::Left),
        ("VALUE", Side::Right),
        ("UNIT", Side::Left),
        ("ROUNDS", Side::Left),
        ("FLOOR", Side::Right),
        ("RATIO", Side::Right),
        ("THE FLOOR IS", Side::Left),
    ]);
    for row in &report.rows {
        let Row { what, value, unit, better: _, low, high, rounds, floor, ratio } = row;
        table.row([
            (*what).to_owned(),
            figure(*value),
            (*unit).to_owned(),
            format!("{rounds}: {} to {}", figure(*low), figure(*high)),
            floor.map_or_else(dash, |floor| figure(floor.value)),
            ratio.map_or_else(dash, |ratio| format!("{ratio:.2}")),
            floor.map_or_else(dash, |floor| floor.what.to_owned()),
        ]);
    }
    table.print()
}

fn dash() -> String {
    String::from("-")
}

/// Three digits are as many as mean something.
fn figure(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}
