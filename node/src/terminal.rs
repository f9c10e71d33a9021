//! What a terminal may see of what others sent: names and reasons of peers, what tasks print, what workers say that
//! they printed. All of it passes through [`visible`] (words in one line), [`json_text`] (JSON) or [`Screen`] (a task's
//! own output). Letters that could move the cursor, recolour, or turn the reading direction are made visible.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Stderr, Stdout, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::settings::environment;

/// Longest colour sequence that passes, in bytes.
const COLOUR_BYTES_MAX: usize = 64;

/// Whether a letter could change how others are shown: controls (C0, DEL, C1), separators of lines and paragraphs, and
/// what sets the direction of text.
#[must_use]
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text as one line that is safe to show: a tab or a line end is a space, what is unsafe is written like `\x1b` or
/// `\u{202e}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' | '\r' | '\t' => safe.push(' '),
            letter if is_unsafe(letter) => show(&mut safe, letter),
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

fn show(text: &mut String, letter: char) {
    // Writing into a string can't fail.
    let _written = match u32::from(letter) {
        code @ 0..0x80 => write!(text, "\\x{code:02x}"),
        code => write!(text, "\\u{{{code:x}}}"),
    };
}

/// JSON whose unsafe letters are written as `\u202e`. Outside of strings JSON has none, so this changes no meaning.
#[must_use]
pub fn json_text(json: String) -> String {
    let unsafe_in_json = |letter: char| is_unsafe(letter) && letter != '\n';
    if !json.contains(unsafe_in_json) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        if unsafe_in_json(letter) {
            // All of them lie in the first plane, where one such word is enough.
            let _written = write!(safe, "\\u{:04x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// How many columns a terminal gives to the text: two for a letter of Chinese or an emoji.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, cut to `columns` columns; a text that was cut ends with `…`.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (mut cut, mut taken) = (String::new(), 0);
    for letter in text.chars() {
        taken += letter.width().unwrap_or(0);
        if taken >= columns {
            break;
        }
        cut.push(letter);
    }
    cut.push('…');
    Cow::Owned(cut)
}

/// Whether stderr is a terminal that can draw over what it shows.
#[must_use]
pub fn stderr_draws() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Whether the terminal calls itself one that knows no sequences at all.
#[must_use]
pub fn is_dumb() -> bool {
    environment("TERM").as_deref() == Some("dumb")
}

/// A writer of what others wrote. Line ends, tabs and colours pass; the rest that is unsafe is made visible, and so are
/// bytes that are no text. A lone carriage return becomes a line end, so that nothing is written over.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    raw: bool,
    /// The beginning of something whose end has not come: at most [`COLOUR_BYTES_MAX`] bytes.
    held: Vec<u8>,
    /// A colour was set and not taken back.
    coloured: bool,
}

impl Screen<Stdout> {
    /// Stdout: unchanged if it is not a terminal, or if `raw` is set.
    #[must_use]
    pub fn stdout(raw: bool) -> Self {
        Self::new(io::stdout(), raw || !io::stdout().is_terminal())
    }
}

impl Screen<Stderr> {
    /// Stderr: unchanged if it is not a terminal, or if `raw` is set.
    #[must_use]
    pub fn stderr(raw: bool) -> Self {
        Self::new(io::stderr(), raw || !io::stderr().is_terminal())
    }
}

impl<W: Write> Screen<W> {
    /// Everything passes as it is where `raw`.
    pub fn new(out: W, raw: bool) -> Self {
        Self { out, raw, held: Vec::new(), coloured: false }
    }

    /// Whether everything passes as it is.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// The writer behind it.
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    /// The writer behind it. What is held back for what might follow is not in it.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Shows what was held back for what might follow, and takes a colour back. To be called at the end; dropping it
    /// does the same and says nothing about errors.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut text = self.take(&[], true);
        if std::mem::take(&mut self.coloured) {
            text.extend_from_slice(b"\x1b[0m");
        }
        self.out.write_all(&text)?;
        self.out.flush()
    }

    /// What to write for these bytes.
    fn take(&mut self, bytes: &[u8], is_last: bool) -> Vec<u8> {
        let mut given = std::mem::take(&mut self.held);
        given.extend_from_slice(bytes);
        let mut text = Vec::with_capacity(given.len());
        let mut rest = given.as_slice();
        while !rest.is_empty() {
            let Some((length, piece)) = next(rest, is_last) else { break };
            let (taken, left) = rest.split_at(length.min(rest.len()));
            rest = left;
            match piece {
                Piece::Text => text.extend_from_slice(taken),
                Piece::Colour => {
                    self.coloured = !matches!(taken, b"\x1b[m" | b"\x1b[0m");
                    text.extend_from_slice(taken);
                }
                Piece::LineEnd => text.push(b'\n'),
                Piece::Shown(words) => text.extend_from_slice(words.as_bytes()),
            }
        }
        self.held = rest.to_vec();
        text
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.raw {
            return self.out.write(bytes);
        }
        let text = self.take(bytes, false);
        self.out.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if !self.held.is_empty() || self.coloured {
            // An error can't be reported anywhere.
            drop(self.finish());
        }
    }
}

/// What the next bytes are.
enum Piece {
    Text,
    Colour,
    LineEnd,
    /// What is shown in their place.
    Shown(String),
}

/// The next piece and its length in bytes; `None` when its end has not come.
fn next(bytes: &[u8], is_last: bool) -> Option<(usize, Piece)> {
    match bytes {
        [b'\n' | b'\t', ..] => Some((1, Piece::Text)),
        [b'\r', b'\n', ..] => Some((2, Piece::Text)),
        [b'\r'] if !is_last => None,
        [b'\r', ..] => Some((1, Piece::LineEnd)),
        [0x1b, ..] => colour(bytes, is_last),
        [b' '..=b'~', ..] => {
            let length = bytes.iter().take_while(|byte| matches!(byte, b' '..=b'~')).count();
            Some((length, Piece::Text))
        }
        _ => letter(bytes, is_last),
    }
}

