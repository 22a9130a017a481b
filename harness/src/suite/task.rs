//! One step as a task of its own: its limit, its panic, and what cannot be stopped.

use std::{
    future::Future,
    panic::PanicHookInfo,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinHandle};
use tracing::{Instrument, Span};

use crate::Result;

use super::stop::Stop;

/// How long a task that was told to end may take to reach its next await.
const GRACE: Duration = Duration::from_secs(2);

tokio::task_local! {
    static PANIC: PanicSlot;
}

/// What the first panic of a task said, and where.
#[derive(Debug, Clone, Default)]
struct PanicSlot(Arc<Mutex<Option<String>>>);

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// By itself.
    Returned(Result<T>),
    /// By a panic, described.
    Panicked(String),
    /// Its time was over.
    TimedOut {
        /// It still runs: it is no async function, or one that does not await.
        stuck: bool,
    },
    /// The operator wished so.
    Stopped {
        /// As above.
        stuck: bool,
    },
}

/// Bounds of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// How long it may take.
    pub(crate) limit: Option<Duration>,
    /// What ends it early.
    pub(crate) stop: Option<&'a Stop>,
    /// Whether it runs a plain function, which nothing can end.
    pub(crate) plain: bool,
}

/// Runs `future` on the runtime `work` within its bounds, inside `span`.
pub(crate) async fn run<T: Send + 'static>(
    work: &Handle,
    span: Span,
    bounds: Bounds<'_>,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Ended<T> {
    let slot = PanicSlot::default();
    let mut task = work.spawn(PANIC.scope(slot.clone(), future.instrument(span)));
    tokio::select! {
        biased;
        joined = &mut task => match joined {
            Ok(result) => Ended::Returned(result),
            Err(error) => Ended::Panicked(slot.take().unwrap_or_else(|| error.to_string())),
        },
        () = requested(bounds.stop) => Ended::Stopped { stuck: abandon(task, bounds).await },
        () = over(bounds.limit) => Ended::TimedOut { stuck: abandon(task, bounds).await },
    }
}

/// Calls a plain function where it may block; panics and logs stay those of the calling task.
///
/// # Errors
/// The function's own.
pub async fn blocking(function: impl FnOnce() -> Result + Send + 'static) -> Result {
    let span = Span::current();
    let slot = PANIC.try_with(PanicSlot::clone).unwrap_or_default();
    let task = tokio::task::spawn_blocking(move || PANIC.sync_scope(slot, || span.in_scope(function)));
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            // Not a second panic: the hook has seen the first one already.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(error.into()),
        },
    }
}

/// Waits for a future from a plain scenario.
///
/// # Panics
/// Outside of one, or in an async one (which has `.await`).
pub fn block_on<F: Future>(future: F) -> F::Output {
    Handle::current().block_on(future)
}

/// From now on, panics of tasks are kept with them instead of being printed.
pub(crate) fn install_panic_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if PANIC.try_with(|slot| slot.set(info)).is_err() {
            previous(info);
        }
    }));
}

impl PanicSlot {
    fn set(&self, info: &PanicHookInfo<'_>) {
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let message =
            text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a value that is no text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| format!("panicked at {place}:\n{message}"));
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Drops a task's future; says whether it runs on nevertheless.
async fn abandon<T>(mut task: JoinHandle<T>, bounds: Bounds<'_>) -> bool {
    task.abort();
    tokio::time::timeout(GRACE, &mut task).await.is_err() || bounds.plain
}

async fn requested(stop: Option<&Stop>) {
    match stop {
        Some(stop) => stop.requested().await,
        None => std::future::pending().await,
    }
}

async fn over(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn ended(
        limit: Duration,
        plain: bool,
        future: impl Future<Output = Result> + Send + 'static,
    ) -> Ended<()> {
        run(&Handle::current(), Span::none(), Bounds { limit: Some(limit), stop: None, plain }, future).await
    }

    #[tokio::test]
    async fn a_future_is_dropped_when_its_time_is_over() {
        struct Dropped(Arc<Mutex<bool>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                *self.0.lock().unwrap() = true;
            }
        }
        let dropped = Arc::new(Mutex::new(false));
        let guard = Dropped(Arc::clone(&dropped));
        let ended = ended(20 * MS, false, async move {
            let _guard = guard;
            std::future::pending().await
        })
        .await;
        assert!(matches!(ended, Ended::TimedOut { stuck: false }), "{ended:?}");
        assert!(*dropped.lock().unwrap());
    }

    fn asleep() -> Result {
        std::thread::sleep(3_000 * MS);
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_does_not_yield_is_abandoned() {
        let start = Instant::now();
        let plain = ended(20 * MS, true, blocking(asleep)).await;
        assert!(matches!(plain, Ended::TimedOut { stuck: true }), "{plain:?}");
        assert!(start.elapsed() < 1_000 * MS);
        let busy = ended(20 * MS, false, async { asleep() }).await;
        assert!(matches!(busy, Ended::TimedOut { stuck: true }), "{busy:?}");
    }

    #[tokio::test]
    async fn panics_are_described_async_and_plain() {
        install_panic_hook();
        let future: Ended<()> = ended(5_000 * MS, false, async { panic!("no {}", "boat") }).await;
        let plain = ended(5_000 * MS, true, blocking(|| panic!("no ship"))).await;
        for (ended, message) in [(future, "no boat"), (plain, "no ship")] {
            let Ended::Panicked(text) = ended else { panic!("{ended:?}") };
            assert!(text.contains("task.rs:") && text.ends_with(message), "{text}");
        }
    }

    #[tokio::test]
    async fn stops_when_asked_and_not_when_nobody_can_ask() {
        let (stopper, stop) = super::super::stop::pair();
        let bounds = Bounds { limit: Some(5_000 * MS), stop: Some(&stop), plain: false };
        assert!(stopper.stop() && !stopper.stop(), "only the first wish is the first");
        let ended: Ended<()> = run(&Handle::current(), Span::none(), bounds, std::future::pending()).await;
        assert!(matches!(ended, Ended::Stopped { stuck: false }));

        let (stopper, stop) = super::super::stop::pair();
        drop(stopper);
        let bounds = Bounds { limit: Some(30 * MS), stop: Some(&stop), plain: false };
        let ended: Ended<()> = run(&Handle::current(), Span::none(), bounds, std::future::pending()).await;
        assert!(matches!(ended, Ended::TimedOut { .. }));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn plain_functions_can_wait_for_futures() {
        let ended = ended(
            5_000 * MS,
            true,
            blocking(|| {
                assert_eq!(
                    block_on(async {
                        tokio::time::sleep(MS).await;
                        7
                    }),
                    7
                );
                Ok(())
            }),
        )
        .await;
        assert!(matches!(ended, Ended::Returned(Ok(()))), "{ended:?}");
    }
}
