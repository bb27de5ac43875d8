//! Emphasis in what is printed: on a terminal only, and never where `NO_COLOR` is set (no-color.org) or the
//! terminal is dumb.
#![forbid(unsafe_code)]

use std::io::IsTerminal;

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emphasis {
    /// What one looks for.
    Bold,
    /// All is well.
    Good,
    /// It will hurt.
    Warning,
    /// It does not work.
    Bad,
    /// Less important than the rest.
    Dim,
}

/// Whether words may stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    has_colours: bool,
}

impl Palette {
    /// Nothing stands out.
    pub const PLAIN: Self = Self { has_colours: false };

    /// For what is written to `stream`.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_able = std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Self { has_colours: stream.is_terminal() && is_wanted && is_able }
    }

    /// Whether it has colours.
    pub fn has_colours(self) -> bool {
        self.has_colours
    }

    /// The text, standing out if it may.
    pub fn paint(self, emphasis: Emphasis, text: &str) -> String {
        let code = match emphasis {
            Emphasis::Bold => "1",
            Emphasis::Good => "32",
            Emphasis::Warning => "33",
            Emphasis::Bad => "31",
            Emphasis::Dim => "2",
        };
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is_and_colours_end_where_the_word_does() {
        assert_eq!(Palette::PLAIN.paint(Emphasis::Bad, "x"), "x");
        assert_eq!(Palette { has_colours: true }.paint(Emphasis::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
