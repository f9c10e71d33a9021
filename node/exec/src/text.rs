//! Texts for errors and logs, made from untrusted text: shortened, and without control characters.

use std::any::Any;
use std::fmt::Write;

/// Most names listed in an error text.
const LISTED_MAX: usize = 24;
/// Longest name in an error text, in characters.
const NAME_MAX: usize = 64;
/// Longest text of the runtime in an error text, in characters.
const WORDS_MAX: usize = 600;

/// The first names, separated by commas, and how many more there are.
pub(crate) fn list(names: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut more = 0;
    for (index, name) in names.enumerate() {
        if index >= LISTED_MAX {
            more += 1;
            continue;
        }
        text.push_str(if index == 0 { "" } else { ", " });
        text.push_str(&name);
    }
    if more > 0 {
        write!(text, " and {more} more").expect("a string takes everything");
    }
    if text.is_empty() { "nothing".into() } else { text }
}

/// An untrusted name, shortened for error texts.
pub(crate) fn quote(name: &str) -> String {
    shorten(&plain(name), NAME_MAX)
}

/// The runtime's error about a module, shortened: it may quote the module.
pub(crate) fn words(error: &wasmtime::Error) -> String {
    shorten(&plain(&format!("{error:#}")), WORDS_MAX)
}

/// The text without characters that affect a terminal or a log: control characters, and those that change the direction
/// of text.
pub(crate) fn plain(text: &str) -> String {
    let acts = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| {
            if c == '\n' {
                ' '
            } else if acts(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// The first `max` characters, with an ellipsis if there are more.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&'static str>().copied()).unwrap_or("no text")
}
