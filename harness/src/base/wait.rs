//! Deadlines and waiting: level-triggered, never without a limit, with the last status in the error.

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

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        std::cmp::min(self, other)
    }
}

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

/// A wait that did not come true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct WaitError {
    /// What was waited for.
    pub what: String,
    /// The last thing seen.
    pub last: String,
    /// How often it was looked.
    pub looks: u32,
    /// How long it was waited.
    pub waited: Duration,
    /// Whether waiting longer could not have helped.
    pub hopeless: bool,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, last, looks, waited, hopeless } = self;
        let how = if *hopeless { "cannot come true any more" } else { "did not come true in time" };
        let times = if *looks == 1 { "once".to_owned() } else { format!("{looks} times") };
        write!(
            f,
            "waited {:.1} s for {what}: it {how}; looked {times}, last seen: {last}",
            waited.as_secs_f64()
        )
    }
}

/// Looks until the condition holds, cannot hold any more, or `limit` has passed; `pause` lies between two looks.
///
/// A look that is still under way when the time is up is dropped.
///
/// # Errors
/// [`WaitError`] with the last status.
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
    let start = Instant::now();
    let mut last = "nothing yet".to_owned();
    let mut looks = 0;
    let mut hopeless = false;
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        looks += 1;
        match tokio::time::timeout(left, look()).await {
            Ok(Look::Ready(value)) => return Ok(value),
            Ok(Look::NotYet(status)) => last = status,
            Ok(Look::Failed(status)) => {
                last = status;
                hopeless = true;
                break;
            }
            Err(_) => {
                last = format!("{last} (the last look did not return)");
                break;
            }
        }
        tokio::time::sleep(pause.min(limit.saturating_sub(start.elapsed()))).await;
    }
    Err(WaitError { what: what.to_owned(), last, looks, waited: start.elapsed(), hopeless })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn reports_the_last_status() {
        let error =
            wait_for::<(), _, _>("a boat", 30 * MS, 10 * MS, async || Look::NotYet("only sea".into()))
                .await
                .unwrap_err();
        assert!(error.looks >= 2 && !error.hopeless, "{error:?}");
        assert!(
            error.to_string().contains("for a boat") && error.to_string().ends_with("last seen: only sea")
        );
    }

    #[tokio::test]
    async fn gives_up_at_once_when_hopeless() {
        let error = wait_for::<(), _, _>("x", 10_000 * MS, MS, async || Look::Failed("sunk".into()))
            .await
            .unwrap_err();
        assert!(error.hopeless && error.waited < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_hanging_look_ends_with_the_deadline() {
        let error = wait_for::<(), _, _>("x", 30 * MS, MS, std::future::pending).await.unwrap_err();
        assert!(error.last.contains("did not return"));
    }
}
