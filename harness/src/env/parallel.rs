//! The same work for several machines at once, which of them fail.

use std::future::Future;

use tokio::task::JoinSet;
use tracing::Instrument;

use super::EnvError;
use crate::base::parallel;

/// Does `work` for all of `items` at once, waits for all, and returns the results in their order.
///
/// # Errors
/// Every failure.
pub(super) async fn each<I, T, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Result<Vec<T>, EnvError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, EnvError>> + Send + 'static,
{
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for one in parallel::each(items, usize::MAX, work).await {
        match one {
            Ok(value) => done.push(value),
            Err(error) => errors.push(error),
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
        match ended {
            Ok(result) => result?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Aborted, which only happens with us.
            Err(_) => {}
        }
    }
    Ok(())
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
