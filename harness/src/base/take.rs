//! Taking what somebody else may hold: a lock on a file, say.

use std::{fmt, time::Duration};

use super::wait::{Look, WaitError, wait_for};

/// Something that somebody else may hold was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken<E> {
    /// The attempt failed.
    Failed(E),
    /// Somebody held it all the time.
    Held {
        /// Who, last.
        holder: String,
        /// The wait.
        source: WaitError,
    },
}

/// Waits until `attempt` has got what somebody else may hold, whom it names then; `tell` hears of each of them.
pub(crate) async fn take<T, E: fmt::Display>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Result<Result<T, String>, E>,
    tell: impl Fn(&str),
) -> Result<T, NotTaken<E>> {
    let mut told = None;
    let mut fatal = None;
    let taken = wait_for(what, limit, pause, || {
        std::future::ready(match attempt() {
            Ok(Ok(taken)) => Look::Ready(taken),
            Ok(Err(holder)) => {
                if told.as_ref() != Some(&holder) {
                    tell(&holder);
                    told = Some(holder.clone());
                }
                Look::NotYet(holder)
            }
            Err(error) => {
                let text = error.to_string();
                fatal = Some(error);
                Look::Failed(text)
            }
        })
    });
    let taken = taken.await;
    taken.map_err(|source| match fatal {
        Some(error) => NotTaken::Failed(error),
        None => NotTaken::Held { holder: source.seen.last(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn what_others_hold_is_taken_when_they_let_go_and_each_of_them_is_told_once() {
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |holder: &str| told.borrow_mut().push(holder.to_owned());
        let mut answers = vec![Ok(Ok(7)), Ok(Err("b")), Ok(Err("b")), Ok(Err("a"))];
        let mut attempt = || answers.pop().unwrap_or(Err("gone")).map(|taken| taken.map_err(str::to_owned));
        assert_eq!(take("a boat", 500 * MS, MS, &mut attempt, tell).await.unwrap(), 7);
        assert_eq!(told.take(), ["a", "b"]);
        let failed = take("a boat", 500 * MS, MS, &mut attempt, tell).await;
        assert!(matches!(failed, Err(NotTaken::Failed("gone"))), "{failed:?}");
        let held = take::<(), &str>("a boat", 5 * MS, MS, || Ok(Err("c".to_owned())), tell).await;
        assert!(matches!(held, Err(NotTaken::Held { holder, .. }) if holder == "c"));
    }
}
