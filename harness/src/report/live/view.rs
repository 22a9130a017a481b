//! Draws what is under way as often as somebody can read it.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustix::termios::tcgetwinsize;

use crate::trace::Told;

use super::{Screen, UnderWay, Usual};

/// Between two drawings, when something happened.
const PACE: Duration = Duration::from_millis(100);
/// Between two drawings, when nothing but the time went on.
const CALM: Duration = Duration::from_millis(500);
/// Rows and columns of a terminal that does not tell.
const SIZE: (u16, u16) = (24, 80);

/// A run as it is seen at the terminal of the standard error.
#[derive(Debug)]
pub(crate) struct View {
    screen: Screen,
    under_way: UnderWay,
    usual: Arc<OnceLock<Usual>>,
    colour: bool,
    drawn: Instant,
    /// Something happened since.
    is_stale: bool,
}

impl View {
    /// Nothing yet; how long things take as a rule is shown from when it is known.
    pub(crate) fn new(usual: Arc<OnceLock<Usual>>, colour: bool) -> Self {
        let (screen, under_way) = (Screen::new(io::stderr()), UnderWay::default());
        Self { screen, under_way, usual, colour, drawn: Instant::now(), is_stale: false }
    }

    /// The part of the terminal that it is on.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Takes an event.
    pub(crate) fn take(&mut self, told: &Told) {
        let at = Duration::try_from_secs_f64(told.stamped.since_start).unwrap_or_default();
        self.under_way.take(at, &told.stamped.event);
        self.is_stale = true;
    }

    /// How long nothing needs to be drawn, unless something happens.
    pub(crate) fn rest(&self) -> Duration {
        (if self.is_stale { PACE } else { CALM }).saturating_sub(self.drawn.elapsed())
    }

    /// Draws it, `now` after the run's begin.
    pub(crate) fn draw(&mut self, now: Duration) {
        let told = tcgetwinsize(io::stderr()).map(|size| (size.ws_row, size.ws_col));
        let (rows, columns) = told.ok().filter(|&(rows, columns)| rows > 0 && columns > 0).unwrap_or(SIZE);
        // The line above, where the cursor is, and one to spare; and none that the terminal would break.
        let (rows, columns) = (usize::from(rows).saturating_sub(2), usize::from(columns).saturating_sub(1));
        let nothing = Usual::default();
        let lines = self.under_way.lines(now, rows, self.usual.get().unwrap_or(&nothing));
        self.screen.draw(lines.iter().map(|line| line.fit(columns, self.colour)).collect());
        (self.drawn, self.is_stale) = (Instant::now(), false);
    }
}
