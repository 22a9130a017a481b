//! The same work for several things at once.

use std::{collections::BTreeMap, future::Future};

use tokio::task::JoinSet;
use tracing::Instrument;

/// Does `work` for all of `items`, for at most `at_once` of them at a time, and returns what came of each, in their order. Work
/// that is under way ends with whoever waits for it.
///
/// # Panics
/// With the work's own panic.
pub(crate) async fn each<I, T, F>(items: Vec<I>, at_once: usize, work: impl Fn(I) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut left = items.into_iter().enumerate();
    let mut tasks = JoinSet::new();
    let mut done = BTreeMap::new();
    loop {
        while tasks.len() < at_once.max(1)
            && let Some((at, item)) = left.next()
        {
            let one = work(item);
            tasks.spawn(async move { (at, one.await) }.in_current_span());
        }
        match tasks.join_next().await {
            None => return done.into_values().collect(),
            Some(Ok((at, value))) => drop(done.insert(at, value)),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Aborted, which only happens with us.
            Some(Err(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[rstest::rstest]
    #[case(1, 1)]
    #[case(2, 2)]
    #[case(0, 1)]
    #[case(usize::MAX, 4)]
    #[tokio::test]
    async fn results_keep_their_order_and_no_more_are_under_way_than_may_be(
        #[case] at_once: usize,
        #[case] most: usize,
    ) {
        let (now, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let done = each(vec![4, 3, 2, 1], at_once, |n| {
            let (now, seen) = (now.clone(), seen.clone());
            async move {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10 * n)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                n
            }
        });
        assert_eq!(done.await, [4, 3, 2, 1]);
        assert_eq!(seen.load(Ordering::SeqCst), most);
    }

    #[tokio::test]
    #[should_panic(expected = "not this one")]
    async fn a_panic_is_whose_work_it_is() {
        each(vec![1, 2], 2, |n| async move { assert_eq!(n, 1, "not this one") }).await;
    }
}
