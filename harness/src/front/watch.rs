//! Where the wish to stop comes from: signals, and the death of whoever started us.

use std::{
    io::{self, Write},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    process::{PidfdFlags, getppid, pidfd_open},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::{
    base::exit::Exit,
    report::live::{Above, Screen},
    suite::stop::Stopper,
};

/// Sources of the wish, registered.
#[derive(Debug)]
pub(super) struct Watch {
    signals: [Signal; 3],
    parent: Option<oneshot::Receiver<()>>,
}

impl Watch {
    /// Registers for signals and opens the parent; from now on signals do not end the process.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn new() -> io::Result<Self> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        // A parent in another pid namespace has no number here, and cannot be watched.
        let parent = getppid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Self { signals, parent: parent.map(death) })
    }

    /// Stops the run at the first signal or the parent's death; leaves the process at the second signal.
    /// What is drawn on `screen`, if anything, is gone then.
    pub(super) async fn run(mut self, stopper: Stopper, screen: Option<Screen>) {
        // A Ctrl-C reaches our parent too: its death must not make that one signal two.
        let mut signals = 0;
        loop {
            let [interrupt, terminate, hangup] = &mut self.signals;
            let signalled = tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                _ = hangup.recv() => true,
                () = ended(self.parent.as_mut()) => false,
            };
            if signalled {
                signals += 1;
            } else {
                self.parent = None;
            }
            if signals == 2 {
                screen.iter().for_each(Screen::end);
                std::process::exit(Exit::Stopped as i32);
            }
            if stopper.stop() {
                let why = if signalled { "asked to" } else { "the process that started this one is gone" };
                // Where nobody reads it any more, a failure to say so must not end the teardown: no `eprintln!`.
                let _ = writeln!(
                    Above::new(io::stderr(), screen.as_ref()),
                    "stopping: {why}; what is under way ends, teardown follows; Ctrl-C leaves at once"
                );
            }
        }
    }
}

/// Told when a process has ended. The thread that waits for it stays until then, or until we end.
fn death(process: OwnedFd) -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {}
        let _ = sender.send(());
    });
    receiver
}

async fn ended(death: Option<&mut oneshot::Receiver<()>>) {
    if let Some(death) = death
        && death.await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