/// `ESC [`, numbers, `m` sets colours; every other escape is shown.
fn colour(bytes: &[u8], is_last: bool) -> Option<(usize, Piece)> {
    let shown = Some((1, Piece::Shown(String::from("\\x1b"))));
    let numbers = match bytes {
        [_] => return if is_last { shown } else { None },
        [_, b'[', numbers @ ..] => numbers,
        _ => return shown,
    };
    let length = numbers.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
    match numbers.get(length) {
        _ if length + 3 > COLOUR_BYTES_MAX => shown,
        Some(b'm') => Some((length + 3, Piece::Colour)),
        None if !is_last => None,
        Some(_) | None => shown,
    }
}

/// A letter beyond the printable ones of ASCII, or a byte that begins none.
fn letter(bytes: &[u8], is_last: bool) -> Option<(usize, Piece)> {
    let head = bytes.get(..bytes.len().min(4)).unwrap_or(bytes);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => {
            if error.valid_up_to() == 0 && error.error_len().is_none() && !is_last {
                return None;
            }
            head.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("")
        }
    };
    Some(match (valid.chars().next(), bytes.first()) {
        (Some(letter), _) if is_unsafe(letter) => {
            let mut words = String::new();
            show(&mut words, letter);
            (letter.len_utf8(), Piece::Shown(words))
        }
        (Some(letter), _) => (letter.len_utf8(), Piece::Text),
        (None, Some(byte)) => (1, Piece::Shown(format!("\\x{byte:02x}"))),
        (None, None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str = "a\x1b]0;owned\x07\u{9b}2J\u{202e}txt\u{2066}\u{2028}\u{7f}\u{200f}\u{61c}z";

    #[test]
    fn one_line_shows_what_it_does_not_obey() {
        assert_eq!(visible("anna's grüße 世界"), "anna's grüße 世界");
        assert_eq!(
            visible(HOSTILE),
            "a\\x1b]0;owned\\x07\\u{9b}2J\\u{202e}txt\\u{2066}\\u{2028}\\x7f\\u{200f}\\u{61c}z"
        );
        assert_eq!(visible("two\nlines\tand\ra tab"), "two lines and a tab");
    }

    #[test]
    fn json_keeps_its_meaning_and_has_no_unsafe_letter() {
        let json = serde_json::to_string(&[HOSTILE, "世界"]).unwrap();
        let safe = json_text(json.clone());
        assert!(!safe.contains(is_unsafe), "{safe}");
        assert!(safe.contains("\\u009b") && safe.contains("\\u202e") && safe.contains("世界"), "{safe}");
        let read = |text: &str| serde_json::from_str::<Vec<String>>(text).unwrap();
        assert_eq!(read(&safe), read(&json));
    }

    fn screened(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, false);
        pieces.iter().for_each(|piece| screen.write_all(piece).unwrap());
        drop(screen);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn on_a_screen_colours_and_line_ends_pass_and_the_rest_is_shown() {
        assert_eq!(screened(&[b"\x1b[1;31mred\x1b[0m\n\ttab\r\n"]), "\x1b[1;31mred\x1b[0m\n\ttab\r\n");
        assert_eq!(screened(&[b"\x1b[31mred"]), "\x1b[31mred\x1b[0m", "a colour does not outlive its task");
        assert_eq!(screened(&[b"\x1b[2J\x1b]0;x\x07"]), "\\x1b[2J\\x1b]0;x\\x07");
        assert_eq!(screened(&[b"10%\r20%\r"]), "10%\n20%\n");
        assert_eq!(screened(&[HOSTILE.as_bytes()]), visible(HOSTILE));
        assert_eq!(screened(&[b"\xff\xfeg\xc3"]), "\\xff\\xfeg\\xc3");
        let long = format!("\x1b[{}m", "1;".repeat(40));
        assert!(screened(&[long.as_bytes()]).starts_with("\\x1b["));
    }

    #[test]
    fn what_comes_in_pieces_is_shown_as_if_it_came_whole() {
        let whole = "grün\x1b[31mrot\x1b[0m\r\n世界\u{202e}\r".as_bytes();
        for at in 0..whole.len() {
            let (one, two) = whole.split_at(at);
            assert_eq!(screened(&[one, two]), screened(&[whole]), "{at}");
        }
    }

    #[test]
    fn raw_is_raw() {
        let mut out = Vec::new();
        Screen::new(&mut out, true).write_all(b"\x1b[2J\xff").unwrap();
        assert_eq!(out, b"\x1b[2J\xff");
    }

    #[test]
    fn letters_are_counted_as_what_they_take() {
        assert_eq!((width("abc"), width("世界"), width("é")), (3, 4, 1));
        assert_eq!(fit("世界世界", 5), "世界…");
        assert_eq!(fit("anna", 4), "anna");
        assert_eq!(fit("annabelle", 4), "ann…");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_but_colours_and_line_ends_reaches_a_screen(bytes: Vec<u8>) {
            let shown = screened(&[&bytes]);
            let rest = shown.replace(['\n', '\t', '\r'], "");
            let mut rest = rest.as_str();
            while let Some(at) = rest.find(is_unsafe) {
                let (_, tail) = rest.split_at(at);
                prop_assert!(matches!(next(tail.as_bytes(), true), Some((_, Piece::Colour))), "{:?}", tail);
                rest = tail.split_at(1).1;
            }
        }
    }
}
