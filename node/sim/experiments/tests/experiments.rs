//! Small versions of the experiments: the models against formulas and golden values, weft's rows against bounds that hold
//! at any size. `weft-experiments run NAME` prints the full tables.

use weft_experiments::backup::{self, Rule};
use weft_experiments::cells::Study;
use weft_experiments::lan::model::Policy;
use weft_experiments::lan::{self, LanTrace};
use weft_experiments::sparrow::cells::Cells;
use weft_experiments::sparrow::late::Late;
use weft_experiments::sparrow::push::Choice;
use weft_experiments::sparrow::{Contender, WEFT, golden, measure};
use weft_experiments::trace::{Durations, Shape, Trace};
use weft_experiments::{ALL, run};

#[track_caller]
fn near(what: &str, measured: f64, wanted: f64, percent: f64) {
    let off = 100.0 * (measured / wanted - 1.0);
    assert!(off.abs() <= percent, "{what}: {measured:.3}, wanted {wanted:.3}, {off:+.1} %");
}

/// A fifth of Sparrow's machines and a twentieth of its jobs.
fn small(load: f64) -> Shape {
    Shape { workers: 2000, slots: 4, tasks: 100, jobs: 2400, mean_us: 100_000, delay_us: 500, load }
}

/// The share of jobs all of whose tasks start at once, on machines of one slot and a network without delay.
fn without_wait(choice: Choice, load: f64) -> f64 {
    let shape =
        Shape { workers: 3000, slots: 1, tasks: 10, jobs: 12_000, mean_us: 100_000, delay_us: 0, load };
    let trace = Trace::draw(&shape, Durations::ExpJobs, 1);
    let meter = Contender::Push(choice).run(&shape, &trace, 1);
    let jobs = meter.response_us.iter().zip(&trace.durations);
    let middle = jobs.skip(shape.jobs / 4).take(shape.jobs / 2);
    let at_once = middle.filter(|(response, duration)| response == duration).count();
    at_once as f64 / (shape.jobs / 2) as f64
}

#[test]
fn jobs_without_wait_are_as_many_as_the_formulas_say() {
    // Random: (1 - load)^10. Two samples a task: (1 - load^2)^10. A batch of 20: at least 10 of them idle.
    let table = [
        (Choice::Random, 0.1, 0.349),
        (Choice::PerTask(2), 0.1, 0.904),
        (Choice::PerTask(2), 0.3, 0.389),
        (Choice::Batch(2), 0.5, 0.588),
        (Choice::Batch(2), 0.4, 0.872),
    ];
    for (choice, load, wanted) in table {
        let share = without_wait(choice, load);
        assert!((share - wanted).abs() < 0.04, "{choice:?} at {load}: {share:.3}, wanted {wanted}");
    }
}

#[test]
fn sparrows_policies_come_to_their_golden_values_in_small() {
    let late = |probes, cancel| Contender::Late(Late { probes, cancel, steals: 0 });
    let table = [
        ("central", Contender::Central, 0.9, 100.6),
        ("per-task", Contender::Push(Choice::PerTask(2)), 0.8, 161.0),
        ("Sparrow", late(2, false), 0.8, 105.2),
        ("+ cancellation", late(2, true), 0.8, 103.9),
        ("+ cancellation, d=3", late(3, true), 0.9, 106.0),
    ];
    for (name, contender, load, golden) in table {
        near(name, measure(contender, &small(load), Durations::Constant).mean_ms, golden, 6.0);
    }
}

#[test]
fn the_load_of_the_golden_traces_is_found_by_the_central_queue() {
    // Jobs of this shape wait for one another in a small version, too.
    let shape = Shape { workers: 100, slots: 4, tasks: 20, jobs: 3000, ..small(0.95) };
    let lengthened = |times: f64| {
        let runs = [1, 2].map(|seed| {
            let trace = Trace::draw(&shape, Durations::ExpJobs, seed).lengthened(times);
            Contender::Central.run(&shape, &trace, seed).figures(&trace).mean_ms
        });
        runs.iter().sum::<f64>() / 2.0
    };
    for times in [0.985, 1.0, 1.012] {
        let found = golden::fit(&shape, lengthened(times)).expect("it lies within two percent");
        assert!((found - times).abs() < 0.0005, "{found}, wanted {times}");
    }
    for beyond in [0.97, 1.03] {
        assert_eq!(golden::fit(&shape, lengthened(beyond)), None, "{beyond}");
    }
}

#[test]
fn engines_run_the_trace_of_the_models() {
    let shape = Shape { workers: 150, slots: 4, tasks: 20, jobs: 200, ..small(0.8) };
    let trace = Trace::draw(&shape, Durations::ExpJobs, 1);
    let figures = Study::contend(&shape, &trace, 1).figures(&trace);
    let study = Study { tasks: 20, ..Study::sparrow(1, 150, 80, 200) }.run();
    assert_eq!((figures.mean_ms, figures.messages), (study.mean_ms, study.messages), "one and the same run");
    near("ideal", figures.mean_ms / figures.ratio, study.ideal_ms, 0.001);
    let central = Contender::Central.run(&shape, &trace, 1).figures(&trace);
    near("central", central.mean_ms, study.central_ms, 0.5);
    assert!(figures.ratio >= central.ratio, "{figures:?}");
}

