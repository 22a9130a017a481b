//! A server that answers as it is told, beside the real portal: for what no portal does on demand, and for the bodies of
//! versions that are not imitated.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cvp::{Client, CvpSpec, Limits, Login, Node};

/// What came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
}

/// What goes back.
pub(super) enum Reply {
    Body(u16, String),
    /// Nothing, ever.
    Hang,
    /// The connection is closed instead.
    Cut,
}

pub(super) fn ok(value: &Value) -> Reply {
    Reply::Body(200, value.to_string())
}

pub(super) fn error(code: &str, text: &str) -> Reply {
    ok(&json!({ "errorCode": code, "errorMessage": text }))
}

type Answer = dyn Fn(&Came) -> Reply + Send + Sync;

/// A node.
pub(super) struct Server {
    pub(super) node: Node,
    came: Arc<Mutex<Vec<Came>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn new(answer: impl Fn(&Came) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Node::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let (answer, noted): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&came));
        let task = tokio::spawn(async move {
            // They end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                connections.spawn(async move {
                    let service =
                        service_fn(move |request| serve(request, Arc::clone(&answer), Arc::clone(&noted)));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { node, came, task }
    }

    /// What came to paths that end with `path`.
    pub(super) fn came(&self, path: &str) -> Vec<Came> {
        self.came.lock().unwrap().iter().filter(|came| came.path.ends_with(path)).cloned().collect()
    }
}

async fn serve(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    noted: Arc<Mutex<Vec<Came>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let url = reqwest::Url::parse(&format!("http://x{}", request.uri())).unwrap();
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let came = Came {
        method: head.method.to_string(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    noted.lock().unwrap().push(came.clone());
    match answer(&came) {
        Reply::Body(status, body) => {
            Ok(Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap())
        }
        Reply::Hang => std::future::pending().await,
        Reply::Cut => Err(std::io::Error::other("cut")),
    }
}

/// Lets in who knows the password or the token, and answers the rest by `answer`.
pub(super) fn portal(
    version: &'static str,
    answer: impl Fn(&Came) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Came) -> Reply + Send + Sync + 'static {
    let sessions = Mutex::new(0);
    move |came| match came.path.as_str() {
        "/web/login/authenticate.do" if came.body == json!({ "userId": "ada", "password": "hunter2" }) => {
            let mut sessions = sessions.lock().unwrap();
            *sessions += 1;
            ok(&json!({ "sessionId": format!("s{sessions}"), "username": "ada" }))
        }
        "/web/login/authenticate.do" => {
            Reply::Body(401, r#"{"errorCode":"112955","errorMessage":"Invalid credentials"}"#.into())
        }
        "/web/login/logout.do" => ok(&json!({ "data": "success" })),
        "/api/v1/rest/" if came.headers.get("authorization").is_some_and(|token| token == "Bearer t0p") => {
            ok(&json!({}))
        }
        "/api/v1/rest/" => Reply::Body(401, r#"{"code":16,"message":"token expired"}"#.into()),
        "/web/cvpInfo/getCvpInfo.do" => ok(&json!({ "version": version })),
        _ => answer(came),
    }
}

pub(super) fn spec(nodes: &[&Server]) -> CvpSpec {
    let nodes: Vec<Node> = nodes.iter().map(|server| server.node.clone()).collect();
    let login = Login::Password { user: "ada".into(), password: "hunter2".into() };
    let mut spec = CvpSpec::new(nodes[0].clone(), login);
    spec.nodes = nodes;
    let second = std::time::Duration::from_secs(1);
    spec.limits = Limits {
        connect: second * 5,
        login: second * 5,
        answer: second * 20,
        slow_answer: second * 20,
        attempts: 3,
    };
    spec
}

pub(super) fn client(nodes: &[&Server]) -> Client {
    Client::new(spec(nodes), None).unwrap()
}
