//! What becomes of each input of a map, before it runs: how it is called, where its output goes, and whether that is there
//! already.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weft_client::Input;

use super::Problem;
use super::joblog::Earlier;
use super::outdir::{OutDir, Unwritten};
use super::outname::Name;
use super::records::Item;
use super::sources::{FileId, Sources};
use super::tailor::Tailor;
use super::template::{Called, Template, Word};

/// Longest tag, in characters.
const TAG_MAX: usize = 200;
/// Names from lines that are compared with one another, each at some 40 bytes of memory.
const NAMES_MAX: usize = 8 << 20;

/// An input that is ready to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) input: Input,
    /// The line, or the path of the file.
    pub(crate) line: Bytes,
    pub(crate) label: Label,
}

/// What is remembered of an input until its result comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Its number among all inputs, from 0.
    pub(crate) number: u32,
    /// Its file, where it is one.
    pub(crate) file: Option<PathBuf>,
    /// Where its output goes.
    pub(crate) out: Option<Name>,
    /// What is printed before each line of its output.
    pub(crate) tag: Option<String>,
    /// What the joblog calls it.
    pub(crate) called: Option<String>,
}

impl Label {
    /// That of an input of which nothing but the number is known.
    pub(crate) fn of(number: u32) -> Self {
        Self { number, file: None, out: None, tag: None, called: None }
    }

    /// What to call the task.
    pub(crate) fn shown(&self) -> String {
        match &self.file {
            Some(path) => format!("{} (task {})", path.display(), self.number),
            None => format!("task {}", self.number),
        }
    }
}

/// Where `--out` says that outputs go: a directory, and how they are called in it.
#[derive(Clone, Debug)]
pub(crate) struct OutSpec {
    pub(crate) dir: PathBuf,
    /// Without one: like the input's file, or by its number.
    template: Option<Template>,
}

impl OutSpec {
    /// `DIR`, or `DIR/NAME` with words in `NAME`.
    pub(crate) fn parse(given: &Path) -> Result<Self, Problem> {
        let bytes = given.as_os_str().as_bytes();
        let whole = Template::parse(bytes);
        if let Some(unknown) = whole.unknown() {
            let text = format!("--out: unknown word {unknown}; there are {}", Word::all());
            return Err(Problem::Usage(text));
        }
        if whole.is_plain() {
            let dir = whole.fill(Called { line: b"", index: 0 });
            return Ok(Self { dir: OsStr::from_bytes(&dir).into(), template: None });
        }
        // The directory ends before the first part of the path that has a word in it.
        let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        let plain = |at: &usize| bytes.get(..*at).is_some_and(|dir| Template::parse(dir).is_plain());
        let at = slashes.take_while(plain).last().unwrap_or(0);
        let (dir, name) = bytes.split_at_checked(at).unwrap_or_default();
        let dir = Template::parse(dir).fill(Called { line: b"", index: 0 });
        let dir = if dir.is_empty() { b".".to_vec() } else { dir };
        Ok(Self { dir: OsStr::from_bytes(&dir).into(), template: Some(Template::parse(name)) })
    }

    /// Whether that word is in the name.
    fn has(&self, word: Word) -> bool {
        self.template.as_ref().is_some_and(|template| template.has(word))
    }

    /// A word of the name that takes more of an input than its number.
    pub(crate) fn word_of_line(&self) -> Option<&'static str> {
        self.template.as_ref().and_then(Template::word_of_line)
    }

    /// Where the output of the input of that number goes, of which nothing else is known.
    pub(crate) fn numbered(&self, number: u32) -> Result<Name, String> {
        match &self.template {
            Some(template) => Name::parse(&template.fill(Called { line: b"", index: number })),
            None => Name::parse(number.to_string().as_bytes()),
        }
    }

    fn is_unique(&self, of_files: bool) -> bool {
        self.template.as_ref().map_or(!of_files, Template::is_unique)
    }

    fn name(&self, item: &Item) -> Result<Name, String> {
        let called = Called { line: &item.line, index: item.number };
        match (&self.template, &item.input) {
            (Some(template), _) => Name::parse(&template.fill(called)),
            (None, Input::File(path)) => {
                Name::parse(path.file_name().unwrap_or(OsStr::new("output")).as_bytes())
            }
            (None, _) => Name::parse(item.number.to_string().as_bytes()),
        }
    }
}

