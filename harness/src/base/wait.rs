//! Deadlines and waiting: level-triggered, never without a limit, with what was seen in the error.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

/// A point in time after which a wait or call is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `limit` from now.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The time left; zero once it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// The same, by so much later.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self(self.0 + by)
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        std::cmp::min(self, other)
    }
}

/// Pauses between looks at something far away: each an eighth longer than the one before, so that who waits learns of an end at
/// most that much later than it came, and yet asks seldom in the long run.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    /// From the shortest pause to the longest.
    pub(crate) const fn between(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, next: shortest }
    }

    /// Begins anew: what moves is looked at more often.
    pub(crate) fn shorten(&mut self) {
        self.next = self.shortest;
    }

    /// Waits, not longer than to the deadline.
    pub(crate) async fn pause(&mut self, deadline: Deadline) {
        tokio::time::sleep(self.next.min(deadline.left())).await;
        self.next = (self.next * 9 / 8).min(self.longest);
    }
}

/// Target of what is told of waits that are over, and at the level `TRACE` of those that go on.
pub(crate) const WAIT: &str = "polder::wait";
/// Between two things told of a wait that goes on.
const PACE: Duration = Duration::from_millis(500);

/// What one look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Ready(T),
    /// Not yet; what was seen, in a few words.
    NotYet(String),
    /// It cannot come true any more; why.
    Failed(String),
}

/// A wait that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct WaitError {
    /// What was waited for.
    pub what: String,
    /// What was seen.
    pub seen: Box<History>,
    /// How often it was looked.
    pub looks: u32,
    /// How long it was waited.
    pub waited: Duration,
    /// What ended it.
    pub end: End,
}

/// What ended a wait that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Time was up.
    Late,
    /// Waiting longer could not have helped.
    Hopeless,
    /// What had to hold all the time did not hold any more.
    Broken,
}

/// One line; the history follows on lines of its own where it has more to tell than its end.
impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, seen, looks, waited, end } = self;
        let how = match end {
            End::Late => "did not come true in time",
            End::Hopeless => "cannot come true any more",
            End::Broken => "did not hold",
        };
        let times = if *looks == 1 { "once".to_owned() } else { format!("{looks} times") };
        let waited = waited.as_secs_f64();
        write!(f, "waited {waited:.1} s for {what}: it {how}; looked {times}, last seen: {}", seen.last())?;
        write!(f, "{seen}")
    }
}

/// Sights of a history that are kept from its beginning.
const FIRST: usize = 3;
/// Sights that are kept of it in all.
const KEPT: usize = 10;
/// Characters of a sight that its line in a history shows.
const SHOWN: usize = 120;

/// What looks saw: each distinct sight once, in the order of their coming; of very many, the first and the last ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    sights: Vec<Sight>,
    last: usize,
    remark: &'static str,
    /// Sights between the first and the last ones that are not kept.
    dropped: usize,
}

/// One thing that looks saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// In a few words.
    pub what: String,
    /// When it was first seen, after the wait began.
    pub first: Duration,
    /// When it was last seen.
    pub last: Duration,
    /// How often.
    pub times: u32,
}

impl History {
    /// Notes what was seen `at` that time after the wait began.
    fn note(&mut self, what: String, at: Duration) {
        if let Some(known) = self.sights.iter().position(|sight| sight.what == what) {
            if let Some(sight) = self.sights.get_mut(known) {
                (sight.last, sight.times) = (at, sight.times + 1);
            }
            self.last = known;
            return;
        }
        if self.sights.len() == KEPT {
            self.sights.remove(FIRST);
            self.dropped += 1;
        }
        self.last = self.sights.len();
        self.sights.push(Sight { what, first: at, last: at, times: 1 });
    }

    /// What was seen, in the order of the first times.
    #[must_use]
    pub fn sights(&self) -> &[Sight] {
        &self.sights
    }

    /// The last thing seen.
    #[must_use]
    pub fn last(&self) -> String {
        let last = self.sights.get(self.last).map_or("nothing yet", |sight| sight.what.as_str());
        format!("{last}{}", self.remark)
    }
}

/// A line for each sight, each after a line break; nothing when there was only one.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sights.len() < 2 {
            return Ok(());
        }
        for (number, Sight { what, first, last, times }) in self.sights.iter().enumerate() {
            if number == FIRST && self.dropped > 0 {
                write!(f, "\n  ... {} others", self.dropped)?;
            }
            let (first, last) = (first.as_secs_f64(), last.as_secs_f64());
            let when = if *times == 1 { format!("{first:.1} s") } else { format!("{first:.1}-{last:.1} s") };
            let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let short: String = line.chars().take(SHOWN).collect();
            let cut = if short.len() == line.len() { "" } else { "..." };
            write!(f, "\n  {when:>13} {times:>5}x  {short}{cut}")?;
        }
        Ok(())
    }
}

