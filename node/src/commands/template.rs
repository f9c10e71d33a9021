//! Texts that differ by input: `{name}` and five other words in braces are replaced by parts of the input's name. What
//! is filled in is bytes from a file's name or from a line, and nothing about them is promised.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The words, as they are written.
const WORDS: [(&str, Word); 6] = [
    ("{name}", Word::Name),
    ("{stem}", Word::Stem),
    ("{dir}", Word::Dir),
    ("{ext}", Word::Ext),
    ("{index}", Word::Index),
    ("{line}", Word::Line),
];

/// A part of what an input is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Behind the last slash.
    Name,
    /// The name without its last extension.
    Stem,
    /// Before the last slash; `.` when there is none.
    Dir,
    /// The last extension, without its dot.
    Ext,
    /// The input's number, from 0.
    Index,
    /// All of it: the line, or the path of the file.
    Line,
}

/// An input by its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'a> {
    /// The line, or the path of the file.
    pub(crate) line: &'a [u8],
    /// Its number, from 0.
    pub(crate) index: u32,
}

/// A text with words in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
    /// The first thing in braces that looks like a word and is none.
    unknown: Option<String>,
    /// A word in double braces was found.
    is_quoting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Word(Word),
}

impl Template {
    /// Finds the words. A word in double braces, as `{{name}}`, becomes itself in single ones; all else is text.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let (mut parts, mut plain, mut unknown, mut is_quoting) = (Vec::new(), Vec::new(), None, false);
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            let quoted = rest.strip_prefix(b"{").and_then(|inner| Some((word_at(inner)?, inner)));
            if let Some(((_, word), inner)) = quoted
                && let Some(behind) = inner.get(word.len()..).and_then(|rest| rest.strip_prefix(b"}"))
            {
                plain.extend_from_slice(word.as_bytes());
                is_quoting = true;
                rest = behind;
            } else if let Some((word, text)) = word_at(rest) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Word(word));
                rest = rest.get(text.len()..).unwrap_or_default();
            } else {
                unknown = unknown.or_else(|| unknown_at(rest));
                plain.push(*first);
                rest = behind;
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts, unknown, is_quoting }
    }

    /// Whether it is the same for every input.
    pub(crate) fn is_plain(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Whether it is its own text: nothing is filled in and nothing was quoted.
    pub(crate) fn is_same(&self) -> bool {
        self.is_plain() && !self.is_quoting
    }

    /// Whether that word is in it.
    pub(crate) fn has(&self, word: Word) -> bool {
        self.parts.contains(&Part::Word(word))
    }

    /// Whether two inputs can't give the same text: the number is the only word, and is in it once.
    pub(crate) fn is_unique(&self) -> bool {
        let mut words = self.parts.iter().filter(|part| matches!(part, Part::Word(_)));
        matches!((words.next(), words.next()), (Some(Part::Word(Word::Index)), None))
    }

    /// The first thing in braces that is not a known word, such as `{nmae}`, or one whose brace is not closed.
    pub(crate) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// The text for that input.
    pub(crate) fn fill(&self, called: Called<'_>) -> Vec<u8> {
        let mut filled = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.extend_from_slice(text),
                Part::Word(Word::Index) => filled.extend_from_slice(called.index.to_string().as_bytes()),
                Part::Word(word) => filled.extend_from_slice(word.of(called.line)),
            }
        }
        filled
    }

    /// The first word in it that is a part of the line.
    pub(crate) fn word_of_line(&self) -> Option<&'static str> {
        WORDS.iter().find(|(_, word)| *word != Word::Index && self.has(*word)).map(|(text, _)| *text)
    }
}

impl Word {
    /// The words, as a list for people.
    pub(crate) fn all() -> String {
        WORDS.map(|(text, _)| text).join(" ")
    }

    fn of(self, line: &[u8]) -> &[u8] {
        let path = Path::new(OsStr::from_bytes(line));
        let found = match self {
            Self::Name => path.file_name(),
            Self::Stem => path.file_stem(),
            Self::Ext => path.extension(),
            Self::Dir => path
                .parent()
                .map(Path::as_os_str)
                .map(|dir| if dir.is_empty() { OsStr::new(".") } else { dir }),
            Self::Line | Self::Index => return line,
        };
        found.map(OsStr::as_bytes).unwrap_or_default()
    }
}

fn word_at(text: &[u8]) -> Option<(Word, &'static str)> {
    let found = WORDS.iter().find(|(word, _)| text.starts_with(word.as_bytes()));
    found.map(|(text, word)| (*word, *text))
}

/// What begins here like a word: letters in braces, or a known word whose brace is not closed.
fn unknown_at(text: &[u8]) -> Option<String> {
    let inner = text.strip_prefix(b"{")?;
    let end = inner.iter().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(inner.len());
    let is_closed = inner.get(end) == Some(&b'}');
    let found = text.get(..end + 1 + usize::from(is_closed))?;
    let is_word = |word: &str| word.as_bytes().strip_suffix(b"}") == Some(found);
    let is_one = if is_closed { end > 0 } else { WORDS.iter().any(|(word, _)| is_word(word)) };
    is_one.then(|| String::from_utf8_lossy(found).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, line: &str) -> String {
        let called = Called { line: line.as_bytes(), index: 7 };
        String::from_utf8(Template::parse(template.as_bytes()).fill(called)).unwrap()
    }

    #[test]
    fn words_stand_for_parts_of_the_inputs_name() {
        let all = "{name}|{stem}|{dir}|{ext}|{index}|{line}";
        assert_eq!(filled(all, "a/b/song.tar.gz"), "song.tar.gz|song.tar|a/b|gz|7|a/b/song.tar.gz");
        assert_eq!(filled(all, "song"), "song|song|.||7|song");
        assert_eq!(filled(all, "/song"), "song|song|/||7|/song");
        assert_eq!(filled(all, ".hidden"), ".hidden|.hidden|.||7|.hidden");
        assert_eq!(filled(all, ""), "||||7|");
        assert_eq!(filled(all, "a/.."), "||a||7|a/..");
    }

    #[test]
    fn only_the_words_are_words() {
        assert_eq!(filled("{\"a\": {}} {nmae} {", "x"), "{\"a\": {}} {nmae} {");
        assert_eq!(filled("{{name}} {{{name}}}", "x"), "{name} {{name}}");
        assert_eq!(Template::parse(b"a/{nmae}.png").unknown(), Some("{nmae}"));
        assert_eq!(Template::parse(b"a/{name.png").unknown(), Some("{name"));
        assert_eq!(Template::parse(b"a/{index").unknown(), Some("{index"));
        for known in ["{name}", "{{name}}", "{}", "{A}", "{a b}", "{", "{names", "{na"] {
            assert_eq!(Template::parse(known.as_bytes()).unknown(), None, "{known}");
        }
    }

    #[test]
    fn what_differs_for_every_input_is_known_to() {
        let parse = |text: &str| Template::parse(text.as_bytes());
        assert!(parse("DIR").is_plain() && parse("{{name}}").is_plain() && !parse("{name}").is_plain());
        assert!(parse("a{index}b").is_unique());
        assert!(!parse("{index}{line}").is_unique() && !parse("{name}").is_unique());
    }
}
