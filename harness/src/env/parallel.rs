//! The same work for several machines at once.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use super::EnvError;

/// Does `work` for all of `items` at once, waits for all, and returns the results in their order.
///
/// # Errors
/// Every failure.
pub(super) async fn each<I, T, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Result<Vec<T>, EnvError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EnvError>> + Send + 'static,
{
    let mut done = Vec::new();
    let mut errors = Vec::new();
    let tasks: Vec<_> =
        items.into_iter().map(|item| tokio::spawn(work(item).in_current_span())).map(AbortOnDrop).collect();
    for mut task in tasks {
        match finished((&mut task.0).await) {
            Some(Ok(value)) => done.push(value),
            Some(Err(error)) => errors.push(error),
            None => {}
        }
    }
    EnvError::all(errors).map(|()| done)
}

/// Does `work` for all of `items` at once; the first failure ends the others.
///
/// # Errors
/// The first failure.
pub(super) async fn first_failure<I, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Result<(), EnvError>
where
    F: Future<Output = Result<(), EnvError>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = items.into_iter().map(|item| work(item).in_current_span()).collect();
    while let Some(ended) = tasks.join_next().await {
        finished(ended).unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// What a task left; nothing when it was aborted, which only happens with us.
fn finished<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended {
        Ok(value) => Some(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// Tasks end with whoever waits for them.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn odd_fails(n: u32) -> Result<u32, EnvError> {
        if n.is_multiple_of(2) { Ok(n) } else { Err(EnvError::Broken { why: format!("{n} is odd") }) }
    }

    #[tokio::test]
    async fn results_keep_their_order_and_every_failure_is_told() {
        assert_eq!(each(vec![4, 2, 0], odd_fails).await.unwrap(), [4, 2, 0]);
        let error = each(vec![1, 2, 3], odd_fails).await.unwrap_err().to_string();
        assert!(error.contains("1 is odd") && error.contains("3 is odd"), "{error}");
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_others() {
        let work = |n: u32| async move {
            if n == 0 { std::future::pending().await } else { odd_fails(n).await.map(drop) }
        };
        let error = first_failure(vec![0, 1], work).await.unwrap_err();
        assert!(error.to_string().contains("1 is odd"), "{error}");
    }
}
