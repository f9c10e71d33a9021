//! A flow's file: TOML, read into steps. What is wrong is told with the file and the line. Looks at no other file, and does not know
//! whether the steps fit together: that is `graph.rs`.

use std::fmt::Display;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::Problem;
use super::words::nearest;
use crate::cli::{StepFlags, Takes, flag_refusal};

/// Longest file, in bytes.
const FLOW_BYTES_MAX: u64 = 1 << 20;
/// Most steps of a flow.
const STEPS_MAX: usize = 256;
/// Longest name of a flow or a step, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Keys of a step besides its flags.
const KEYS: [&str; 8] = ["module", "each", "gather", "in", "args", "after", "even-if-failed", "block"];

/// A flow as its file says it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// In the order of the file.
    pub(crate) steps: Vec<Step>,
}

/// A step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Where it begins in the file.
    pub(crate) line: usize,
    pub(crate) module: PathBuf,
    pub(crate) takes: Inputs,
    pub(crate) args: Vec<String>,
    /// What is under `/in`, as it is written.
    pub(crate) files: Vec<String>,
    /// Steps that must be done before.
    pub(crate) after: Vec<String>,
    pub(crate) even_if_failed: bool,
    pub(crate) flags: StepFlags,
}

/// Where its inputs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inputs {
    /// It is one task.
    None,
    /// Files, or patterns of them.
    Files(Vec<String>),
    /// All files of a directory.
    Dir(PathBuf),
    /// The lines of a file, or blocks of them of about that size.
    Lines(PathBuf, Option<String>),
    /// The outputs of a step, one by one.
    EachResult(String),
    /// All outputs of these steps.
    Gather(Vec<String>),
}

impl Step {
    /// The steps whose results it takes.
    pub(crate) fn parents(&self) -> &[String] {
        match &self.takes {
            Inputs::None | Inputs::Files(_) | Inputs::Dir(_) | Inputs::Lines(..) => &[],
            Inputs::EachResult(step) => std::slice::from_ref(step),
            Inputs::Gather(steps) => steps,
        }
    }

    /// Whether it says itself at how many failures it ends.
    pub(crate) fn has_own_bound(&self) -> bool {
        self.flags.task.policy.max_failures.is_some()
    }

    /// The steps that come before it, for their results or for the order alone.
    pub(crate) fn before(&self) -> impl Iterator<Item = &str> {
        self.parents().iter().chain(&self.after).map(String::as_str)
    }
}

