//! The sockets: connections are taken, requests read whole and answered, until it is over.

use std::{io, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderValue,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    engine::Engine,
    faults::{self, Fault},
    routes::{Answer, Request},
};

/// Before the next one is taken after a connection that could not be.
const BREATH: Duration = Duration::from_millis(50);
/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What every connection has.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) engine: Arc<Engine>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) body_limit: usize,
    /// Becomes true when no more requests are taken.
    pub(super) over: watch::Receiver<bool>,
}

/// Takes connections until it is over and the last request is answered.
pub(super) async fn serve(listener: TcpListener, serving: Serving) {
    let mut connections = JoinSet::new();
    let mut over = serving.over.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, serving.clone()));
            }
            Err(error) => {
                tracing::debug!("a connection could not be taken: {error}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, serving: Serving) {
    // Answers are written as a whole: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let done = match serving.tls.clone() {
        None => requests(stream, serving, false).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, serving, true).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no keys were agreed on in time".to_owned()),
        },
    };
    // One that went away is no failure of ours.
    if let Err(error) = done {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn requests<S>(stream: S, serving: Serving, is_secret: bool) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut over = serving.over.clone();
    let service = service_fn(|request| {
        let serving = serving.clone();
        async move { one(request, serving, is_secret).await }
    });
    // Head and body of an answer in one write: some clients take what is between for a broken connection.
    let connection = http1::Builder::new().writev(false).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = async move { drop(over.wait_for(|over| *over).await) };
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ended => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(|error| error.to_string())
}

async fn one(
    request: hyper::Request<Incoming>,
    serving: Serving,
    is_secret: bool,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let lost = || io::Error::new(io::ErrorKind::ConnectionAborted, "dropped on demand");
    let (latency, fault) = serving.engine.faults.take(head.uri.path());
    // The shortest sleep is a millisecond.
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match fault {
        Some(Fault::Dropped) => return Err(lost()),
        Some(Fault::Late(by)) => tokio::time::sleep(by).await,
        _ => {}
    }
    let body = match Limited::new(body, serving.body_limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Ok(response(Answer::too_large(), true)),
        Err(error) => return Err(io::Error::other(error)),
    };
    if let Some(Fault::Status(status)) = fault {
        let (status, page) = faults::page(status);
        return Ok(response(Answer::made_up(status, "text/html", page), false));
    }
    let request = Request::new(head.method, &head.uri, &head.headers, body, is_secret);
    let mut answer = serving.engine.answer(&request).await;
    match fault {
        Some(Fault::Lost) => return Err(lost()),
        Some(Fault::Truncated) => answer.body = answer.body.slice(..answer.body.len() / 2),
        _ => {}
    }
    Ok(response(answer, false))
}

fn response(answer: Answer, close: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    for (name, value) in answer.headers {
        match HeaderValue::from_str(&value) {
            Ok(value) => {
                response.headers_mut().append(name, value);
            }
            Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
    if close {
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    }
    response
}
