//! What a command prints: data to standard output, as text for people or as one JSON document; talk
//! to standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, for programs.
    Json,
}

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether the answer is to be JSON.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints the data of the command: `value` as JSON, or `text` for people. A closed pipe (`| head`)
    /// is no error.
    pub(crate) fn data(self, value: &impl Serialize, text: impl AsRef<str>) -> Result<()> {
        let printed = match self.format {
            Format::Json => serde_json::to_string_pretty(value)?,
            Format::Text => printable(text.as_ref().trim_end_matches('\n')).into_owned(),
        };
        ignore_closed_pipe(writeln!(io::stdout().lock(), "{printed}"))
    }

    /// Prints one item of a stream: `value` as one line of JSON, or `text` for people. Says whether
    /// anybody still reads.
    pub(crate) fn line(self, value: &impl Serialize, text: impl AsRef<str>) -> Result<bool> {
        let printed = match self.format {
            Format::Json => serde_json::to_string(value)?,
            Format::Text => printable(text.as_ref()).into_owned(),
        };
        match writeln!(io::stdout().lock(), "{printed}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    /// Tells a part of a story whose end is the data: to standard output for people, out of the way of
    /// the document for programs.
    pub(crate) fn tell(self, text: impl AsRef<str>) {
        match self.format {
            Format::Json => self.say(text),
            // Nobody to tell it to is no reason to fail.
            Format::Text => {
                drop(writeln!(
                    io::stdout().lock(),
                    "{}",
                    printable(text.as_ref())
                ));
            }
        }
    }

    /// Says something to the person at the terminal, not part of the data.
    #[expect(
        clippy::unused_self,
        reason = "talk is a matter of the output like data"
    )]
    pub(crate) fn say(self, text: impl AsRef<str>) {
        // Nobody to say it to is no reason to fail.
        drop(writeln!(
            io::stderr().lock(),
            "{}",
            printable(text.as_ref())
        ));
    }

    /// A progress bar over `total` steps, shown after a moment and only to a person at a terminal.
    pub(crate) fn progress(self, total: usize, what: &'static str) -> ProgressBar {
        if self.is_json() || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// What is being done where nobody knows how much there is, shown to a person at a terminal.
    pub(crate) fn spinner(self, template: &'static str) -> ProgressBar {
        if self.is_json() || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// A text as a terminal may be shown it: much of what is printed was written by somebody else, and must
/// neither steer the terminal nor turn the order of letters around. Lines and tabs stay.
fn printable(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| {
        letter.is_control() && !matches!(letter, '\n' | '\t')
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

fn ignore_closed_pipe(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        for (text, expected) in [
            ("a\tb\nc \u{e4}", "a\tb\nc \u{e4}"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("a\rb\u{7f}\u{9b}", "a\\rb\\u{7f}\\u{9b}"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
