//! Arguments and files that each task of a map has for itself: those of the command line that have words in braces.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use weft_client::{Input, Parcel};

use super::template::{Called, Template, Word};
use crate::cli::TaskArgs;

/// What differs by task.
#[derive(Clone, Debug)]
pub(crate) struct Tailor {
    /// All arguments, if one of them has a word: they keep their order.
    args: Vec<Template>,
    /// Files that differ, and what they are called under `/in`.
    files: Vec<(Template, Option<Template>)>,
    /// The input is a file under `/in` too.
    as_file: bool,
}

impl Tailor {
    /// Takes what differs by task out of what the command line gives every task; `None` if nothing does.
    pub(crate) fn take(task: &mut TaskArgs, args: &mut Vec<String>, as_file: bool) -> Option<Self> {
        let parse = |text: &str| Template::parse(text.as_bytes());
        let all: Vec<Template> = args.iter().map(|arg| parse(arg)).collect();
        let own_args = if all.iter().all(Template::is_same) { Vec::new() } else { all };
        let (mut files, mut same) = (Vec::new(), Vec::new());
        for given in std::mem::take(&mut task.input) {
            let path = Template::parse(given.path.as_os_str().as_bytes());
            let name = given.name.as_deref().map(parse);
            if path.is_same() && name.as_ref().is_none_or(Template::is_same) {
                same.push(given);
            } else {
                files.push((path, name));
            }
        }
        task.input = same;
        if own_args.is_empty() && files.is_empty() && !as_file {
            return None;
        }
        if !own_args.is_empty() {
            args.clear();
        }
        Some(Self { args: own_args, files, as_file })
    }

    /// Whether that word is in anything of it.
    pub(crate) fn has(&self, word: Word) -> bool {
        let files = self.files.iter().flat_map(|(path, name)| std::iter::once(path).chain(name));
        self.args.iter().chain(files).any(|template| template.has(word))
    }

    /// The files that are its task's own.
    pub(crate) fn paths(&self, called: Called<'_>) -> impl Iterator<Item = PathBuf> {
        self.files.iter().map(move |(path, _name)| OsStr::from_bytes(&path.fill(called)).into())
    }

    /// The input with what is its task's own.
    ///
    /// # Errors
    /// With a text, when something about it is not UTF-8.
    pub(crate) fn parcel(&self, called: Called<'_>, input: Input) -> Result<Input, String> {
        let text = |template: &Template, what: &str| {
            String::from_utf8(template.fill(called))
                .map_err(|_other| format!("its {what} would not be UTF-8"))
        };
        let args: Result<Vec<String>, String> = self.args.iter().map(|arg| text(arg, "arguments")).collect();
        let mut parcel = Parcel::new(input).args(args?);
        if self.as_file {
            let name = Path::new(OsStr::from_bytes(called.line)).file_name().and_then(OsStr::to_str);
            parcel = parcel.stdin_as(name.ok_or("its name under /in would not be UTF-8")?);
        }
        for (path, name) in &self.files {
            let path = path.fill(called);
            let path = Path::new(OsStr::from_bytes(&path));
            parcel = match name {
                Some(name) => parcel.file_as(path, plain(&text(name, "names under /in")?)),
                None => parcel.file(path),
            };
        }
        Ok(Input::from(parcel))
    }
}

/// A name under `/in` without `.` and doubled slashes, which words may bring in.
fn plain(name: &str) -> String {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| format!("{path}/{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_under_in_is_made_plain() {
        assert_eq!(plain("/in/./a//b"), "/in/a/b");
        assert_eq!(plain("/in"), "/in");
        assert_eq!(plain("/in/../x"), "/in/../x");
    }

    #[test]
    fn what_is_filled_in_is_in_the_parcel() {
        let parse = |text: &str| Template::parse(text.as_bytes());
        let tailor = Tailor {
            args: vec![parse("-i"), parse("/in/{name}")],
            files: vec![(parse("{dir}/{stem}.cfg"), Some(parse("/in/{dir}/cfg")))],
            as_file: true,
        };
        let called = Called { line: b"a/b.png", index: 3 };
        let input = tailor.parcel(called, Input::file("a/b.png")).unwrap();
        let expected = Parcel::new(Input::file("a/b.png"))
            .args(["-i", "/in/b.png"])
            .stdin_as("b.png")
            .file_as("a/b.cfg", "/in/a/cfg");
        assert_eq!(input, Input::from(expected));
        assert!(tailor.has(Word::Stem) && !tailor.has(Word::Line));
        assert!(tailor.parcel(Called { line: b"\xff", index: 0 }, Input::default()).is_err());
    }
}
