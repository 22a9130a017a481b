//! A small HTTP server on the loopback that misbehaves as it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How one request is answered.
#[derive(Debug, Clone)]
pub(crate) enum How {
    /// As it should be, ranges included.
    Good,
    /// Ranges are ignored.
    NoRanges,
    /// With another status and no content.
    Status(u16),
    /// The connection is closed after so many bytes of the body.
    Truncate(usize),
    /// Nothing comes after so many bytes of the body.
    Stall(usize),
    /// A piece at a time, with a pause after each.
    Slow(usize, Duration),
    /// Nothing at all comes.
    Silent,
    /// A part that was not asked for.
    WrongPart,
}

#[derive(Debug, Clone, Default)]
struct Page {
    body: Arc<Vec<u8>>,
    etag: Option<String>,
    /// How the next requests are answered; the last one stays.
    how: VecDeque<How>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    pages: BTreeMap<String, Page>,
    requests: Vec<Request>,
}

/// The server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    url: String,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                open.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { state, url, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Serves `body` at `path`, the first requests in the ways of `how`.
    pub(crate) fn put(&self, path: &str, body: impl Into<Vec<u8>>, how: &[How]) {
        let body = Arc::new(body.into());
        let etag = Some(format!("\"{}\"", super::sha1(&body)));
        let how = if how.is_empty() { VecDeque::from([How::Good]) } else { how.iter().cloned().collect() };
        self.state.lock().unwrap().pages.insert(path.into(), Page { body, etag, how });
    }

    /// From now on nothing tells the content of `path` from a later one.
    pub(crate) fn without_etag(&self, path: &str) {
        self.state.lock().unwrap().pages.get_mut(path).unwrap().etag = None;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often `path` was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    /// Ranges that were asked for at `path`.
    pub(crate) fn ranges(&self, path: &str) -> Vec<Option<String>> {
        self.requests().into_iter().filter(|request| request.path == path).map(|r| r.range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    while let Some(()) = answer(&mut stream, &state).await {}
}

/// Answers one request; nothing when the connection is done.
async fn answer(stream: &mut BufReader<TcpStream>, state: &Mutex<State>) -> Option<()> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let (page, how) = {
        let mut state = state.lock().unwrap();
        state.requests.push(Request { path: path.clone(), range: headers.get("range").cloned() });
        match state.pages.get_mut(&path) {
            Some(page) => {
                let how = if page.how.len() > 1 { page.how.pop_front() } else { page.how.front().cloned() };
                (page.clone(), how.unwrap())
            }
            None => (Page::default(), How::Status(404)),
        }
    };
    let mut out = String::new();
    let etag = page.etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
    let unchanged = headers.get("if-range").is_none_or(|tag| etag.contains(tag.as_str()));
    let total = page.body.len();
    let start = headers
        .get("range")
        .filter(|_| unchanged && !matches!(how, How::NoRanges | How::Status(_)))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match (&how, start) {
        (How::Status(status), _) => {
            out += &format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        }
        (How::WrongPart, Some(_)) => {
            let rest = total - 1;
            out += &format!("HTTP/1.1 206 Partial\r\nContent-Length: {rest}\r\n");
            out += &format!("Content-Range: bytes 1-{rest}/{total}\r\n{etag}\r\n");
        }
        (_, Some(start)) if start >= total => {
            out += &format!("HTTP/1.1 416 No\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\n\r\n");
        }
        (_, Some(start)) => {
            let (end, rest) = (total - 1, total - start);
            out += &format!("HTTP/1.1 206 Partial\r\nContent-Length: {rest}\r\n");
            out += &format!("Content-Range: bytes {start}-{end}/{total}\r\n{etag}\r\n");
        }
        (_, None) => out += &format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n{etag}\r\n"),
    }
    if matches!(how, How::Silent) {
        std::future::pending::<()>().await;
    }
    stream.get_mut().write_all(out.as_bytes()).await.ok()?;
    let start = match (&how, start) {
        (How::WrongPart, Some(_)) => 1,
        (_, start) => start.unwrap_or(0),
    };
    let body = &page.body[start.min(total)..];
    let out = stream.get_mut();
    match how {
        How::Status(_) => {}
        How::Good | How::NoRanges | How::WrongPart => out.write_all(body).await.ok()?,
        How::Truncate(most) => {
            out.write_all(&body[..most.min(body.len())]).await.ok()?;
            return None;
        }
        How::Stall(most) => {
            out.write_all(&body[..most.min(body.len())]).await.ok()?;
            out.flush().await.ok()?;
            std::future::pending::<()>().await;
        }
        How::Slow(piece, pause) => {
            for piece in body.chunks(piece) {
                out.write_all(piece).await.ok()?;
                out.flush().await.ok()?;
                tokio::time::sleep(pause).await;
            }
        }
        How::Silent => {}
    }
    out.flush().await.ok()
}
