//! The serial console of a machine as a stream. libvirt's streams block, so two threads carry the bytes; they end when
//! either side is closed.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

use virt::{connect::Connect, stream::Stream};

use super::{
    Connection,
    connection::{CLOSING, THREAD},
};
use crate::provider::ProviderError;

/// Bytes carried at once.
const PIECE: usize = 4096;

/// How long a piece may be under way before libvirt's client is woken, and the longest pause until that is tried again.
const PATIENCE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

impl Connection {
    /// Connects the serial console of a machine with `end`, one end of a pair of sockets.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when it has no console, or somebody else has it open.
    pub async fn console(&self, name: &str, end: UnixStream, limit: Duration) -> Result<(), ProviderError> {
        // Of its own, because nobody else's calls are to wait for what is typed.
        let own = self.another(limit).await?;
        let owned = name.to_owned();
        let open = move |connect: &Connect| {
            let stream = Stream::new(connect, 0)?;
            connect.lookup_domain_by_name(&owned)?.open_console(None, &stream, 0)?;
            Ok((connect.clone(), stream))
        };
        let what = format!("open the console of {name}");
        let (connect, stream) = own.call(what.clone(), limit, open).await?;
        let failed = |_| ProviderError::TimedOut { what: what.clone(), limit: CLOSING };
        let (from, to) = (end.try_clone().map_err(failed)?, stream.clone());
        let thread = || std::thread::Builder::new().name(THREAD.into());
        // Of two steps, so that whoever carries never waits for whoever wakes.
        let (under_way, pieces) = sync_channel(2);
        thread().spawn(move || wake(&pieces, &connect)).map_err(failed)?;
        thread().spawn(move || typed(from, to, &under_way)).map_err(failed)?;
        thread().spawn(move || printed(&stream, end)).map_err(failed)?;
        Ok(())
    }
}

/// Carries what is typed, and ends the console with it. Tells when a piece is under way, and when it has arrived.
fn typed(mut from: UnixStream, to: Stream, under_way: &SyncSender<bool>) {
    let mut bytes = [0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let mut rest = bytes.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            let _ = under_way.send(true);
            let sent = to.send(rest);
            let _ = under_way.send(false);
            match sent {
                Ok(sent @ 1..) => rest = rest.get(usize::try_from(sent).unwrap_or(0)..).unwrap_or_default(),
                _ => return,
            }
        }
    }
    let _ = under_way.send(true);
    let _ = to.abort();
}

/// Wakes libvirt's client while a piece does not get away. The thread that waits for what is printed does the talking for
/// all threads of its connection. That of libvirt 9.0 misses that another wants to send something when it is told so just
/// before it begins to wait, and then waits until something is printed; any call tells it once more.
fn wake(pieces: &Receiver<bool>, connect: &Connect) {
    while let Ok(under_way) = pieces.recv() {
        let (mut going, mut patience) = (under_way, PATIENCE);
        while going {
            match pieces.recv_timeout(patience) {
                Ok(more) => going = more,
                Err(RecvTimeoutError::Timeout) => {
                    // Whatever it answers: a connection that is broken breaks the console, too.
                    let _ = connect.lib_version();
                    patience = LONGEST.min(patience * 2);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Carries what is printed.
fn printed(from: &Stream, mut to: UnixStream) {
    let mut bytes = [0; PIECE];
    while let Ok(read @ 1..) = from.recv(&mut bytes) {
        let piece = bytes.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default();
        if to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
