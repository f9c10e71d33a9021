//! The steps of a flow as a graph: whether each step that is named is there, and in which order they come. Looks at no file.

use std::collections::BTreeSet;

use super::super::Problem;
use super::file::{Flow, Inputs, Step};

/// The flow's steps, each behind all that it comes after; else as they are in the file.
///
/// # Errors
/// When a step names one that is not there, itself, or one twice; when steps come after one another in a circle; when the edges of a step
/// don't fit together.
pub(crate) fn ordered(flow: &Flow) -> Result<Vec<&Step>, Problem> {
    flow.steps.iter().try_for_each(|step| check_edges(flow, step))?;
    let (mut ordered, mut left) = (Vec::new(), flow.steps.iter().collect::<Vec<_>>());
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while !left.is_empty() {
        let Some(at) = left.iter().position(|step| step.before().all(|name| done.contains(name))) else {
            return Err(circle(flow, &left));
        };
        let step = left.remove(at);
        done.insert(&step.name);
        ordered.push(step);
    }
    Ok(ordered)
}

/// The names of the steps that come before `last`, and of it.
pub(crate) fn up_to<'a>(ordered: &[&'a Step], last: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([last]);
    for step in ordered.iter().rev() {
        if found.contains(step.name.as_str()) {
            found.extend(step.before());
        }
    }
    found
}

fn check_edges(flow: &Flow, step: &Step) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for name in step.before() {
        flow.known_step(name).map_err(|text| flow.wrong(step, text))?;
        if name == step.name {
            return Err(flow.wrong(step, "it names itself"));
        }
        if !seen.insert(name) {
            return Err(flow.wrong(step, format_args!("it names the step {name} twice")));
        }
    }
    let wrong = |text: &str| Err(flow.wrong(step, text));
    let takes_results = !step.parents().is_empty();
    if takes_results && !step.after.is_empty() {
        return wrong("a step that takes results has no after: it begins when those results are there");
    }
    if step.even_if_failed && step.after.is_empty() {
        return wrong("even-if-failed goes with after");
    }
    let flags = &step.flags;
    if matches!(step.takes, Inputs::Gather(_)) && flags.task.function.is_some() {
        return wrong("gather goes with a command, which finds the results as files; fn calls a function");
    }
    let (is_files, is_lines) = match &step.takes {
        Inputs::Files(_) | Inputs::Dir(_) => (true, false),
        Inputs::Lines(..) => (false, true),
        Inputs::None | Inputs::EachResult(_) | Inputs::Gather(_) => (false, false),
    };
    let is_block = matches!(step.takes, Inputs::Lines(_, Some(_)));
    if flags.as_file && !(is_files || is_block) {
        return wrong(
            "as-file goes with files: each = \"PATTERN\", \"files:DIR\", or \"lines:FILE\" with block",
        );
    }
    if (flags.nul || flags.jsonl) && !is_lines {
        return wrong("nul and jsonl go with each = \"lines:FILE\"");
    }
    if flags.jsonl && is_block {
        return wrong("jsonl is for single lines, and block for many of them: expected one of the two");
    }
    Ok(())
}

/// Names a circle among the steps that are left, each of which comes after another one of them.
fn circle(flow: &Flow, left: &[&Step]) -> Problem {
    let mut path: Vec<&Step> = Vec::new();
    let mut next = left.first().copied();
    while let Some(step) = next {
        if let Some(start) = path.iter().position(|earlier| earlier.name == step.name) {
            let names: Vec<&str> = path.iter().skip(start).map(|step| step.name.as_str()).collect();
            let text = format!(
                "{} after {}: the steps come after one another in a circle",
                names.join(" after "),
                step.name
            );
            return flow.wrong(step, text);
        }
        path.push(step);
        let is_left = |name: &&str| left.iter().any(|step| step.name == **name);
        next = step.before().find(is_left).and_then(|name| flow.step(name));
    }
    Problem::Usage(format!("{}: the steps come after one another in a circle", flow.path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::flow;
    use super::*;

    fn refused(text: &str) -> String {
        ordered(&flow(text)).unwrap_err().to_string()
    }

    #[test]
    fn steps_come_behind_what_they_take() {
        let flow = flow(
            "[step.page]\nmodule = 'm'\ngather = ['@b', '@a']\n[step.b]\nmodule = 'm'\neach = '@a'\n[step.a]\nmodule = 'm'\n\
             [step.z]\nmodule = 'm'\nafter = 'page'",
        );
        let ordered = ordered(&flow).unwrap();
        let names: Vec<&str> = ordered.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "page", "z"]);
        assert_eq!(Vec::from_iter(up_to(&ordered, "b")), ["a", "b"]);
        assert_eq!(Vec::from_iter(up_to(&ordered, "z")), ["a", "b", "page", "z"]);
    }

    #[test]
    fn a_circle_is_named() {
        let text = refused(
            "[step.x]\nmodule = 'm'\neach = '@b'\n[step.a]\nmodule = 'm'\neach = '@b'\n[step.b]\nmodule = 'm'\nafter = ['c']\n\
             [step.c]\nmodule = 'm'\neach = '@a'",
        );
        assert!(
            text.contains("b after c after a after b: the steps come after one another in a circle"),
            "{text}"
        );
    }

    #[test]
    fn edges_that_do_not_fit_are_refused() {
        for (keys, expected) in [
            ("each = '@bb'", "line 3: step x: there is no step bb; did you mean b?"),
            ("each = '@x'", "it names itself"),
            ("gather = ['@b', '@b']", "names the step b twice"),
            ("each = '@b'\nafter = 'b'", "names the step b twice"),
            ("each = 'a'\neven-if-failed = true", "even-if-failed goes with after"),
            ("gather = '@b'\nfn = 'f'", "gather goes with a command"),
            ("each = '@b'\nas-file = true", "as-file goes with files"),
            ("each = 'a'\nnul = true", "go with each = \"lines:FILE\""),
            ("each = 'lines:a'\nblock = '1KiB'\njsonl = true", "expected one of the two"),
        ] {
            let text = refused(&format!("[step.x]\nmodule = 'm'\n{keys}\n[step.b]\nmodule = 'm'\n"));
            assert!(text.contains(expected), "{keys}: {text}");
        }
    }
}
