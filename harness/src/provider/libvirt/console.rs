//! The serial console of a machine as a stream. libvirt's streams block, so two threads carry the bytes; they end when
//! either side is closed.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
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
            Ok(stream)
        };
        let what = format!("open the console of {name}");
        let stream = own.call(what.clone(), limit, open).await?;
        let failed = |_| ProviderError::TimedOut { what: what.clone(), limit: CLOSING };
        let (from, to) = (end.try_clone().map_err(failed)?, stream.clone());
        let thread = || std::thread::Builder::new().name(THREAD.into());
        thread().spawn(move || typed(from, to)).map_err(failed)?;
        thread().spawn(move || printed(&stream, end)).map_err(failed)?;
        Ok(())
    }
}

/// Carries what is typed, and ends the console with it.
fn typed(mut from: UnixStream, to: Stream) {
    let mut bytes = [0; PIECE];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let mut rest = bytes.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            match to.send(rest) {
                Ok(sent @ 1..) => rest = rest.get(usize::try_from(sent).unwrap_or(0)..).unwrap_or_default(),
                _ => return,
            }
        }
    }
    let _ = to.abort();
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
