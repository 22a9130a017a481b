//! Serves a folder over HTTP: files, parts of them, and lists of what is in a folder. Nothing outside of the folder, whatever
//! a path or a link in it says: the kernel looks paths up below it.

use std::{
    convert::Infallible,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower_http::services::ServeFile;

/// Before the next one is taken after a connection that could not be.
const BREATH: Duration = Duration::from_millis(50);
/// What need not be written in another way in a name.
const IN_LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A folder that is served until this is dropped.
#[derive(Debug)]
pub struct Server(tokio::task::AbortHandle);

impl Server {
    /// Serves `root` to whoever connects to `listener`, until `ended` comes back.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn start(
        listener: TcpListener,
        root: &Path,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Arc::new(rustix::fs::open(root, flags, Mode::empty())?);
        let work = async move {
            tokio::select! {
                () = serve(listener, root) => {}
                () = ended => {}
            }
        };
        Ok(Self(tokio::spawn(work).abort_handle()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, root: Arc<OwnedFd>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection could not be taken: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let root = Arc::clone(&root);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let root = Arc::clone(&root);
                async move { Ok::<_, Infallible>(answer(root, request).await) }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            // One that went away is no failure of ours.
            if let Err(error) = served {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
}

/// What a path leads to.
enum Found {
    File(OwnedFd),
    /// A list of what is in it.
    Folder(String),
    /// A folder whose name has to end with `/`, else what is in it cannot be named relative to it.
    NoSlash,
}

async fn answer(root: Arc<OwnedFd>, request: Request<Incoming>) -> Response<Body> {
    let path = percent_decode_str(request.uri().path()).collect::<Vec<u8>>();
    tracing::debug!("{} {}", request.method(), request.uri().path());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED);
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let is_page = path.ends_with(b"/") || path.ends_with(b".html");
    let found = tokio::task::spawn_blocking(move || look(&root, &path)).await;
    match found.unwrap_or(Err(Errno::IO)) {
        Ok(Found::File(file)) => {
            // Open already, so that it is the one that was looked at.
            let mut service = ServeFile::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
            match service.try_call(request).await {
                Ok(mut response) => {
                    if is_page && response.headers().contains_key(CONTENT_TYPE) {
                        response.headers_mut().insert(CONTENT_TYPE, html());
                    }
                    response.map(BodyExt::boxed_unsync)
                }
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        Ok(Found::Folder(list)) => {
            let mut response = Response::new(body(list));
            response.headers_mut().insert(CONTENT_TYPE, html());
            response
        }
        Ok(Found::NoSlash) => {
            let mut response = plain(StatusCode::MOVED_PERMANENTLY);
            // Relative to where it was asked for: who asked may know us by another name.
            let name = request.uri().path().rsplit('/').next().unwrap_or_default();
            match HeaderValue::from_str(&format!("./{name}/")) {
                Ok(to) => response.headers_mut().insert(LOCATION, to),
                Err(_) => return plain(StatusCode::NOT_FOUND),
            };
            response
        }
        Err(Errno::ACCESS | Errno::PERM) => plain(StatusCode::FORBIDDEN),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::INVAL) => {
            plain(StatusCode::NOT_FOUND)
        }
        Err(errno) => {
            tracing::debug!("{errno}");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Looks a path up below `root`.
fn look(root: &OwnedFd, path: &[u8]) -> Result<Found, Errno> {
    let below = path.strip_prefix(b"/").unwrap_or(path);
    let found = open(root, if below.is_empty() { b"." } else { below })?;
    match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
        FileType::RegularFile => Ok(Found::File(found)),
        FileType::Directory if !path.ends_with(b"/") => Ok(Found::NoSlash),
        FileType::Directory => match open(&found, b"index.html") {
            Ok(index) if is_file(&index) => Ok(Found::File(index)),
            _ => list(&found).map(Found::Folder),
        },
        // Reading those may do something, or never end.
        _ => Err(Errno::ACCESS),
    }
}

fn open(below: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(below, path, flags, Mode::empty(), confined)
}

fn is_file(file: &OwnedFd) -> bool {
    let mode = rustix::fs::fstat(file).map(|is| is.st_mode);
    mode.is_ok_and(|mode| FileType::from_raw_mode(mode).is_file())
}

/// A page with what is in a folder.
fn list(folder: &OwnedFd) -> Result<String, Errno> {
    let mut lines = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            let end = if entry.file_type().is_dir() { "/" } else { "" };
            let link = utf8_percent_encode(&name, IN_LINK);
            let shown = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            lines.push(format!("<a href=\"./{link}{end}\">{shown}{end}</a>\n"));
        }
    }
    lines.sort_unstable();
    Ok(format!("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<pre>\n{}</pre>\n", lines.concat()))
}

fn html() -> HeaderValue {
    HeaderValue::from_static("text/html; charset=utf-8")
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body(format!("{status}\n")));
    *response.status_mut() = status;
    response
}

fn body(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Ground {
        _dir: tempfile::TempDir,
        server: Server,
        at: std::net::SocketAddr,
    }

    async fn ground() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::create_dir(root.join("site")).unwrap();
        for (path, text) in [
            ("secret", "secret"),
            ("root/plain", "0123456789"),
            ("root/sub/a b&<c>", "odd"),
            ("root/site/index.html", "<p>hello"),
        ] {
            fs::write(dir.path().join(path), text).unwrap();
        }
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
        link("../secret", "out");
        link("..", "up");
        link("/etc", "etc");
        link("plain", "in");
        link("loop", "loop");
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), Mode::RUSR).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = Server::start(listener, &root, std::future::pending()).unwrap();
        Ground { _dir: dir, server, at }
    }

    /// What is answered to a request line and headers, as they are.
    async fn ask(at: std::net::SocketAddr, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let request = format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once(' ').map_or(answer.clone(), |(_, rest)| rest.to_owned())
    }

    #[tokio::test]
    async fn files_parts_of_them_and_folders_are_served() {
        let ground = ground().await;
        let get = async |path: &str| ask(ground.at, &format!("GET {path} HTTP/1.1")).await;
        let whole = get("/plain").await;
        assert!(whole.starts_with("200") && whole.ends_with("\r\n\r\n0123456789"), "{whole}");
        assert!(get("/in").await.ends_with("\r\n\r\n0123456789"), "a link that stays inside");
        let part = get("/plain HTTP/1.1\r\nRange: bytes=2-4\r\nX: ").await;
        assert!(part.starts_with("206") && part.ends_with("\r\n\r\n234"), "{part}");
        let beyond = get("/plain HTTP/1.1\r\nRange: bytes=20-\r\nX: ").await;
        assert!(beyond.starts_with("416"), "{beyond}");
        let head = ask(ground.at, "HEAD /plain HTTP/1.1").await;
        assert!(
            head.starts_with("200") && head.ends_with("\r\n\r\n") && head.contains("content-length: 10"),
            "{head}"
        );
        let moved = get("/sub").await;
        assert!(moved.starts_with("301") && moved.contains("location: ./sub/\r\n"), "{moved}");
        let list = get("/sub/").await;
        assert!(list.contains("<a href=\"./deep/\">deep/</a>"), "{list}");
        assert!(list.contains("<a href=\"./a%20b%26%3Cc%3E\">a b&amp;&lt;c&gt;</a>"), "{list}");
        assert!(get("/sub/a%20b%26%3Cc%3E").await.ends_with("odd"));
        let page = get("/site/").await;
        assert!(page.ends_with("<p>hello") && page.contains("content-type: text/html"), "{page}");
        let posted = ask(ground.at, "POST /plain HTTP/1.1").await;
        assert!(posted.starts_with("405") && posted.contains("allow: GET, HEAD"), "{posted}");
        drop(ground.server);
        tokio::time::timeout(Duration::from_secs(5), async {
            while tokio::net::TcpStream::connect(ground.at).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("it stops when it is dropped");
    }

    #[rstest::rstest]
    #[case("/../secret")]
    #[case("/%2e%2e/secret")]
    #[case("/sub/..%2f../secret")]
    #[case("/..%2fsecret")]
    #[case("/out")]
    #[case("/up/secret")]
    #[case("/etc/passwd")]
    #[case("//etc/passwd")]
    #[case("/loop")]
    #[case("/fifo")]
    #[case("/plain/")]
    #[case("/absent")]
    #[case("/plain%00")]
    #[tokio::test]
    async fn nothing_outside_is_served_and_nothing_hangs(#[case] path: &str) {
        let ground = ground().await;
        let request = format!("GET {path} HTTP/1.1");
        let asked = ask(ground.at, &request);
        let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap();
        assert!(answer.starts_with("404") || answer.starts_with("403"), "{path}: {answer}");
        assert!(!answer.ends_with("secret"), "{path}: {answer}");
    }

    #[tokio::test]
    async fn it_ends_with_what_it_is_part_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let _server = Server::start(listener, Path::new("/"), async { drop(ended.await) }).unwrap();
        assert!(ask(at, "GET / HTTP/1.1").await.starts_with("200"));
        drop(end);
        let gone = async {
            while tokio::net::TcpStream::connect(at).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }
}