/// What is to be done about each input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) out: Option<OutSpec>,
    /// The directory, once it is open.
    pub(crate) dir: Option<Arc<OutDir>>,
    pub(crate) tag: bool,
    /// What an earlier joblog says, if there is a joblog.
    log: Option<Earlier>,
    tailor: Option<Tailor>,
    /// What is read, as far as outputs may take its place.
    sources: Sources,
    /// Names that came before, by the first 16 bytes of their BLAKE3 hash.
    seen: HashSet<[u8; 16]>,
}

impl Plan {
    /// A plan before the directory is open.
    pub(crate) fn new(out: Option<OutSpec>, tailor: Option<Tailor>, tag: bool, sources: Sources) -> Self {
        Self { out, dir: None, tag, log: None, tailor, sources, seen: HashSet::new() }
    }

    /// The plan with what an earlier joblog says.
    pub(crate) fn with_log(self, earlier: Earlier) -> Self {
        Self { log: Some(earlier), ..self }
    }

    /// Whether that file is read as far as is known by now.
    pub(crate) fn reads(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|about| self.sources.has(FileId::from(&about)))
    }

    /// The plan with its directory, which is open now.
    pub(crate) fn into_dir(self, dir: Option<Arc<OutDir>>) -> Self {
        Self { dir, ..self }
    }

    /// All inputs that are files. Two outputs of one name are refused, and so is one that is a directory for another.
    pub(crate) fn of_files(&self, items: Vec<Item>) -> Result<Vec<Planned>, Problem> {
        let mut names = BTreeSet::new();
        let mut planned = Vec::with_capacity(items.len());
        for item in items {
            let label = self.label(&item);
            let label =
                label.map_err(|text| Problem::Usage(format!("--out: {}: {text}", shown(&item.line))))?;
            if let Some(name) = &label.out
                && !(names.insert(name.clone()) && names.insert(name.files()))
            {
                let text = format!(
                    "--out: two inputs are called {}: rename one, map them into two directories, or tell them apart by \
                     {{index}} or {{dir}} in --out 'DIR/..'",
                    name.path().display()
                );
                return Err(Problem::Usage(text));
            }
            planned.push(Planned { input: item.input, line: item.line, label });
        }
        let is_above = |name: &Name| name.above().find(|above| names.contains(above));
        if let Some(name) = planned.iter().find_map(|planned| planned.label.out.as_ref().and_then(is_above)) {
            let text = format!(
                "--out: {} would be an output, and the directory of another one",
                name.path().display()
            );
            return Err(Problem::Usage(text));
        }
        Ok(planned)
    }

    /// One input of a stream, whose output may have the name of one before it.
    pub(crate) fn of_item(&mut self, item: Item) -> Result<Planned, Problem> {
        let label = match self.label(&item) {
            Ok(label) => label,
            Err(reason) => {
                let (input, label) = (Input::Missing { reason }, Label::of(item.number));
                return Ok(Planned { input, line: item.line, label });
            }
        };
        let twice = match (&self.out, &label.out) {
            (Some(out), Some(name)) if !out.is_unique(false) => {
                let name = name.clone();
                !(self.is_new(&name)? && self.is_new(&name.files())?)
            }
            _ => false,
        };
        if twice {
            let name = label.out.as_ref().map(|name| name.path().display().to_string()).unwrap_or_default();
            let reason = format!("its output would be {name}, as that of an input before it");
            let (input, label) = (Input::Missing { reason }, Label { out: None, ..label });
            return Ok(Planned { input, line: item.line, label });
        }
        Ok(Planned { input: item.input, line: item.line, label })
    }

    fn is_new(&mut self, name: &Name) -> Result<bool, Problem> {
        if self.seen.len() >= NAMES_MAX {
            let text = format!(
                "--out: more than {NAMES_MAX} names from lines; {{index}} as the only word has no bound"
            );
            return Err(Problem::Failed(text));
        }
        let hash = blake3::hash(name.as_bytes());
        Ok(self.seen.insert(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes")))
    }

    /// Remembers which files that input is read from, if outputs may take their places.
    pub(crate) fn note(&mut self, planned: &Planned) -> Result<(), Problem> {
        if !self.dir.as_ref().is_some_and(|dir| dir.has_earlier()) {
            return Ok(());
        }
        if let Input::File(path) = &planned.input {
            self.sources.add(path)?;
        }
        let called = Called { line: &planned.line, index: planned.label.number };
        let own = self.tailor.iter().flat_map(|tailor| tailor.paths(called));
        own.into_iter().try_for_each(|path| self.sources.add(&path))
    }

    /// Why its output must not be: it would take the place of a file that is read.
    pub(crate) fn refusal(&self, planned: &Planned) -> Option<String> {
        let (dir, name) = (self.dir.as_ref()?, planned.label.out.as_ref()?);
        dir.replaces(name, &self.sources).then(|| {
            let shown = dir.shown(name);
            format!("its output {shown} would take the place of a file that this map reads; name another directory")
        })
    }

    /// Whether it ended in an earlier run: its output is there, or the joblog says so where there is none. An input whose
    /// output can't be is marked as missing.
    pub(crate) fn is_done(&self, planned: &mut Planned) -> bool {
        let (log, number) = (self.log.as_ref(), planned.label.number);
        let (Some(dir), Some(name)) = (&self.dir, &planned.label.out) else {
            return log.is_some_and(|log| log.is_over(number));
        };
        match dir.is_done(name) {
            // A done task whose output is gone runs again.
            Ok(is_there) => is_there || log.is_some_and(|log| log.is_let_fail(number)),
            Err(reason) => {
                planned.input = Input::Missing { reason };
                false
            }
        }
    }

    /// Takes away what an earlier run left under the names of its output.
    pub(crate) fn clear(&self, planned: &mut Planned) -> Result<(), Problem> {
        let (Some(dir), Some(name)) = (&self.dir, &planned.label.out) else { return Ok(()) };
        match dir.clear(name) {
            Ok(()) => Ok(()),
            Err(Unwritten::This(reason)) => {
                planned.input = Input::Missing { reason };
                Ok(())
            }
            Err(Unwritten::All(problem)) => Err(problem),
        }
    }

    /// The input as it goes out: with what is its task's own.
    pub(crate) fn tailored(&self, planned: Planned) -> (Input, Label) {
        let Planned { input, line, label } = planned;
        let (Some(tailor), false) = (&self.tailor, matches!(input, Input::Missing { .. })) else {
            return (input, label);
        };
        let called = Called { line: &line, index: label.number };
        let input = tailor.parcel(called, input).unwrap_or_else(|reason| Input::Missing { reason });
        (input, label)
    }

    /// Whether that word is in anything that is made for each input.
    pub(crate) fn has(&self, word: Word) -> bool {
        let in_out = self.out.as_ref().is_some_and(|out| out.has(word));
        in_out || self.tailor.as_ref().is_some_and(|tailor| tailor.has(word))
    }

    fn label(&self, item: &Item) -> Result<Label, String> {
        let file = match &item.input {
            Input::File(path) => Some(path.clone()),
            Input::Bytes(_)
            | Input::Blob { .. }
            | Input::Part(_)
            | Input::Parcel(_)
            | Input::Missing { .. } => None,
        };
        let out = self.out.as_ref().map(|out| out.name(item)).transpose()?;
        let called = self.log.is_some().then(|| tag(item));
        Ok(Label { number: item.number, file, out, tag: self.tag.then(|| tag(item)), called })
    }
}

/// What the input is called: its line or its file; a block by its number too.
fn tag(item: &Item) -> String {
    let text = shown(&item.line);
    match &item.input {
        Input::Part(_) => format!("{text}:{}", item.number),
        Input::Bytes(bytes) if *bytes != item.line => format!("{text}:{}", item.number),
        Input::Bytes(_) | Input::File(_) | Input::Blob { .. } | Input::Parcel(_) | Input::Missing { .. } => {
            text
        }
    }
}

/// Bytes of a name as one short line.
fn shown(bytes: &[u8]) -> String {
    let head = bytes.get(..4 * TAG_MAX).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    weft_node::terminal::visible(&text.chars().take(TAG_MAX).collect::<String>()).into_owned()
}
