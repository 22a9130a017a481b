//! Words in colours, and lines that fit on a terminal. Pure; whether there are colours is decided elsewhere.

use unicode_width::UnicodeWidthChar;

use crate::base::text::plain;

/// How words look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    #[default]
    Plain,
    Green,
    Red,
    Yellow,
    Bold,
    Faint,
    /// That of a machine: one of [`MACHINES`].
    Machine(u8),
}

/// Colours of machines, by their numbers among the 256 of terminals: neither red, yellow nor green, which mean something, and
/// neither too dark for a dark ground nor too light for a light one.
const MACHINES: [u8; 8] = [32, 135, 30, 168, 67, 133, 62, 97];

impl Paint {
    /// The colour of a machine: always the same one for a name.
    pub(crate) fn machine(name: &str) -> Self {
        // FNV-1a: short names differ in all bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let index = usize::try_from((hash >> 32) % MACHINES.len() as u64).unwrap_or_default();
        Self::Machine(MACHINES.get(index).copied().unwrap_or_default())
    }

    /// `text` in this colour.
    pub(crate) fn on(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Green => "32",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Machine(number) => return format!("\x1b[38;5;{number}m{text}\x1b[0m"),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A line made of words, none of which has control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    words: Vec<(Paint, String)>,
    /// What comes after them, of which the end matters most.
    end: String,
}

impl Line {
    /// With more words at its end.
    #[must_use]
    pub(crate) fn with(mut self, paint: Paint, text: &str) -> Self {
        self.words.push((paint, plain_words(text)));
        self
    }

    /// With words after all others. Where there is no room for them they lack their beginning: errors come to the point at
    /// their end.
    #[must_use]
    pub(crate) fn ending(self, end: &str) -> Self {
        Self { end: plain_words(end), ..self }
    }

    /// With more words at its end, as they are.
    #[must_use]
    pub(crate) fn and(self, text: &str) -> Self {
        self.with(Paint::Plain, text)
    }

    /// As text, in at most so many columns: what is too long ends with `…`.
    pub(crate) fn fit(&self, columns: usize, colour: bool) -> String {
        let before: usize = self.words.iter().map(|(_, text)| width(text)).sum();
        let end = end_of(&self.end, columns.saturating_sub(before));
        let is_long = before + width(&end) > columns;
        let mut left = if is_long { columns.saturating_sub(1) } else { columns };
        let mut out = String::new();
        for (paint, text) in self.words.iter().chain([&(Paint::Plain, end)]) {
            let mut taken = 0;
            let fits = |c: &char| {
                taken += c.width().unwrap_or_default();
                taken <= left
            };
            let piece: String = text.chars().take_while(fits).collect();
            if !piece.is_empty() {
                out += &if colour { paint.on(&piece) } else { piece.clone() };
            }
            left -= width(&piece).min(left);
            if piece.len() < text.len() {
                break;
            }
        }
        if is_long && columns > 0 {
            out.push('…');
        }
        out
    }
}

/// As much of the end of `text` as fits.
fn end_of(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let fits = |(_, c): &(usize, char)| {
        let width = c.width().unwrap_or_default();
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    let from = text.char_indices().rev().take_while(fits).last().map_or(text.len(), |(from, _)| from);
    format!("…{}", text.get(from..).unwrap_or_default())
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or_default()).sum()
}

/// Text of others in one line, blanks at its ends kept.
fn plain_words(text: &str) -> String {
    let blanks = |text: &str| " ".repeat(text.len() - text.trim_start_matches(' ').len());
    let ends = text.len() - text.trim_end_matches(' ').len();
    let words = plain(&text.replace('\n', " "));
    if words.is_empty() { blanks(text) } else { words + &" ".repeat(ends) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("plain", 10, "plain")]
    #[case("exactly ten", 11, "exactly ten")]
    #[case("exactly ten", 10, "exactly t…")]
    #[case("日本語", 6, "日本語")]
    #[case("日本語", 5, "日本…")]
    #[case("日本語", 4, "日…")]
    #[case("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…")]
    #[case("a\nb\tc\x1b[31md\x07", 10, "a b cd")]
    #[case("x", 1, "x")]
    #[case("xy", 1, "…")]
    #[case("xy", 0, "")]
    fn lines_fit_whatever_is_in_them(#[case] text: &str, #[case] columns: usize, #[case] expected: &str) {
        assert_eq!(Line::default().and(text).fit(columns, false), expected);
    }

    #[rstest::rstest]
    #[case(30, "seen: cannot open: refused")]
    #[case(26, "seen: cannot open: refused")]
    #[case(25, "seen: …nnot open: refused")]
    #[case(9, "seen: …ed")]
    #[case(7, "seen: …")]
    #[case(6, "seen:…")]
    #[case(3, "se…")]
    fn of_what_is_at_the_end_the_end_is_shown(#[case] columns: usize, #[case] expected: &str) {
        let line = Line::default().and("seen: ").ending("cannot open: refused");
        assert_eq!(line.fit(columns, false), expected);
        let wide = Line::default().and("a ").ending("日本語");
        assert_eq!((wide.fit(8, false), wide.fit(7, false)), ("a 日本語".into(), "a …本語".into()));
        assert_eq!(wide.fit(6, false), "a …語");
    }

    #[test]
    fn colours_are_around_what_is_shown_and_take_no_room() {
        let line = Line::default().with(Paint::Bold, "  bold ").and("and ").with(Paint::Red, "red");
        assert_eq!(line.fit(14, true), "\x1b[1m  bold \x1b[0mand \x1b[31mred\x1b[0m");
        assert_eq!(line.fit(10, true), "\x1b[1m  bold \x1b[0man…");
        assert_eq!(line.fit(14, false), "  bold and red");
    }

    #[test]
    fn a_machine_has_one_colour_and_few_share_it() {
        let names = ["web", "db", "r1", "r2", "client", "server"];
        let colours: std::collections::BTreeSet<String> =
            names.iter().map(|name| Paint::machine(name).on("x")).collect();
        assert_eq!(Paint::machine("web"), Paint::machine("web"));
        assert!(colours.len() >= 4, "{colours:?}");
    }

    /// Relative luminance of one of the 216 colours of the cube, as WCAG reckons it.
    fn luminance(number: u8) -> f64 {
        let number = number - 16;
        let level = |step: u8| if step == 0 { 0.0 } else { f64::from(55 + 40 * u32::from(step)) / 255.0 };
        let linear = |c: f64| if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let [r, g, b] = [number / 36, number / 6 % 6, number % 6].map(|step| linear(level(step)));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn machines_can_be_read_on_black_and_on_white() {
        for number in MACHINES {
            let light = luminance(number);
            let (on_black, on_white) = ((light + 0.05) / 0.05, 1.05 / (light + 0.05));
            assert!(on_black >= 3.0 && on_white >= 3.0, "{number}: {on_black:.1} {on_white:.1}");
        }
    }
}
