//! What scenarios say of things that take their time: that they come true before long, that they stay true for a while,
//! and Lago's asserts. Conditions are closures; what guests are waited for is in `guest`.

use std::{
    fmt::Debug,
    future::{Future, IntoFuture},
    panic::Location,
    time::Duration,
};

use super::{
    dial::BoxFuture,
    wait::{Look, WaitError, hold_for, wait_for},
};

/// Between two looks at a condition.
const EVERY: Duration = Duration::from_millis(200);
/// Limit of the asserts whose names end with `short`.
pub const SHORT: Duration = Duration::from_secs(180);
/// Limit of the asserts whose names end with `long`.
pub const LONG: Duration = Duration::from_secs(600);

/// What a condition answers: `bool`, an `Option` whose value is wanted, a [`Look`] that can also say that all hope is
/// gone, or `()` where not failing is all there is to say.
pub trait Answer {
    /// What the condition brings when it holds.
    type Value;

    /// Whether it holds.
    fn look(self) -> Look<Self::Value>;
}

impl Answer for () {
    type Value = ();
    fn look(self) -> Look<()> {
        Look::Ready(())
    }
}

impl Answer for bool {
    type Value = ();
    fn look(self) -> Look<()> {
        if self { Look::Ready(()) } else { Look::NotYet("false".to_owned()) }
    }
}

impl<T> Answer for Option<T> {
    type Value = T;
    fn look(self) -> Look<T> {
        self.map_or_else(|| Look::NotYet("nothing".to_owned()), Look::Ready)
    }
}

impl<T> Answer for Look<T> {
    type Value = T;
    fn look(self) -> Self {
        self
    }
}

/// Looks until a condition holds, and returns what it brings. Its errors mean that it does not hold yet; see [`Answer`]
/// for what else it may say. `within` is taken as it is: multiply it by
/// [`Env::time_factor`](crate::env::Env::time_factor) where machines have to do something for it.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use polder::prelude::*;
/// let file = std::env::temp_dir();
/// eventually(secs(5), || async {
///     ensure!(file.exists(), "it is not there");
///     Ok(())
/// })
/// .await?;
/// # polder::Result::<()>::Ok(()) }).unwrap();
/// ```
///
/// # Errors
/// [`WaitError`] with everything that was seen: it did not hold in time, or said that it never will.
#[track_caller]
pub fn eventually<A, F, Fut>(
    within: Duration,
    mut condition: F,
) -> impl Future<Output = Result<A::Value, WaitError>>
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<A>>,
{
    let what = the_condition(Location::caller());
    async move {
        let look = || {
            let answer = condition();
            async { answer.await.map_or_else(|error| Look::NotYet(told(&error)), Answer::look) }
        };
        wait_for(&what, within, EVERY, look).await
    }
}

/// Looks for as long as `during` whether a condition holds all the time. Errors mean that it does not.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use polder::prelude::*;
/// consistently(std::time::Duration::from_millis(20), || async { Ok(std::env::temp_dir().exists()) }).await?;
/// # polder::Result::<()>::Ok(()) }).unwrap();
/// ```
///
/// # Errors
/// [`WaitError`] with everything that was seen, at the first look at which it does not hold.
#[track_caller]
pub fn consistently<A, F, Fut>(
    during: Duration,
    mut condition: F,
) -> impl Future<Output = Result<(), WaitError>>
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<A>>,
{
    let what = the_condition(Location::caller());
    async move {
        let look = || {
            let answer = condition();
            async {
                match answer.await.map(Answer::look) {
                    Ok(Look::Ready(_)) => Look::Ready(()),
                    Ok(Look::NotYet(status) | Look::Failed(status)) => Look::NotYet(status),
                    Err(error) => Look::NotYet(told(&error)),
                }
            }
        };
        hold_for(&what, during, EVERY, look).await
    }
}

