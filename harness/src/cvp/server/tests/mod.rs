//! The portal over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

mod behaviour;
mod machines;
mod refusals;
mod rows;
mod shapes;

/// What was answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A portal without TLS that two devices are in, and the session of somebody.
struct Ground {
    portal: Portal,
    session: String,
}

async fn ground(spec: PortalSpec) -> Ground {
    let devices = DeviceSpec::demo(2);
    let portal = Portal::start(PortalSpec { plain_http: true, devices, ..spec }).await.unwrap();
    let mut ground = Ground { portal, session: String::new() };
    ground.session =
        ground.login(ground.portal.password()).await.json()["sessionId"].as_str().unwrap().to_owned();
    ground
}

impl Ground {
    async fn login(&self, password: &str) -> Answered {
        let body = json!({"userId": self.portal.username(), "password": password}).to_string();
        self.raw("POST", "/web/login/authenticate.do", "", &body).await.unwrap()
    }

    /// Asks, with these lines among the headers; `None` when the connection ends without an answer.
    async fn raw(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<Answered> {
        let mut stream = TcpStream::connect(self.portal.address()).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             {headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answered { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        let header = format!("APP_SESSION_ID: {}\r\n", self.session);
        self.raw(method, path, &header, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await.json()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, &body.to_string()).await.json()
    }

    async fn configlet(&self, name: &str, config: &str) -> String {
        let made = self.post("/web/configlet/addConfiglet.do", json!({"name": name, "config": config})).await;
        made["data"]["key"].as_str().unwrap().to_owned()
    }

    /// Assigns configlets to the first device; returns the task.
    async fn assign(&self, keys: &[&str]) -> String {
        let action = json!({"action": "associate", "nodeType": "configlet", "toId": "00:1c:73:00:00:01",
            "toIdType": "netelement", "configletList": keys, "info": "test"});
        self.post(
            "/web/provisioning/addTempAction.do?format=topology&queryParam=&nodeId=root",
            json!({"data": [action]}),
        )
        .await;
        let saved = self.post("/web/provisioning/v2/saveTopology.do", json!([])).await;
        saved["data"]["taskIds"][0].as_str().unwrap().to_owned()
    }

    /// Executes a task and waits for its end; returns how it is then.
    async fn execute(&self, task: &str) -> Value {
        self.post("/web/task/executeTask.do", json!({"data": [task]})).await;
        for _ in 0..2000 {
            let found = self.get(&format!("/web/task/getTaskById.do?taskId={task}")).await;
            if !matches!(found["workOrderUserDefinedStatus"].as_str(), Some("Pending" | "In-Progress")) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("task {task} does not end");
    }
}

/// Whether every key is there, at the end of a path of keys and numbers.
fn has(value: &Value, at: &str, keys: &str) {
    let part = value.pointer(at).unwrap_or_else(|| panic!("nothing at {at} of {value}"));
    for key in keys.split(' ') {
        assert!(part.get(key).is_some(), "no {key} at {at} of {value}");
    }
}
