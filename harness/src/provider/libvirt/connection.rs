//! The one door for libvirt's blocking calls: a connection owned by a thread of its own.
//!
//! libvirt has no way to abandon a call. One that misses its deadline poisons the connection: calls that wait for their turn
//! and later ones fail at once, and the thread stays behind until whoever owns the daemon ends it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use tokio::sync::{oneshot, watch};
use virt::connect::Connect;

use super::auth;
use crate::{
    base::{credentials::Credentials, wait::Deadline},
    provider::ProviderError,
};

/// How long connections may take to say goodbye at the end of a process; one whose call hangs never does.
pub const CLOSING: Duration = Duration::from_millis(500);

/// What the threads of connections are called.
pub(super) const THREAD: &str = "libvirt";

type Job = Box<dyn FnOnce(&Connect) + Send>;

/// A connection to one libvirt daemon; calls on it run one after another.
#[derive(Debug, Clone)]
pub struct Connection {
    uri: Arc<str>,
    credentials: Option<Credentials>,
    jobs: mpsc::Sender<Job>,
    poisoned: watch::Sender<Option<String>>,
}

impl Connection {
    /// Connects to the daemon at `uri`.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer within `limit`.
    pub async fn open(uri: &str, limit: Duration) -> Result<Self, ProviderError> {
        Self::open_as(uri, None, limit).await
    }

    /// Connects to the daemon at `uri`, telling it `credentials` when it asks.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_as(
        uri: &str,
        credentials: Option<&Credentials>,
        limit: Duration,
    ) -> Result<Self, ProviderError> {
        // The default handler prints every error, also those we report ourselves.
        virt::error::clear_error_callback();
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let at = uri.to_owned();
        let credentials = credentials.cloned();
        let answers = credentials.clone();
        let serve = move || match auth::connect(&at, answers) {
            Ok(connect) => {
                if opened.send(Ok(())).is_ok() {
                    inbox.into_iter().for_each(|job| job(&connect));
                }
            }
            Err(source) => drop(opened.send(Err(ProviderError::Connect { uri: at, source }))),
        };
        let what = || format!("answer at {uri}");
        if std::thread::Builder::new().name(THREAD.into()).spawn(serve).is_err() {
            return Err(ProviderError::TimedOut { what: what(), limit: Duration::ZERO });
        }
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(Ok(()))) => {
                Ok(Self { uri: uri.into(), credentials, jobs, poisoned: watch::Sender::default() })
            }
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(ProviderError::TimedOut { what: what(), limit }),
        }
    }

    /// A second connection to the same daemon, whose calls do not wait for those of this one.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn another(&self, limit: Duration) -> Result<Self, ProviderError> {
        Self::open_as(&self.uri, self.credentials.as_ref(), limit).await
    }

    /// Makes one call, `what` in words ("start domain web"), which has `limit` from its turn on.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: String,
        limit: Duration,
        job: impl FnOnce(&Connect) -> Result<T, virt::error::Error> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let gone = |what| ProviderError::Poisoned { what, earlier: "its thread is gone".into() };
        let (begin, begun) = oneshot::channel();
        let (done, answer) = oneshot::channel();
        let poisoned = self.poisoned.clone();
        let job: Job = Box::new(move |connect| {
            // Whoever waited for its turn was told that it did not come.
            if poisoned.borrow().is_none() {
                let _ = begin.send(());
                drop(done.send(job(connect)));
            }
        });
        if self.jobs.send(job).is_err() {
            return Err(gone(what));
        }
        let (poisoned, called) = (self.poisoned.clone(), what.clone());
        // On its own: the calls behind one that hangs learn of it also when nobody waits for that one any more.
        let watched = tokio::spawn(async move {
            let mut earlier = poisoned.subscribe();
            let turn = tokio::select! {
                biased;
                Ok(hung) = earlier.wait_for(Option::is_some) => Err(hung.clone().unwrap_or_default()),
                turn = begun => Ok(turn),
            };
            match turn {
                Err(earlier) => return Err(ProviderError::Poisoned { what, earlier }),
                Ok(Err(_)) => return Err(gone(what)),
                Ok(Ok(())) => {}
            }
            match tokio::time::timeout(limit, answer).await {
                Ok(Ok(Ok(value))) => Ok(value),
                Ok(Ok(Err(source))) => Err(ProviderError::Call { what, source }),
                Ok(Err(_)) => Err(gone(what)),
                Err(_) => {
                    poisoned.send_replace(Some(what.clone()));
                    Err(ProviderError::TimedOut { what, limit })
                }
            }
        });
        watched.await.unwrap_or_else(|_| Err(gone(called)))
    }
}