/// Asks `func` until what it returns equals `value`, at most as long as `limit`. An error of `func` ends it, unless
/// [`allowing`](AssertWithin::allowing) lets it pass.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use polder::prelude::*;
/// assert_equals_within(|| async { Ok(1 + 1) }, 2, secs(5)).await?;
/// # polder::Result::<()>::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn assert_equals_within<'a, T, F, Fut>(func: F, value: T, limit: Duration) -> AssertWithin<'a, T>
where
    T: PartialEq + Debug + Send + Sync + 'a,
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<T>> + Send + 'a,
{
    let mut func = func;
    AssertWithin {
        what: format!("{} to equal {value:?}", the_condition(Location::caller())),
        func: Box::new(move || Box::pin(func())),
        value,
        limit,
        every: EVERY,
        allowed: Box::new(|_| false),
    }
}

/// [`assert_equals_within`] three minutes.
#[track_caller]
pub fn assert_equals_within_short<'a, T, F, Fut>(func: F, value: T) -> AssertWithin<'a, T>
where
    T: PartialEq + Debug + Send + Sync + 'a,
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<T>> + Send + 'a,
{
    assert_equals_within(func, value, SHORT)
}

/// [`assert_equals_within`] ten minutes.
#[track_caller]
pub fn assert_equals_within_long<'a, T, F, Fut>(func: F, value: T) -> AssertWithin<'a, T>
where
    T: PartialEq + Debug + Send + Sync + 'a,
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<T>> + Send + 'a,
{
    assert_equals_within(func, value, LONG)
}

/// Asks `func` until it returns true, as [`assert_equals_within`] does.
#[track_caller]
pub fn assert_true_within<'a, F, Fut>(func: F, limit: Duration) -> AssertWithin<'a, bool>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<bool>> + Send + 'a,
{
    assert_equals_within(func, true, limit)
}

/// [`assert_true_within`] three minutes.
#[track_caller]
pub fn assert_true_within_short<'a, F, Fut>(func: F) -> AssertWithin<'a, bool>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<bool>> + Send + 'a,
{
    assert_true_within(func, SHORT)
}

/// [`assert_true_within`] ten minutes.
#[track_caller]
pub fn assert_true_within_long<'a, F, Fut>(func: F) -> AssertWithin<'a, bool>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = anyhow::Result<bool>> + Send + 'a,
{
    assert_true_within(func, LONG)
}

type Func<'a, T> = Box<dyn FnMut() -> BoxFuture<'a, anyhow::Result<T>> + Send + 'a>;

/// An assert, made by [`assert_equals_within`] and its like: awaited, it is `Ok`, or the error of the function, or a
/// [`WaitError`] with everything that was seen. A call under way when time is up is dropped.
#[must_use = "nothing is asserted before it is awaited"]
pub struct AssertWithin<'a, T> {
    what: String,
    func: Func<'a, T>,
    value: T,
    limit: Duration,
    every: Duration,
    allowed: Box<dyn Fn(&anyhow::Error) -> bool + Send + Sync + 'a>,
}

impl<'a, T> AssertWithin<'a, T> {
    /// Errors that only mean that it is not there yet, instead of none.
    pub fn allowing(mut self, error: impl Fn(&anyhow::Error) -> bool + Send + Sync + 'a) -> Self {
        self.allowed = Box::new(error);
        self
    }

    /// What lies between two calls, instead of 0.2 s.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }
}

impl<'a, T: PartialEq + Debug + Send + Sync + 'a> IntoFuture for AssertWithin<'a, T> {
    type Output = anyhow::Result<()>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { what, mut func, value, limit, every, allowed } = self;
        Box::pin(async move {
            let (value, allowed) = (&value, &allowed);
            let look = || {
                let call = func();
                async move {
                    match call.await {
                        Ok(got) if got == *value => Look::Ready(Ok(())),
                        Ok(got) => Look::NotYet(format!("{got:?}")),
                        Err(error) if allowed(&error) => Look::NotYet(format!("an error: {}", told(&error))),
                        Err(error) => Look::Ready(Err(error)),
                    }
                }
            };
            wait_for(&what, limit, every, look).await?
        })
    }
}

