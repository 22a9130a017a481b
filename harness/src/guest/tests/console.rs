//! Commands typed at a console, before a real shell at a real terminal that answers as late as a busy guest does.

use std::process::Stdio;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    process::Command as Process,
    sync::mpsc,
};

use super::*;
use crate::base::dial::BoxFuture;

/// A machine whose console takes `delay` in either direction.
#[derive(Debug)]
struct Far {
    delay: Duration,
}

impl MachinePort for Far {
    fn console(&self, _: Duration) -> BoxFuture<'_, io::Result<UnixStream>> {
        let delay = self.delay;
        Box::pin(async move {
            let (ours, theirs) = UnixStream::pair()?;
            // It heeds what is typed, whatever these tests were started to ignore.
            let mut terminal = Process::new("env");
            terminal
                .args(["--default-signal", "script", "-qec", "sh -i", "/dev/null"])
                .env("ENV", "")
                .env("PS1", "# ");
            terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
            let mut terminal = terminal.spawn()?;
            let (stdin, stdout) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
            let (typed, shown) = theirs.into_split();
            tokio::spawn(delayed(stdout, shown, delay));
            tokio::spawn(async move {
                delayed(typed, stdin, delay).await;
                drop(terminal);
            });
            Ok(ours)
        })
    }

    fn standstill(&self, _: Duration) -> BoxFuture<'_, Option<Standstill>> {
        Box::pin(async { None })
    }
}

/// Everything arrives, in order, `delay` later.
async fn delayed(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) {
    let (queue, mut line) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut chunk = vec![0; 4096];
        while let Ok(got @ 1..) = from.read(&mut chunk).await {
            if queue.send((tokio::time::Instant::now() + delay, chunk[..got].to_vec())).is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = line.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn far(rig: &Rig, delay: Duration) -> Guest {
    let mut spec = rig.spec();
    spec.ssh = None;
    spec.machine = Some(Arc::new(Far { delay }));
    Guest::new(spec)
}

#[rstest::rstest]
#[case::at_once(Duration::ZERO)]
// A question and its answer take longer than a guest is given for them at first.
#[case::late(Duration::from_millis(1300))]
#[tokio::test]
async fn a_shell_that_answers_late_is_a_shell(#[case] delay: Duration) {
    let rig = rig!();
    let guest = far(&rig, delay);
    let command = Command::script("echo \"$1\"; cat; echo err >&2; exit 3").arg("a  'b'").stdin("in\n");
    let output = guest.execute(command.over(Channel::Console).timeout(LONG)).await.unwrap();
    let said = (output.stdout.text(), output.stderr.text(), output.status);
    assert_eq!(said, ("a  'b'\nin\n".into(), "err\n".into(), Status::Code(3)));
}

#[tokio::test]
async fn a_deadline_at_the_console_kills_what_was_started() {
    let rig = rig!();
    let guest = far(&rig, SECOND / 4);
    let endless = Command::script("echo begun; echo and told >&2; sleep 4761");
    let error = guest.execute(endless.over(Channel::Console).timeout(15 * SECOND)).await.unwrap_err();
    let GuestError::Deadline { ran, killed: true, started: true, .. } = &error else { panic!("{error:?}") };
    let said = (ran.output.stdout.text(), ran.output.stderr.text());
    assert_eq!(said, ("begun\n".into(), "and told\n".into()), "what it said before is told");
    assert!(!runs("sleep 4761"));
}
