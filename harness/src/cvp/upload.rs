//! A file that is sent to the portal, as a form carries it: read while it is sent, however long it is.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

use crate::base::id::random_uuid;

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// A file in a form, and the fields beside it.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    path: PathBuf,
    name: String,
    fields: Vec<(&'static str, String)>,
}

impl Upload {
    /// The file `path`, which the portal shall call `name`.
    pub(super) fn new(path: &Path, name: &str) -> Self {
        Self { path: path.to_owned(), name: name.to_owned(), fields: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// What is sent, and the type it has.
    pub(super) async fn form(&self) -> io::Result<(String, Form)> {
        let file = File::open(&self.path).await?;
        let length = file.metadata().await?.len();
        // Nothing in the file can be taken for it.
        let boundary = format!("polder-{}", random_uuid());
        let mut head = String::new();
        for (name, value) in &self.fields {
            head += &format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        let quoted = self.name.replace('"', "%22").replace(['\r', '\n'], " ");
        head += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let form = Form { head: Some(head.into()), file, left: length, tail: Some(tail.into()) };
        Ok((format!("multipart/form-data; boundary={boundary}"), form))
    }
}

/// What is sent, for people.
impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(the file {} as {})", self.path.display(), self.name)
    }
}

/// A form with a file in it, on its way.
#[derive(Debug)]
pub(super) struct Form {
    head: Option<Bytes>,
    file: File,
    /// Bytes of the file that are not sent yet.
    left: u64,
    tail: Option<Bytes>,
}

impl Body for Form {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if self.left == 0 {
            return Poll::Ready(self.tail.take().map(|tail| Ok(Frame::data(tail))));
        }
        // No more than was said: a file that grows meanwhile must not break the form.
        let mut piece = vec![0; usize::try_from(self.left).unwrap_or(PIECE).min(PIECE)];
        let mut buffer = ReadBuf::new(&mut piece);
        if let Err(error) = ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = buffer.filled().len();
        if read == 0 {
            let shorter = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter");
            return Poll::Ready(Some(Err(shorter)));
        }
        piece.truncate(read);
        self.left -= read as u64;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = |part: &Option<Bytes>| part.as_ref().map_or(0, |part| part.len() as u64);
        SizeHint::with_exact(length(&self.head) + self.left + length(&self.tail))
    }
}