impl<T> Debug for AssertWithin<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AssertWithin({}, {:?})", self.what, self.limit)
    }
}

fn the_condition(at: &Location<'_>) -> String {
    format!("the condition at {}:{}", at.file(), at.line())
}

/// An error and its causes.
fn told(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;
    use crate::base::wait::End;

    const SECOND: Duration = Duration::from_secs(1);
    const SHORTLY: Duration = Duration::from_millis(300);

    /// Counts its calls.
    fn counter() -> impl FnMut() -> u32 {
        let mut calls = 0;
        move || {
            calls += 1;
            calls
        }
    }

    #[tokio::test]
    async fn a_condition_brings_what_it_answers_once_it_holds() {
        let mut next = counter();
        let look = || {
            let n = next();
            async move {
                ensure!(n > 1, "only {n}");
                Ok((n > 2).then_some(n))
            }
        };
        assert_eq!(eventually(10 * SECOND, look).await.unwrap(), 3);
        eventually(SECOND, || async { Ok(()) }).await.unwrap();
        let error = eventually(SHORTLY, || async { Ok(false) }).await.unwrap_err();
        let what = format!("the condition at {}:{}", file!(), line!() - 1);
        assert_eq!((error.what.as_str(), error.seen.last().as_str()), (what.as_str(), "false"));
        let error = eventually(10 * SECOND, || async { Ok(Look::<()>::Failed("sunk".into())) }).await;
        assert_eq!(error.unwrap_err().end, End::Hopeless);
        let context = || async { anyhow::Context::context(Err::<(), _>(anyhow::anyhow!("b")), "a") };
        assert_eq!(eventually(SHORTLY, context).await.unwrap_err().seen.last(), "a: b");
    }

    #[tokio::test]
    async fn what_is_consistently_so_must_not_fail_once() {
        consistently(SHORTLY, || async { Ok(true) }).await.unwrap();
        let mut next = counter();
        let look = || {
            let n = next();
            async move {
                ensure!(n < 2, "gone");
                Ok(())
            }
        };
        let error = consistently(10 * SECOND, look).await.unwrap_err();
        assert_eq!((error.end, error.looks, error.seen.last().as_str()), (End::Broken, 2, "gone"));
    }

    #[tokio::test]
    async fn lagos_asserts_wait_for_equality() {
        let mut next = counter();
        let count = || {
            let n = next();
            async move { Ok(n) }
        };
        assert_equals_within(count, 3, 10 * SECOND).every(SECOND / 100).await.unwrap();
        assert_true_within_short(|| async { Ok(true) }).await.unwrap();
        assert_true_within_long(|| async { Ok(true) }).await.unwrap();
        assert_equals_within_short(|| async { Ok("a") }, "a").await.unwrap();
        assert_equals_within_long(|| async { Ok(1) }, 1).await.unwrap();
        let error = assert_true_within(|| async { Ok(false) }, SHORTLY).await.unwrap_err().to_string();
        assert!(error.contains("to equal true: it did not come true in time; looked "), "{error}");
        assert!(error.contains(&format!("{}:{}", file!(), line!() - 2)), "{error}");
    }

    #[tokio::test]
    async fn an_error_ends_an_assert_unless_it_is_allowed() {
        let fails = || async { bail!("no such queue") };
        let start = std::time::Instant::now();
        let error = assert_equals_within(fails, 1, 60 * SECOND).await.unwrap_err();
        assert!(start.elapsed() < 10 * SECOND && error.to_string() == "no such queue", "{error}");
        let allowing = assert_equals_within(fails, 1, SHORTLY);
        let allowing = allowing.allowing(|error| error.to_string().starts_with("no such"));
        let error = allowing.await.unwrap_err().to_string();
        assert!(error.contains("last seen: an error: no such queue"), "{error}");
        // A call that hangs does not outlast the limit.
        let hangs = assert_true_within(|| async { std::future::pending().await }, SHORTLY);
        let error = hangs.await.unwrap_err().to_string();
        assert!(error.contains("did not return") && start.elapsed() < 10 * SECOND, "{error}");
    }
}
