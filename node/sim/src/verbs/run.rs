//! `weft-sim run`: runs one scenario, or the swarm of one seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use weft_sim::{
    Coverage, HostLog, SCENARIOS, Scenario, Settings, World, scenario, simulate_recorded, simulate_with,
};

use super::{HEADER, Problem, Verb, Words, row};

pub(crate) const VERB: Verb = Verb {
    name: "run",
    usage: "run SCENARIO|--seed N [--verbose] [--figures] [--record DIR]",
    help: "\
Run one scenario by its name, or the swarm of one seed, and print how it ended.

  --seed N      run the swarm of this seed instead of a scenario
  --verbose     print every input of an engine, and its effects
  --figures     print counts of what happened, by name
  --record DIR  with --seed: write each process's log into DIR, for `weft-sim replay`",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("run", words, (&["--seed", "--record"], &["--verbose", "--figures"]), 1)?;
    let watch: Option<fn(&str)> = if words.has("--verbose") { Some(|line| println!("{line}")) } else { None };
    match (words.plain(0), words.number("--seed")?) {
        (None, Some(seed)) => run_seed(seed, watch, &words),
        (Some(name), None) => {
            let world = play(find(name)?, watch)?;
            println!("{name}: passed, after {} events in {:?}", world.events(), world.now());
            if words.has("--figures") {
                print_figures(&world.coverage());
            }
            Ok(())
        }
        (Some(_), Some(_)) => Err(Problem::Usage("run: a scenario's name or --seed N, not both".into())),
        (None, None) => Err(Problem::Usage("run: a scenario's name or --seed N is missing".into())),
    }
}

fn run_seed(seed: u64, watch: Option<fn(&str)>, words: &Words) -> Result<(), Problem> {
    let settings = Settings::default();
    let ended = match words.text("--record") {
        None => simulate_with(seed, &settings, watch),
        Some(dir) => {
            let (ended, logs) = simulate_recorded(seed, &settings, watch);
            write_logs(Path::new(dir), &logs)?;
            ended
        }
    };
    let summary = ended.map_err(|failure| Problem::Failed(failure.to_string()))?;
    println!("{HEADER}");
    println!("{}", row(&summary));
    if words.has("--figures") {
        print_figures(&summary.coverage);
    }
    Ok(())
}

/// The scenario of that name; the error lists scenarios whose names contain it.
pub(crate) fn find(name: &str) -> Result<&'static Scenario, Problem> {
    scenario(name).ok_or_else(|| {
        let like: Vec<&str> =
            SCENARIOS.iter().map(|scenario| scenario.name).filter(|known| known.contains(name)).collect();
        let like = if like.is_empty() { String::new() } else { format!("; similar: {}", like.join(", ")) };
        Problem::Usage(format!("unknown scenario `{name}`{like}; `weft-sim scenarios` lists all"))
    })
}

/// Runs a scenario; its panic becomes [`Problem::Failed`].
pub(crate) fn play(scenario: &Scenario, watch: Option<fn(&str)>) -> Result<World, Problem> {
    let play = scenario.play;
    catch_unwind(AssertUnwindSafe(|| play(watch)))
        .map_err(|_said| Problem::Failed(format!("{}: failed, see the panic above", scenario.name)))
}

pub(crate) fn print_figures(coverage: &Coverage) {
    println!("{:>10}  mean time from submission to end", format!("{:.1?}", coverage.mean_completion()));
    coverage.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
}

fn write_logs(dir: &Path, logs: &[HostLog]) -> Result<(), Problem> {
    let failed = |error: std::io::Error| Problem::Usage(format!("--record: {}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    for HostLog { host, life, bytes } in logs {
        let path = dir.join(format!("host-{}-life-{life}.log", host.0));
        std::fs::write(&path, bytes).map_err(failed)?;
    }
    println!("{} logs in {}", logs.len(), dir.display());
    Ok(())
}