/// Waits until the threads of connections that were given up have ended, at most `limit`. The C library takes itself
/// apart when the process ends, and must not do so under one that is still closing.
pub fn wait_closed(limit: Duration) {
    let deadline = Deadline::within(limit);
    while threads().any(|name| name.trim_end() == THREAD) && !deadline.passed() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Names of this process's threads.
fn threads() -> impl Iterator<Item = String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_call_that_hangs_poisons_the_connection() {
        let connection = Connection::open("test:///default", LIMIT).await.unwrap();
        let (free, hold) = mpsc::channel::<()>();
        let stuck = move |_: &Connect| {
            let _ = hold.recv();
            Ok(())
        };
        let error = connection.call("hang".into(), Duration::from_millis(20), stuck).await.unwrap_err();
        assert!(error.hangs() && error.to_string().contains("did not hang within 0.0 s"), "{error}");
        let error = connection.call("go on".into(), LIMIT, |_| Ok(())).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot go on: libvirt did not come back from an earlier call (hang)");
        drop(free);
        assert!(connection.another(LIMIT).await.unwrap().call("x".into(), LIMIT, |_| Ok(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_call_has_its_time_from_its_turn_on() {
        let connection = Connection::open("test:///default", LIMIT).await.unwrap();
        let slow = |_: &Connect| {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        };
        let (first, second) = tokio::join!(
            connection.call("be slow".into(), LIMIT, slow),
            connection.call("go on".into(), Duration::from_millis(100), |_| Ok(())),
        );
        assert!(first.is_ok() && second.is_ok(), "{first:?}, {second:?}");
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_behind_a_call_that_hangs_is_told_also_when_that_one_was_given_up() {
        let connection = Connection::open("test:///default", LIMIT).await.unwrap();
        let (free, hold) = mpsc::channel::<()>();
        let stuck = move |_: &Connect| {
            let _ = hold.recv();
            Ok(())
        };
        let hang = connection.call("hang".into(), Duration::from_millis(50), stuck);
        assert!(tokio::time::timeout(Duration::from_millis(1), hang).await.is_err());
        let went_on = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let go_on = |went_on: Arc<std::sync::atomic::AtomicBool>| {
            move |_: &Connect| {
                went_on.store(true, std::sync::atomic::Ordering::SeqCst);
                Ok(())
            }
        };
        let error = connection.call("go on".into(), LIMIT, go_on(Arc::clone(&went_on))).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot go on: libvirt did not come back from an earlier call (hang)");
        // Not later either, when that one is over.
        drop(free);
        drop(connection);
        wait_closed(LIMIT);
        assert!(!went_on.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[tokio::test]
    async fn who_waits_for_the_end_of_connections_finds_none() {
        let connection = Connection::open("test:///default", LIMIT).await.unwrap();
        assert!(threads().any(|name| name.trim_end() == THREAD));
        let started = std::time::Instant::now();
        // One that is still used is not waited for longer than that.
        wait_closed(Duration::from_millis(30));
        assert!(started.elapsed() >= Duration::from_millis(30));
        drop(connection);
    }

    #[tokio::test]
    async fn a_daemon_that_asks_who_we_are_is_told() {
        let node = tempfile::NamedTempFile::new().unwrap();
        let users = "<node><auth><user password='s3cret'>ada</user></auth></node>";
        std::fs::write(node.path(), users).unwrap();
        let uri = format!("test://{}", node.path().display());
        let open = async |username: &str, password: &str| {
            let who =
                Credentials { username: Some(username.to_owned()), password: Some(password.to_owned()) };
            Connection::open_as(&uri, Some(&who), LIMIT).await
        };
        let connection = open("ada", "s3cret").await.unwrap();
        connection.another(LIMIT).await.unwrap();
        let error = open("ada", "wrong").await.unwrap_err();
        assert!(error.to_string().starts_with("cannot connect to libvirt at test://"), "{error}");
        assert!(Connection::open(&uri, LIMIT).await.is_err());
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_named() {
        let error = Connection::open("qemu:///system?socket=/nowhere/sock", LIMIT).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/sock"), "{error}");
    }

    #[tokio::test]
    async fn libvirts_own_words_are_in_the_error() {
        let connection = Connection::open("test:///default", LIMIT).await.unwrap();
        let error = connection.shutdown_domain("nobody", LIMIT).await.unwrap_err();
        assert!(error.to_string().starts_with("libvirt cannot shut down domain nobody: "), "{error}");
        assert!(error.to_string().contains("Domain not found"), "{error}");
    }
}