impl Flow {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or says something that no flow's file does.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let unreadable = |source| Problem::File { action: "read the flow", path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(FLOW_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > FLOW_BYTES_MAX {
            let text = format!(
                "{} is longer than {} KiB, so it is no flow's file",
                path.display(),
                FLOW_BYTES_MAX >> 10
            );
            return Err(Problem::Usage(text));
        }
        Reader { path, text: &text }.flow()
    }

    /// A problem with a step.
    pub(crate) fn wrong(&self, step: &Step, text: impl Display) -> Problem {
        Problem::Usage(format!("{}, line {}: step {}: {text}", self.path.display(), step.line, step.name))
    }

    /// The step of that name.
    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The step of that name, which the command line or a step names.
    pub(crate) fn known_step(&self, name: &str) -> Result<&Step, String> {
        self.step(name).ok_or_else(|| {
            let names: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
            format!("there is no step {name}{}", nearest(name, &names))
        })
    }

    /// The directory that its paths are seen from.
    pub(crate) fn dir(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The text that is read.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: Range<usize>, text: impl Display) -> Problem {
        let line = 1 + self.text.get(..at.start).map_or(0, |before| before.matches('\n').count());
        Problem::Usage(format!("{}, line {line}: {text}", self.path.display()))
    }

    fn flow(&self) -> Result<Flow, Problem> {
        let root = DeTable::parse(self.text)
            .map_err(|error| self.wrong(error.span().unwrap_or_default(), error.message()))?;
        let (mut name, mut steps) = (None, Vec::new());
        for (key, value) in in_order(root.get_ref()) {
            match key.get_ref().as_ref() {
                "flow" => name = Some(self.head(value)?),
                "step" => steps = self.steps(value)?,
                other => return Err(self.unknown(key.span(), "", other, &["flow", "step"])),
            }
        }
        let example = "a flow begins with [flow] and name = \"thumbs\"";
        let name = name.ok_or_else(|| self.wrong(0..0, example))?;
        if steps.is_empty() {
            return Err(self.wrong(0..0, "it has no step: expected [step.NAME] and module = \"FILE.wasm\""));
        }
        Ok(Flow { path: self.path.to_owned(), name, steps })
    }

    /// What is under `[flow]`: its name.
    fn head(&self, value: &Spanned<DeValue<'_>>) -> Result<String, Problem> {
        let mut name = None;
        for (key, value) in in_order(self.table(value, "flow")?) {
            match key.get_ref().as_ref() {
                "name" => name = Some(self.name(value.span(), &self.text_of(value, "name")?)?),
                other => return Err(self.unknown(key.span(), "", other, &["name"])),
            }
        }
        name.ok_or_else(|| self.wrong(value.span(), "the flow has no name: expected name = \"thumbs\""))
    }

    fn steps(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Step>, Problem> {
        let table = self.table(value, "step")?;
        if table.len() > STEPS_MAX {
            return Err(self
                .wrong(value.span(), format_args!("{} steps; a flow has at most {STEPS_MAX}", table.len())));
        }
        in_order(table).into_iter().map(|(key, value)| self.step(key, value)).collect()
    }

    fn step(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Step, Problem> {
        let name = self.name(key.span(), key.get_ref())?;
        let mut read = Draft::default();
        for entry in in_order(self.table(value, &name)?) {
            self.key(&name, &mut read, entry)?;
        }
        let wrong = |text: &str| self.wrong(key.span(), format_args!("step {name}: {text}"));
        let Draft { module, each, gather, args, files, after, even_if_failed, block, words } = read;
        let module = module.ok_or_else(|| wrong("it has no module: expected module = \"FILE.wasm\""))?;
        let takes = match (each, gather) {
            (Some(_), Some(_)) => return Err(wrong("it has each and gather: expected one of them")),
            (Some(each), None) => each,
            (None, Some(steps)) => Inputs::Gather(steps),
            (None, None) => Inputs::None,
        };
        let takes = match (takes, block) {
            (Inputs::Lines(path, None), size) => Inputs::Lines(path, size),
            (takes, None) => takes,
            (_, Some(_)) => return Err(wrong("block goes with each = \"lines:FILE\"")),
        };
        let flags = StepFlags::of(&words).map_err(|error| wrong(&flag_refusal(&error)))?;
        let line = 1 + self.text.get(..key.span().start).map_or(0, |before| before.matches('\n').count());
        Ok(Step { name, line, module: module.into(), takes, args, files, after, even_if_failed, flags })
    }

    fn key(&self, step: &str, read: &mut Draft, (key, value): Entry<'_, '_>) -> Result<(), Problem> {
        let name = key.get_ref().as_ref();
        match name {
            "module" => read.module = Some(self.text_of(value, name)?),
            "each" => read.each = Some(self.each(value)?),
            "gather" => read.gather = Some(self.gathered(value)?),
            "args" => read.args = self.texts(value, name)?,
            "in" => read.files = self.texts(value, name)?,
            "after" => read.after = self.after(value)?,
            "even-if-failed" => read.even_if_failed = self.truth(value, name)?,
            "block" => read.block = Some(self.text_of(value, name)?),
            other => {
                let keys = StepFlags::keys();
                let Some((_, takes)) = keys.iter().find(|(key, _)| key == other) else {
                    let all: Vec<&str> =
                        KEYS.into_iter().chain(keys.iter().map(|(key, _)| key.as_str())).collect();
                    return Err(self.unknown(key.span(), &format!("step {step}: "), other, &all));
                };
                read.words.extend(self.flag(other, *takes, value)?);
            }
        }
        Ok(())
    }

    /// A key that is a flag, as it is on a command line.
    fn flag(&self, key: &str, takes: Takes, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Problem> {
        match (takes, value.get_ref()) {
            (Takes::Nothing, _) => {
                Ok(if self.truth(value, key)? { vec![format!("--{key}")] } else { Vec::new() })
            }
            (Takes::Many, DeValue::Table(table)) => in_order(table)
                .into_iter()
                .map(|(name, value)| Ok(format!("--{key}={}={}", name.get_ref(), self.text_of(value, key)?)))
                .collect(),
            (Takes::Many, _) => {
                Ok(self.texts(value, key)?.into_iter().map(|text| format!("--{key}={text}")).collect())
            }
            (Takes::One, _) => Ok(vec![format!("--{key}={}", self.text_of(value, key)?)]),
        }
    }

    fn each(&self, value: &Spanned<DeValue<'_>>) -> Result<Inputs, Problem> {
        let texts = self.texts(value, "each")?;
        let [text] = texts.as_slice() else {
            if let Some(special) = texts.iter().find(|text| is_special(text)) {
                let text = format!(
                    "each: {special} is alone, and not in a list; expected files and patterns in a list"
                );
                return Err(self.wrong(value.span(), text));
            }
            if texts.is_empty() {
                return Err(self.wrong(value.span(), "each: the list is empty"));
            }
            return Ok(Inputs::Files(texts));
        };
        Ok(if let Some(step) = text.strip_prefix('@') {
            Inputs::EachResult(step.to_owned())
        } else if let Some(path) = text.strip_prefix("lines:") {
            Inputs::Lines(path.into(), None)
        } else if let Some(dir) = text.strip_prefix("files:") {
            Inputs::Dir(dir.into())
        } else {
            Inputs::Files(texts)
        })
    }

    fn gathered(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Problem> {
        let texts = self.texts(value, "gather")?;
        if texts.is_empty() {
            return Err(self.wrong(value.span(), "gather: the list is empty"));
        }
        let step = |text: String| match text.strip_prefix('@') {
            Some(step) => Ok(step.to_owned()),
            None => Err(self.wrong(value.span(), format_args!("gather: expected a step, as \"@{text}\""))),
        };
        texts.into_iter().map(step).collect()
    }

    fn after(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Problem> {
        let texts = self.texts(value, "after")?;
        match texts.iter().find(|text| text.starts_with('@')) {
            Some(text) => {
                let step = text.trim_start_matches('@');
                Err(self.wrong(
                    value.span(),
                    format_args!("after is for the order alone: expected after = [\"{step}\"], or each or gather = \"{text}\""),
                ))
            }
            None => Ok(texts),
        }
    }

    fn name(&self, at: Range<usize>, name: &str) -> Result<String, Problem> {
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_one) {
            let expected = format!("expected 1 to {NAME_BYTES_MAX} letters, digits, - and _");
            return Err(self.wrong(at, format_args!("the name {name:?}: {expected}")));
        }
        Ok(name.to_owned())
    }

    fn table<'a, 'i>(&self, value: &'a Spanned<DeValue<'i>>, key: &str) -> Result<&'a DeTable<'i>, Problem> {
        let found = value.get_ref().as_table();
        found.ok_or_else(|| self.wrong(value.span(), format_args!("{key}: expected a table, as [step.NAME]")))
    }

    fn truth(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<bool, Problem> {
        let found = value.get_ref().as_bool();
        found.ok_or_else(|| self.wrong(value.span(), format_args!("{key}: expected true or false")))
    }

    /// A text, or a number as text.
    fn text_of(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, Problem> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            DeValue::Integer(number) => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(self.wrong(value.span(), format_args!("{key}: expected a text in quotes")))
            }
        }
    }

    /// A text, or a list of them.
    fn texts(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<Vec<String>, Problem> {
        match value.get_ref() {
            DeValue::Array(all) => all.iter().map(|value| self.text_of(value, key)).collect(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => Ok(vec![self.text_of(value, key)?]),
        }
    }

    fn unknown(&self, at: Range<usize>, of: &str, given: &str, known: &[&str]) -> Problem {
        self.wrong(at, format_args!("{of}unknown key {given}{}", nearest(given, known)))
    }
}

/// Whether it is one of the values of `each` that are no file.
fn is_special(text: &str) -> bool {
    text.starts_with('@') || text.starts_with("lines:") || text.starts_with("files:")
}

/// The entries of a table in the order of the file.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<Entry<'a, 'i>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// A step while its keys are read.
#[derive(Default)]
struct Draft {
    module: Option<String>,
    each: Option<Inputs>,
    gather: Option<Vec<String>>,
    args: Vec<String>,
    files: Vec<String>,
    after: Vec<String>,
    even_if_failed: bool,
    block: Option<String>,
    /// Its flags, as on a command line.
    words: Vec<String>,
}