/// Looks until the condition holds, cannot hold any more, or `limit` has passed; `pause` lies between two looks.
///
/// A look that is still under way when the time is up is dropped.
///
/// # Errors
/// [`WaitError`] with everything that was seen.
pub async fn wait_for<T, F, Fut>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut look: F,
) -> Result<T, WaitError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Look<T>>,
{
    let mut watch = Watch::begin(what, limit);
    while let Some(left) = watch.left() {
        let Ok(seen) = tokio::time::timeout(left, look()).await else {
            watch.looks += 1;
            watch.seen.remark = " (the last look did not return)";
            break;
        };
        if let Some(end) = watch.judge(seen) {
            return end;
        }
        tokio::time::sleep(pause.min(watch.left().unwrap_or_default())).await;
    }
    Err(watch.over(End::Late))
}

/// Takes news as they come until one says that the condition holds or cannot hold any more, or `limit` has passed.
///
/// # Errors
/// [`WaitError`] with everything that was seen.
pub async fn wait_for_news<T, F, Fut>(what: &str, limit: Duration, mut next: F) -> Result<T, WaitError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Look<T>>,
{
    let mut watch = Watch::begin(what, limit);
    while let Some(left) = watch.left() {
        let Ok(news) = tokio::time::timeout(left, next()).await else { break };
        if let Some(end) = watch.judge(news) {
            return end;
        }
    }
    Err(watch.over(End::Late))
}

/// Looks for as long as `limit` whether the condition holds all the time; `pause` lies between two looks.
///
/// # Errors
/// [`WaitError`] at the first look that finds otherwise, and when no look returned.
pub async fn hold_for<F, Fut>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut look: F,
) -> Result<(), WaitError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Look<()>>,
{
    let mut watch = Watch::begin(what, limit);
    while let Some(left) = watch.left() {
        match tokio::time::timeout(left, look()).await {
            Ok(Look::Ready(())) => watch.note("it held".to_owned()),
            Ok(Look::NotYet(status) | Look::Failed(status)) => {
                watch.note(status);
                return Err(watch.over(End::Broken));
            }
            // What hangs has said nothing against it, unless it has said nothing at all.
            Err(_) if watch.looks > 0 => break,
            Err(_) => {
                watch.seen.remark = " (the only look did not return)";
                return Err(watch.over(End::Broken));
            }
        }
        tokio::time::sleep(pause.min(watch.left().unwrap_or_default())).await;
    }
    watch.tell("held");
    Ok(())
}

/// A wait under way. It tells in the log how it ended, also when whoever waits gives up.
struct Watch<'a> {
    what: &'a str,
    start: Instant,
    limit: Duration,
    looks: u32,
    seen: History,
    is_told: bool,
    /// What was told last, and when, while it goes on.
    told: Option<(Instant, String)>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.tell("cut_short");
    }
}

impl<'a> Watch<'a> {
    fn begin(what: &'a str, limit: Duration) -> Self {
        let (start, seen) = (Instant::now(), History::default());
        Self { what, start, limit, looks: 0, seen, is_told: false, told: None }
    }

    fn left(&self) -> Option<Duration> {
        self.limit.checked_sub(self.start.elapsed())
    }

    fn note(&mut self, status: String) {
        self.looks += 1;
        self.tell_on(&status);
        self.seen.note(status, self.start.elapsed());
    }

    /// Tells what is seen, when that is something else than before.
    fn tell_on(&mut self, status: &str) {
        let is_old = |(when, what): &(Instant, String)| what == status || when.elapsed() < PACE;
        if !self.told.as_ref().is_some_and(is_old) {
            tracing::trace!(target: WAIT, what = self.what, seen = status, "waiting for {}, seen: {status}", self.what);
            self.told = Some((Instant::now(), status.to_owned()));
        }
    }

    /// How the wait ends, if this look ends it.
    fn judge<T>(&mut self, look: Look<T>) -> Option<Result<T, WaitError>> {
        match look {
            Look::Ready(value) => {
                self.tell("true");
                return Some(Ok(value));
            }
            Look::NotYet(status) => self.note(status),
            Look::Failed(status) => {
                self.note(status);
                return Some(Err(self.over(End::Hopeless)));
            }
        }
        None
    }

    fn over(&mut self, end: End) -> WaitError {
        self.tell(match end {
            End::Late => "late",
            End::Hopeless => "hopeless",
            End::Broken => "broken",
        });
        WaitError {
            what: self.what.to_owned(),
            seen: Box::new(std::mem::take(&mut self.seen)),
            looks: self.looks,
            waited: self.start.elapsed(),
            end,
        }
    }

