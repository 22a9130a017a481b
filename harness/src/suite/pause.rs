//! Standing still at a failure: a suite waits, with its machines up, until somebody says to go on. Who is asked and how is not
//! known here.

use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

/// Where suites ask whether to go on.
#[derive(Debug)]
pub(crate) struct Pauses {
    asks: mpsc::UnboundedSender<Asked>,
    /// One is answered at a time; the others wait.
    turn: Mutex<()>,
}

/// A suite that stands still.
#[derive(Debug)]
pub(crate) struct Asked {
    /// From now on an answer is one to this question.
    pub(crate) listening: oneshot::Sender<()>,
    /// It goes on; closed when it does not wait any more.
    pub(crate) go_on: oneshot::Sender<()>,
}

/// A suite's turn to ask.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    go_on: oneshot::Receiver<()>,
    _turn: MutexGuard<'a, ()>,
}

impl Pauses {
    /// Where suites ask, and where what they ask arrives.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Asked>) {
        let (asks, asked) = mpsc::unbounded_channel();
        (Self { asks, turn: Mutex::default() }, asked)
    }

    /// Waits until it is this suite's turn to ask; nothing if nobody answers any more.
    pub(super) async fn turn(&self) -> Option<Turn<'_>> {
        let turn = self.turn.lock().await;
        let ((listening, listens), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
        self.asks.send(Asked { listening, go_on }).ok()?;
        listens.await.ok()?;
        Some(Turn { go_on: goes_on, _turn: turn })
    }
}

impl Turn<'_> {
    /// Waits until it goes on.
    pub(super) async fn over(self) {
        // Nobody is left who could say it: it goes on, too.
        let _ = self.go_on.await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_asks_after_the_other_and_nobody_waits_for_nobody() {
        let (pauses, mut asked) = Pauses::new();
        let suite = || async {
            let turn = pauses.turn().await;
            let heard = turn.is_some();
            if let Some(turn) = turn {
                turn.over().await;
            }
            heard
        };
        let operator = async {
            for _ in 0..2 {
                let Asked { listening, go_on } = asked.recv().await.unwrap();
                listening.send(()).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert!(asked.try_recv().is_err(), "the other one waits for its turn");
                go_on.send(()).unwrap();
            }
            drop(asked);
        };
        assert_eq!(tokio::join!(suite(), suite(), operator), (true, true, ()));
        assert!(!suite().await);
    }
}
