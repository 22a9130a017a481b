//! Lines below all others on a terminal, drawn anew again and again. Does not know what is in them.
//!
//! The cursor stays above them, at the beginning of an empty line: whatever others write meanwhile, such as a scenario with
//! a `println!`, stands there and is not overwritten; and a terminal on which we are killed is still in order.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Back to the line's beginning; from there on nothing.
const ERASE: &str = "\r\x1b[J";

/// A part of a terminal; clones are the same one.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<State>>);

struct State {
    out: Box<dyn Write + Send>,
    /// What can be seen now.
    drawn: Vec<String>,
    /// Nothing is drawn any more.
    is_over: bool,
}

impl Screen {
    /// On the terminal to which `out` leads.
    pub(crate) fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State { out: Box::new(out), drawn: Vec::new(), is_over: false })))
    }

    /// Shows `lines` and no others; they must be fewer than the terminal has, and shorter.
    pub(crate) fn draw(&self, lines: Vec<String>) {
        let mut state = self.state();
        if state.is_over || state.drawn == lines {
            return;
        }
        let text: String = lines.iter().map(|line| format!("\r\n{line}")).collect();
        let back = if lines.is_empty() { String::new() } else { format!("\x1b[{}A\r", lines.len()) };
        // In one piece, so that nobody sees half of it. A terminal that is gone must not end the run.
        let _ = state.out.write_all(format!("{ERASE}{text}{back}").as_bytes());
        let _ = state.out.flush();
        state.drawn = lines;
    }

    /// Takes away what is drawn, so that lines that stay can be written.
    pub(crate) fn clear(&self) {
        self.state().clear();
    }

    /// Takes away what is drawn, for ever.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.clear();
        state.is_over = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear(&mut self) {
        if !std::mem::take(&mut self.drawn).is_empty() {
            let _ = self.out.write_all(ERASE.as_bytes());
            let _ = self.out.flush();
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

/// A stream to the same terminal whose lines stay above what is drawn.
#[derive(Debug)]
pub(crate) struct Above<W> {
    out: W,
    screen: Option<Screen>,
}

impl<W> Above<W> {
    /// Above `screen`, if there is one.
    pub(crate) fn new(out: W, screen: Option<&Screen>) -> Self {
        Self { out, screen: screen.cloned() }
    }
}

impl<W: Write> Write for Above<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.screen.iter().for_each(Screen::clear);
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal of 8 rows and 30 columns.
    #[derive(Clone)]
    struct Terminal(Arc<Mutex<vt100::Parser>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().process(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn size(number: u16) -> std::num::NonZero<u16> {
        std::num::NonZero::new(number).unwrap()
    }

    impl Terminal {
        fn new() -> (Self, Screen) {
            let terminal = Self(Arc::new(Mutex::new(vt100::Parser::new(size(8), size(30), 0))));
            (terminal.clone(), Screen::new(terminal))
        }

        /// As a terminal does when programs write a line's end.
        fn write(&self, text: &str) {
            self.0.lock().unwrap().process(text.replace('\n', "\r\n").as_bytes());
        }

        fn text(&self) -> String {
            self.0.lock().unwrap().screen().contents()
        }
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn lines_are_below_what_stays_and_gone_in_the_end() {
        let (terminal, screen) = Terminal::new();
        terminal.write("one\n");
        screen.draw(lines(&["a", "b"]));
        assert_eq!(terminal.text(), "one\n\na\nb");
        screen.draw(lines(&["c"]));
        assert_eq!(terminal.text(), "one\n\nc");
        screen.clear();
        terminal.write("two\n");
        screen.draw(lines(&["c"]));
        assert_eq!(terminal.text(), "one\ntwo\n\nc");
        screen.end();
        screen.draw(lines(&["never"]));
        terminal.write("$ ");
        assert_eq!(terminal.text(), "one\ntwo\n$ ");
    }

    #[test]
    fn what_others_write_meanwhile_stays() {
        let (terminal, screen) = Terminal::new();
        screen.draw(lines(&["a", "b", "c"]));
        terminal.write("theirs\nmore of it\n");
        screen.draw(lines(&["a", "b"]));
        assert_eq!(terminal.text(), "theirs\nmore of it\n\na\nb");
    }

    #[test]
    fn at_the_bottom_what_stays_moves_up_and_nothing_is_lost() {
        let (terminal, screen) = Terminal::new();
        let mut above = Above::new(terminal.clone(), Some(&screen));
        for number in 0..20 {
            write!(above, "{number}\r\n").unwrap();
            screen.draw(lines(&["a", "b", "c", "d", "e", "f"]));
            let text = terminal.text();
            assert!(
                text.starts_with(&format!("{number}\n\na\n")) || number < 1 || text.lines().count() == 8,
                "{text}"
            );
        }
        assert_eq!(terminal.text(), "19\n\na\nb\nc\nd\ne\nf");
    }

    #[test]
    fn the_same_is_not_drawn_twice() {
        let counted = Arc::new(Mutex::new(Vec::new()));
        struct Counting(Arc<Mutex<Vec<usize>>>);
        impl Write for Counting {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let screen = Screen::new(Counting(Arc::clone(&counted)));
        screen.draw(lines(&["a"]));
        screen.draw(lines(&["a"]));
        screen.draw(vec![]);
        screen.clear();
        assert_eq!(counted.lock().unwrap().len(), 2);
    }
}