    /// Tells once how it ended, and nothing of one that saw nothing before: it did not have to wait.
    fn tell(&mut self, end: &str) {
        if std::mem::replace(&mut self.is_told, true) || self.looks == 0 {
            return;
        }
        let (seconds, seen) = (self.start.elapsed().as_secs_f64(), self.seen.last());
        let history = self.seen.to_string();
        tracing::debug!(
            target: WAIT,
            what = self.what,
            end,
            seen,
            history = history.trim_start_matches('\n'),
            looks = self.looks,
            seconds,
            "waited {seconds:.1} s for {}: {}, last seen: {seen}", self.what, end.replace('_', " ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn pauses_grow_by_an_eighth_until_something_moves_or_time_is_up() {
        let mut pauses = Pauses::between(80 * MS, 95 * MS);
        let up = Deadline::within(Duration::ZERO);
        let began = Instant::now();
        for next in [80 * MS, 90 * MS, 95 * MS, 95 * MS] {
            assert_eq!(pauses.next, next);
            pauses.pause(up).await;
        }
        assert!(began.elapsed() < 80 * MS, "{:?}", began.elapsed());
        pauses.shorten();
        assert_eq!(pauses.next, 80 * MS);
        let began = Instant::now();
        pauses.pause(Deadline::within(Duration::from_secs(60))).await;
        assert!(began.elapsed() >= 80 * MS);
    }

    #[tokio::test]
    async fn reports_the_last_status() {
        let error =
            wait_for::<(), _, _>("a boat", 30 * MS, 10 * MS, async || Look::NotYet("only sea".into()))
                .await
                .unwrap_err();
        assert!(error.looks >= 2 && error.end == End::Late, "{error:?}");
        assert!(
            error.to_string().contains("for a boat") && error.to_string().ends_with("last seen: only sea")
        );
    }

    #[tokio::test]
    async fn gives_up_at_once_when_hopeless() {
        let error = wait_for::<(), _, _>("x", 10_000 * MS, MS, async || Look::Failed("sunk".into()))
            .await
            .unwrap_err();
        assert!(error.end == End::Hopeless && error.waited < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_hanging_look_ends_with_the_deadline() {
        let error = wait_for::<(), _, _>("x", 30 * MS, MS, std::future::pending).await.unwrap_err();
        assert_eq!(error.seen.last(), "nothing yet (the last look did not return)");
    }

    /// The error of a wait that sees these, one each millisecond or so.
    async fn sees(sights: &[&str]) -> WaitError {
        let mut sights = sights.iter();
        let next = || {
            let seen = sights.next().map(|sight| Look::NotYet((*sight).to_owned()));
            async { seen.unwrap_or(Look::Failed("the end".to_owned())) }
        };
        wait_for_news::<(), _, _>("x", 10_000 * MS, next).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_error_tells_each_distinct_sight_once() {
        let error = sees(&["a", "b\n  c", "a", "a"]).await;
        let told: Vec<_> = error.seen.sights().iter().map(|s| (s.what.as_str(), s.times)).collect();
        assert_eq!(told, [("a", 3), ("b\n  c", 1), ("the end", 1)]);
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("looked 5 times, last seen: the end"), "{text}");
        let expected = ["0.0-0.0 s     3x  a", "0.0 s     1x  b c", "0.0 s     1x  the end"];
        assert_eq!(lines[1..].iter().map(|line| line.trim_start()).collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn of_very_many_sights_the_first_and_last_ones_are_told() {
        let numbers: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        let text = sees(&numbers.iter().map(String::as_str).collect::<Vec<_>>()).await.to_string();
        assert_eq!(text.lines().count(), 1 + KEPT + 1, "{text}");
        let (first, last) = text.split_once("\n  ... 491 others\n").unwrap();
        assert!(
            first.ends_with("1x  2") && last.contains("1x  494\n") && last.ends_with("the end"),
            "{text}"
        );
        let long = sees(&["x", &"y".repeat(1000)]).await.to_string();
        assert!(long.contains(&format!("  {}...\n", "y".repeat(SHOWN))), "{long}");
    }

    #[tokio::test]
    async fn what_must_hold_is_looked_at_all_the_time() {
        hold_for("peace", 20 * MS, MS, async || Look::Ready(())).await.unwrap();
        let mut left = 3;
        let look = || {
            left -= 1;
            let look = if left > 0 { Look::Ready(()) } else { Look::NotYet("a shot".to_owned()) };
            async { look }
        };
        let error = hold_for("peace", 10_000 * MS, MS, look).await.unwrap_err();
        assert_eq!((error.end, error.looks, error.seen.last().as_str()), (End::Broken, 3, "a shot"));
        assert!(error.to_string().contains("it did not hold; looked 3 times"), "{error}");
        let error = hold_for("peace", 20 * MS, MS, std::future::pending).await.unwrap_err();
        assert_eq!(error.looks, 0);
    }
}
