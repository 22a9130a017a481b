//! Who says at a terminal that a suite goes on which stands still at a failure. What is to be seen of it is the reporter's.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{QueueSelector, tcflush},
};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use crate::suite::{pause::Asked, stop::Stopper};

/// How often it is looked whether somebody still waits for an answer.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// What ends the run instead of going on.
const QUIT: &str = "q";

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    GoOn,
    Quit,
}

/// Whether somebody can be asked.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Lets suites go on, one after the other, when somebody says so.
pub(super) async fn answer(mut asked: UnboundedReceiver<Asked>, stopper: Stopper) {
    while let Some(Asked { listening, mut go_on }) = asked.recv().await {
        // What was typed before a question is no answer to it.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        if listening.send(()).is_err() {
            continue;
        }
        let (said, hears) = oneshot::channel();
        // A thread of its own: nothing that ends the run is kept by who waits for a key.
        thread::spawn(move || {
            let answer = read(|| said.is_closed());
            let _ = said.send(answer);
        });
        let answer = tokio::select! {
            answer = hears => answer.unwrap_or(Answer::GoOn),
            () = go_on.closed() => continue,
        };
        if answer == Answer::Quit && stopper.stop() {
            let _ = writeln!(io::stderr(), "stopping: asked to; what is under way ends, teardown follows");
        }
        let _ = go_on.send(());
    }
}

/// The answer of who sits at the terminal, for as long as it is waited for. Whoever closes it has nothing more to say.
fn read(is_over: impl Fn() -> bool) -> Answer {
    let input = io::stdin();
    while !is_over() {
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {
                let mut line = String::new();
                return match input.lock().read_line(&mut line) {
                    Ok(_) => meant(&line),
                    Err(_) => Answer::GoOn,
                };
            }
            Err(_) => return Answer::GoOn,
        }
    }
    Answer::GoOn
}

fn meant(line: &str) -> Answer {
    if line.trim().eq_ignore_ascii_case(QUIT) { Answer::Quit } else { Answer::GoOn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_ends_the_run_and_anything_else_goes_on() {
        for line in ["q\n", " Q \n", "q"] {
            assert_eq!(meant(line), Answer::Quit, "{line:?}");
        }
        for line in ["\n", "", "quiet\n", "yes\n"] {
            assert_eq!(meant(line), Answer::GoOn, "{line:?}");
        }
    }
}
