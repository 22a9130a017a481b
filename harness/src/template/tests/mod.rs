//! Templates from end to end: a real server on the loopback, real images, real `qemu-img`, processes really killed.

pub(crate) mod archives;
mod chains;
mod downloads;
mod killed;
mod local;
pub(crate) mod server;
mod storing;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use sha1::Digest;

use super::*;
use server::{How, Server};

/// A store, repositories and what is told, in a folder of the test's own.
struct World {
    dir: tempfile::TempDir,
    notes: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), notes: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, folders included.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn config(&self, repo: Option<Repo>) -> TemplatesConfig {
        TemplatesConfig { repo, repos: self.path("repos"), store: self.path("store"), limits: limits() }
    }

    fn with(&self, config: TemplatesConfig) -> Templates {
        let notes = Arc::clone(&self.notes);
        let progress = Progress::new(move |event| notes.lock().unwrap().push(event.to_string()));
        let root = self.dir.path().display().to_string();
        Templates::new(config, move |name| (name == "ROOT").then(|| root.clone()), progress)
    }

    fn at(&self, repo: impl AsRef<Path>) -> Templates {
        self.with(self.config(Some(Repo::At(repo.as_ref().to_string_lossy().into_owned()))))
    }

    fn told(&self, text: &str) -> bool {
        self.notes.lock().unwrap().iter().any(|note| note.contains(text))
    }

    /// Names in the store, sorted, locks aside.
    fn stored(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("store")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter(|name| !name.ends_with(".lock") && !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// A folder that looks like a living prefix.
    fn prefix(&self, name: &str) -> User {
        let uuid = format!("uuid-of-{name}");
        User { uuid_path: self.write(&format!("{name}/uuid"), &uuid), uuid }
    }
}

/// Short, so that misbehaviour does not take long.
fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(700),
        total: Duration::from_secs(60),
        attempts: 3,
        pause: Duration::from_millis(10),
    }
}

pub(crate) fn sha1(bytes: &[u8]) -> String {
    files::hex(&sha1::Sha1::digest(bytes))
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn qemu_img(args: &[&str]) {
    let output = Command::new("qemu-img").args(args).output().unwrap();
    assert!(output.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Content for a disk: `seed` tells it from others; some of it is zeros.
pub(crate) fn content(seed: u8, size: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut bytes = vec![0; size];
    for (at, byte) in bytes.iter_mut().enumerate() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if (at / 65_536) % 3 != 1 {
            *byte = (state >> 24) as u8;
        }
    }
    bytes
}

/// A qcow2 image of this content, as bytes.
pub(crate) fn qcow2(content: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (raw, image) = (dir.path().join("raw"), dir.path().join("image"));
    fs::write(&raw, content).unwrap();
    let (raw, name) = (raw.to_str().unwrap(), image.to_str().unwrap());
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", raw, name]);
    fs::read(image).unwrap()
}

/// A manifest with one source, `web`, and versions (template, version, handle, timestamp).
fn manifest(kind: &str, root: &str, versions: &[(&str, &str, &str, f64)]) -> String {
    let key = if kind == "http" { "baseurl" } else { "root" };
    let mut templates = json!({});
    for (template, version, handle, timestamp) in versions {
        templates[*template]["versions"][*version] =
            json!({"source": "web", "handle": handle, "timestamp": timestamp});
    }
    json!({"name": "corp", "sources": {"web": {"type": kind, "args": {key: root}}}, "templates": templates})
        .to_string()
}

/// A server with one template, `el` in version `v1`, whose image is `body` as it is sent.
pub(crate) async fn one_image(handle: &str, hash_of: &[u8], body: &[u8], how: &[How]) -> Server {
    let server = Server::start().await;
    let manifest = manifest("http", &server.url("/images"), &[("el", "v1", "el.qcow2", 1.0)]);
    server.put("/repo.metadata", manifest, &[]);
    server.put(&format!("/images/{handle}"), body, how);
    server.put(&format!("/images/{handle}.hash"), format!("{}\n", sha1(hash_of)), &[]);
    server.put(
        &format!("/images/{handle}.metadata"),
        r#"{"distro": "el7", "root-partition": "/dev/sda3"}"#,
        &[],
    );
    server
}

/// The error and its causes, in one line.
fn told(error: &TemplateError) -> String {
    repos::with_causes(error)
}
