//! A talk with a program that does not end by itself: waiting for a text in what it says, and saying something. A stream is
//! all that it has; it knows no terminals and no connections.

use std::io;

use regex_lite::Regex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::wait::Deadline;

/// Bytes that are kept of what nobody has waited for; older ones are forgotten.
const KEPT: usize = 256 * 1024;
/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Both directions of a talk.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A talk.
pub(crate) struct Dialogue {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    /// What was said since the last match.
    unread: String,
    /// The beginning of a character whose rest has not come yet.
    part: Vec<u8>,
    is_over: bool,
}

/// Why a talk does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialogueError {
    /// In time.
    #[error("nothing came in time")]
    Late,
    /// At all: the other end is gone.
    #[error("the other end is gone")]
    Over,
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Broken(#[from] io::Error),
}

impl Dialogue {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        let (reader, writer) = tokio::io::split(Box::new(stream) as Box<dyn Stream>);
        Self { reader, writer, unread: String::new(), part: Vec::new(), is_over: false }
    }

    /// Waits until `pattern` is in what was said since the last match; returns all of that up to the end of the match.
    pub(crate) async fn expect(
        &mut self,
        pattern: &Regex,
        deadline: Deadline,
    ) -> Result<String, DialogueError> {
        loop {
            if let Some(found) = pattern.find(&self.unread) {
                let rest = self.unread.split_off(found.end());
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            if self.is_over {
                return Err(DialogueError::Over);
            }
            let mut piece = [0; PIECE];
            let heard = tokio::time::timeout(deadline.left(), self.reader.read(&mut piece)).await;
            self.hear(heard.map_err(|_| DialogueError::Late)?, &piece)?;
        }
    }

    /// Says something. What the other end says meanwhile is heard: one that has to wait for that may hear nothing.
    pub(crate) async fn send(&mut self, text: &str, deadline: Deadline) -> Result<(), DialogueError> {
        let mut left = text.as_bytes();
        let mut piece = [0; PIECE];
        while !left.is_empty() {
            let heard = tokio::select! {
                written = self.writer.write(left) => match written {
                    Ok(0) => return Err(DialogueError::Over),
                    Ok(written) => {
                        left = left.get(written..).unwrap_or_default();
                        continue;
                    }
                    Err(error) if is_end(&error) => return Err(DialogueError::Over),
                    Err(error) => return Err(error.into()),
                },
                heard = self.reader.read(&mut piece), if !self.is_over => heard,
                () = tokio::time::sleep(deadline.left()) => return Err(DialogueError::Late),
            };
            self.hear(heard, &piece)?;
        }
        let flushed = tokio::time::timeout(deadline.left(), self.writer.flush()).await;
        match flushed.map_err(|_| DialogueError::Late)? {
            Err(error) if is_end(&error) => Err(DialogueError::Over),
            flushed => Ok(flushed?),
        }
    }

    /// What was said since the last match.
    pub(crate) fn unread(&self) -> &str {
        &self.unread
    }

    fn hear(&mut self, heard: io::Result<usize>, piece: &[u8]) -> Result<(), DialogueError> {
        match heard {
            Ok(0) => self.is_over = true,
            // So a terminal says that nobody has its other end open.
            Err(error) if is_end(&error) => self.is_over = true,
            Err(error) => return Err(error.into()),
            Ok(heard) => self.part.extend_from_slice(piece.get(..heard).unwrap_or_default()),
        }
        let whole = match std::str::from_utf8(&self.part) {
            Err(error) if error.error_len().is_none() && !self.is_over => error.valid_up_to(),
            _ => self.part.len(),
        };
        let rest = self.part.split_off(whole);
        self.unread.push_str(&String::from_utf8_lossy(&std::mem::replace(&mut self.part, rest)));
        let over = self.unread.len().saturating_sub(KEPT);
        let over = (over..=over + 3).find(|at| self.unread.is_char_boundary(*at)).unwrap_or_default();
        self.unread.drain(..over);
        Ok(())
    }
}

fn is_end(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::DuplexStream;

    use super::*;

    fn talk(buffer: usize) -> (Dialogue, DuplexStream) {
        let (near, far) = tokio::io::duplex(buffer);
        (Dialogue::new(near), far)
    }

    fn soon() -> Deadline {
        Deadline::within(Duration::from_secs(20))
    }

    fn regex(text: &str) -> Regex {
        Regex::new(text).unwrap()
    }

    #[tokio::test]
    async fn texts_are_found_however_they_come() {
        let (mut talk, mut far) = talk(1000);
        // In one piece, and the next one in what is left of it.
        far.write_all(b"login: and then password: ").await.unwrap();
        assert_eq!(talk.expect(&regex("login:"), soon()).await.unwrap(), "login:");
        assert_eq!(talk.expect(&regex("pass.*:"), soon()).await.unwrap(), " and then password:");
        // In pieces, also of one character.
        let said = async {
            far.write_all(b"rea").await.unwrap();
            tokio::task::yield_now().await;
            for byte in "€ä>".as_bytes() {
                far.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let pattern = regex("€ä>$");
        let (found, ()) = tokio::join!(talk.expect(&pattern, soon()), said);
        assert_eq!(found.unwrap(), " rea€ä>");
        // Nothing is found twice.
        let late = talk.expect(&regex("ä"), Deadline::within(Duration::from_millis(50))).await;
        assert!(matches!(late, Err(DialogueError::Late)));
    }

    #[tokio::test]
    async fn the_end_is_noticed_at_once_and_what_was_said_before_it_counts() {
        let (mut talk, mut far) = talk(1000);
        far.write_all(b"bye\xff").await.unwrap();
        drop(far);
        assert_eq!(talk.expect(&regex("bye"), soon()).await.unwrap(), "bye");
        assert!(matches!(talk.expect(&regex("more"), soon()).await, Err(DialogueError::Over)));
        assert_eq!(talk.unread(), "\u{fffd}");
        assert!(matches!(talk.send("x", soon()).await, Err(DialogueError::Over)));
    }

    #[tokio::test]
    async fn who_says_much_and_hears_late_does_not_hang() {
        let (mut talk, mut far) = talk(64);
        let other = async {
            far.write_all(&[b'.'; 10_000]).await.unwrap();
            let mut heard = vec![0; 10_000];
            far.read_exact(&mut heard).await.unwrap();
            far.write_all(b"done").await.unwrap();
        };
        let text = "x".repeat(10_000);
        let (sent, ()) = tokio::join!(
            async {
                talk.send(&text, soon()).await?;
                talk.expect(&regex("done"), soon()).await
            },
            other
        );
        assert_eq!(sent.unwrap().len(), 10_004);
        let late = talk.send(&text, Deadline::within(Duration::from_millis(50))).await;
        assert!(matches!(late, Err(DialogueError::Late)));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_forgotten_in_the_end() {
        let (mut talk, mut far) = talk(100_000);
        let other = async {
            for _ in 0..20 {
                far.write_all("€".repeat(30_000).as_bytes()).await.unwrap();
            }
            far.write_all(b"end").await.unwrap();
        };
        let pattern = regex("end");
        let (found, ()) = tokio::join!(talk.expect(&pattern, soon()), other);
        let length = found.unwrap().len();
        assert!(length > KEPT / 2 && length <= KEPT, "{length}");
    }
}