#[test]
fn a_market_of_cells_is_near_the_ideal_with_few_messages() {
    let weft = Contender::Cells(Cells { cells: 20, ..WEFT });
    for (load, most) in [(0.8, 1.02), (0.9, 1.03)] {
        for durations in [Durations::ExpJobs, Durations::Constant] {
            let shape = Shape { tasks: 20, jobs: 8000, ..small(load) };
            let figures = measure(weft, &shape, durations);
            assert!(figures.ratio <= most, "{durations:?} at {load}: {figures:?}");
            assert!(figures.messages <= 5.0, "{durations:?} at {load}: {figures:?}");
        }
    }
}

#[test]
fn the_policies_for_short_tasks_come_to_their_anchors_in_small() {
    let table = [
        (Policy::Random, 0.87),
        (Policy::Gossip(5000), 1.13),
        (Policy::Probe, 0.95),
        (Policy::Table { local_first: false, two_rows: false }, 0.68),
        (Policy::Table { local_first: true, two_rows: false }, 0.605),
    ];
    let trace = LanTrace::draw(32, 0.7, 60_000, 1);
    for (policy, anchor) in table {
        near(&format!("{policy:?}"), lan::model::run(&trace, policy, 1).mean_ms, anchor, 8.0);
    }
}

#[test]
fn the_policies_for_short_tasks_come_to_their_anchors_with_a_heavy_tail() {
    let trace = LanTrace::tailed(32, 0.9, 200_000, 1);
    for (policy, anchor, percent) in [
        (Policy::Probe, 1.27, 25.0),
        (Policy::Table { local_first: false, two_rows: false }, 0.78, 25.0),
        (Policy::Table { local_first: true, two_rows: false }, 0.76, 25.0),
    ] {
        near(&format!("{policy:?}"), lan::model::run(&trace, policy, 1).mean_ms, anchor, percent);
    }
}

#[test]
fn weft_ends_every_short_task_once() {
    for (nodes, load) in [(1, 0.7), (3, 0.7), (10, 0.9)] {
        let trace = LanTrace::draw(nodes, load, 3000, 1);
        let (_, mesh, ended) = lan::run_weft(&trace, 1);
        assert!(ended, "{nodes} nodes");
        assert_eq!(mesh.responses.len(), 3000, "{nodes} nodes");
        assert_eq!(mesh.executions, 3000, "{nodes} nodes, and nothing ran twice");
    }
}

#[test]
fn copies_save_what_they_saved_others() {
    let mean =
        |backups, killed| (1..=5).map(|seed| backup::sort(backups, killed, seed).seconds).sum::<f64>() / 5.0;
    let with = mean(true, false);
    assert!((1.30..1.55).contains(&(mean(false, false) / with)), "{}", mean(false, false) / with);
    assert!((1.02..1.08).contains(&(mean(true, true) / with)), "{}", mean(true, true) / with);
    assert!(backup::sort(true, false, 1).extra < 0.05);
    for (rule, seconds, copies) in [(Rule::Late, 30.0, 100), (Rule::LateIfItHelps, 30.0, 20)] {
        let run = backup::slow_nodes(rule, 1);
        near("on slow nodes", run.seconds, seconds, 8.0);
        assert_eq!(run.copies, copies, "{rule:?}");
    }
    near("without copies", backup::slow_nodes(Rule::Never, 1).seconds, 185.5, 12.0);
}

#[test]
fn weft_ends_every_task_beside_slow_nodes() {
    for backups in [false, true] {
        let (_, executions) = backup::weft_slow_nodes(50, backups, 1).unwrap();
        assert!((50..=55).contains(&executions), "at most a tenth more than the 50 tasks: {executions}");
    }
}

#[test]
fn every_experiment_says_and_draws_something() {
    // Each experiment ends every task once despite its faults, or panics.
    let folder = std::env::temp_dir().join(format!("weft-experiments-{}", std::process::id()));
    for (name, _, _) in ALL.into_iter().filter(|(name, _, _)| !matches!(*name, "sparrow" | "lan")) {
        let report = run(name, true).unwrap();
        assert!(!report.text.contains("did not end"), "{}", report.text);
        let files = report.write(name, &folder).unwrap();
        assert!(files.len() >= 2, "{name}: {files:?}");
        for file in files.iter().filter(|file| file.ends_with(".svg")) {
            let svg = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{file}");
            assert!(svg.contains("<polyline") && !svg.contains("NaN"), "{file}");
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert!(run("no such thing", true).is_none());
}
