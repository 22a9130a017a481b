//! Machines exported and made again from what was exported, on real labs: what was written before is there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use polder::{
    env::{Env, ExportOptions, Host, Progress, Selection, SnapshotOptions},
    image,
    initfile::{self, Options},
    template::{self, Limits, NewImage, Repo, Templates, TemplatesConfig},
    workdir::{Prefix, Workdir},
};

const LIMIT: Duration = Duration::from_secs(60);

const TWO: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}]
    disks:
      - {name: root, type: template, template_name: minimal, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 20M, dev: vdb, format: raw}
      - {name: scratch, type: empty, size: 10M, dev: vdc, format: qcow2, skip-export: true}
    metadata: {note: kept}
  idle:
    memory: 128
    vcpu: 1
    skip-export: true
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}}
";

struct Ground {
    dir: tempfile::TempDir,
    host: Host,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("px").tempdir_in("/var/tmp").unwrap();
        let root = dir.path().join("labs").display().to_string();
        let env = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(root.clone()),
            _ => std::env::var(name).ok(),
        };
        Self { host: Host::from_env(&env).unwrap(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn init(&self, name: &str, file: &Path) -> Env {
        let at = self.path(name);
        let workdir = Workdir::create(&at).unwrap();
        let spec = initfile::load(file, &Options::new(&|_| None)).unwrap().spec;
        let prefix = workdir.add("default").unwrap();
        let locked = prefix.lock("init", LIMIT).await.unwrap();
        Env::init(&self.host, &locked, &spec, &progress()).await.unwrap()
    }

    async fn destroy(&self, env: &Env) {
        let destroyed =
            Env::destroy(&self.host, &Prefix::at(env.folder()), false, &progress()).await.unwrap();
        assert!(destroyed.left.is_empty(), "{destroyed:?}");
    }
}

fn progress() -> Progress {
    Progress::new(|line| eprintln!("{line}"))
}

fn options(to: PathBuf) -> ExportOptions {
    ExportOptions {
        machines: Selection::All,
        to,
        layered: false,
        compress: false,
        pin: false,
        init_file: "LagoInitFile".into(),
        json: false,
        collect_only: false,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sha1sum(path: &Path) -> String {
    let output = Command::new("sha1sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

const FILES: [&str; 11] = [
    "LagoInitFile",
    "web+.initrd",
    "web+.initrd.hash",
    "web+.kernel",
    "web+.kernel.hash",
    "web+data.raw",
    "web+data.raw.hash",
    "web+data.raw.metadata",
    "web+root.qcow2",
    "web+root.qcow2.hash",
    "web+root.qcow2.metadata",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_in_an_export_and_comes_back() {
    let ground = Ground::new();
    fs::write(ground.path("two.yaml"), TWO).unwrap();
    let env = ground.init("first", &ground.path("two.yaml")).await;
    let only = Selection::Named(vec!["web".into()]);
    env.start(&only, &progress()).await.unwrap();
    env.wait_ready(&only, &progress()).await.unwrap();
    let web = env.vm("web").unwrap();
    web.succeed("echo one >/one; echo data >/dev/vdb; sync").await.unwrap();
    let snapshot = SnapshotOptions { machines: only.clone(), ..SnapshotOptions::default() };
    env.snapshot("between", &snapshot, &progress()).await.unwrap();
    web.succeed("echo two >/two; sync").await.unwrap();

    let out = ground.path("out");
    let error = env.export(&options(out.clone()), &progress()).await.unwrap_err();
    assert!(error.to_string().starts_with("machines that run cannot be exported: web;"), "{error}");
    env.stop(&Selection::All, &progress()).await.unwrap();
    let error = env.export(&ExportOptions { layered: true, ..options(out.clone()) }, &progress()).await;
    assert!(
        error.unwrap_err().to_string().contains("made from the image `minimal`, which no repository has")
    );
    assert!(!out.exists(), "nothing is left of what failed");

    let asked = ExportOptions { collect_only: true, ..options(out.clone()) };
    let listed = env.export(&asked, &progress()).await.unwrap();
    assert!(!out.exists(), "only told");
    let exported = env.export(&options(out.clone()), &progress()).await.unwrap();
    assert_eq!(exported, listed);
    assert_eq!(exported.machines["web"], [out.join("web+root.qcow2"), out.join("web+data.raw")]);
    assert_eq!(names(&out), FILES);
    for image in &exported.machines["web"] {
        let hash = fs::read_to_string(format!("{}.hash", image.display())).unwrap();
        assert_eq!(hash, sha1sum(image));
        let metadata = fs::read_to_string(format!("{}.metadata", image.display())).unwrap();
        let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        assert_eq!(metadata["sha1"], hash);
        assert!(metadata["version"].as_str().unwrap().ends_with(".0"), "{metadata}");
    }

    let before = fs::read(out.join("LagoInitFile")).unwrap();
    let error = env.export(&ExportOptions { pin: true, ..options(out.clone()) }, &progress()).await;
    let error = error.unwrap_err().to_string();
    for name in FILES {
        assert!(error.contains(&format!("{} is there already", out.join(name).display())), "{error}");
    }
    assert_eq!((fs::read(out.join("LagoInitFile")).unwrap(), names(&out).len()), (before, FILES.len()));

    // Compressed, and with its addresses.
    let packed = ground.path("packed");
    let more = ExportOptions { compress: true, pin: true, json: true, ..options(packed.clone()) };
    env.export(&more, &progress()).await.unwrap();
    let unpacked = Command::new("xz").arg("-dk").arg(packed.join("web+root.qcow2.xz")).status().unwrap();
    assert!(unpacked.success());
    let hash = fs::read_to_string(packed.join("web+root.qcow2.hash")).unwrap();
    assert_eq!(hash, sha1sum(&packed.join("web+root.qcow2")));
    let pinned: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(packed.join("LagoInitFile")).unwrap()).unwrap();
    let ip = web.ip().unwrap().to_string();
    assert_eq!(pinned["domains"]["web"]["nics"][0]["ip"], ip.as_str());
    assert!(pinned["nets"]["front"]["gw"].is_string());
    ground.destroy(&env).await;

    // As it is, compressed.
    fs::remove_file(packed.join("web+root.qcow2")).unwrap();
    let env = ground.init("unpacked", &packed.join("LagoInitFile")).await;
    let unpacked = names(env.folder()).into_iter().find(|name| name.ends_with("-web_root.qcow2")).unwrap();
    assert_eq!(sha1sum(&env.folder().join(unpacked)), hash);
    ground.destroy(&env).await;

    // Moved, and made again.
    let moved = ground.path("moved");
    fs::rename(&out, &moved).unwrap();
    let again = ground.init("second", &moved.join("LagoInitFile")).await;
    assert_eq!(again.vms().len(), 1);
    again.start(&Selection::All, &progress()).await.unwrap();
    again.wait_ready(&Selection::All, &progress()).await.unwrap();
    let web = again.vm("web").unwrap();
    assert_eq!(
        web.succeed("cat /one /two; head -n 1 /dev/vdb; hostname").await.unwrap(),
        "one\ntwo\ndata\nweb\n"
    );
    web.succeed("test ! -e /dev/vdc").await.unwrap();
    again.stop(&Selection::All, &progress()).await.unwrap();

    // What was exported once is exported again.
    let twice = ground.path("twice");
    again.export(&options(twice.clone()), &progress()).await.unwrap();
    assert_eq!(names(&twice), FILES);
    assert_eq!(
        fs::read_to_string(twice.join("LagoInitFile")).unwrap(),
        fs::read_to_string(moved.join("LagoInitFile")).unwrap()
    );
    ground.destroy(&again).await;
}

/// Lies on a template, which is like our smallest image.
const LAYERED: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: tiny, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}}
";

#[tokio::test(flavor = "multi_thread")]
async fn layered_exports_lie_on_their_templates() {
    let mut ground = Ground::new();
    let minimal = image::recipe("minimal").unwrap();
    let minimal = ground.host.images.ensure(minimal, &ground.host.lab, &|_| {}).await.unwrap();
    let config = TemplatesConfig {
        repo: Some(Repo::Named("local".into())),
        repos: ground.path("repos"),
        store: ground.path("store"),
        limits: Limits::default(),
    };
    let templates = Templates::new(config, |_| None, template::Progress::new(|event| eprintln!("{event}")));
    let tiny = NewImage {
        image: minimal.dir.join(&minimal.disk),
        repo: "local".into(),
        template: "tiny".into(),
        version: None,
        metadata: serde_json::json!({"polder-image": "minimal"}).as_object().unwrap().clone(),
    };
    templates.add(&tiny).await.unwrap();
    ground.host.templates = templates;

    fs::write(ground.path("layered.yaml"), LAYERED).unwrap();
    let env = ground.init("first", &ground.path("layered.yaml")).await;
    env.start(&Selection::All, &progress()).await.unwrap();
    env.wait_ready(&Selection::All, &progress()).await.unwrap();
    env.vm("web").unwrap().succeed("echo one >/one; sync").await.unwrap();
    let snapshot = SnapshotOptions::default();
    env.snapshot("between", &snapshot, &progress()).await.unwrap();
    env.vm("web").unwrap().succeed("echo two >/two; sync").await.unwrap();
    env.stop(&Selection::All, &progress()).await.unwrap();
    let (thick, thin) = (ground.path("thick"), ground.path("thin"));
    env.export(&options(thick.clone()), &progress()).await.unwrap();
    env.export(&ExportOptions { layered: true, ..options(thin.clone()) }, &progress()).await.unwrap();
    ground.destroy(&env).await;

    let size = |folder: &Path| fs::metadata(folder.join("web+root.qcow2")).unwrap().len();
    assert!(size(&thin) < size(&thick), "{} < {}", size(&thin), size(&thick));
    let metadata = fs::read_to_string(thin.join("web+root.qcow2.metadata")).unwrap();
    assert!(metadata.contains("\"base\": \"tiny:1\""), "{metadata}");
    // As on another host: the store is empty.
    fs::remove_dir_all(ground.path("store")).unwrap();
    for (name, folder) in [("second", &thick), ("third", &thin)] {
        let again = ground.init(name, &folder.join("LagoInitFile")).await;
        again.start(&Selection::All, &progress()).await.unwrap();
        again.wait_ready(&Selection::All, &progress()).await.unwrap();
        let found = again.vm("web").unwrap().succeed("cat /one /two").await.unwrap();
        assert_eq!(found, "one\ntwo\n", "{name}");
        if folder == &thin {
            again.stop(&Selection::All, &progress()).await.unwrap();
            let thinner = ground.path("thinner");
            let layered = ExportOptions { layered: true, ..options(thinner.clone()) };
            again.export(&layered, &progress()).await.unwrap();
            assert!(size(&thinner) < size(&thick), "it lies on the template again");
            let info =
                Command::new("qemu-img").args(["info", "-U"]).arg(thinner.join("web+root.qcow2")).output();
            let info = String::from_utf8(info.unwrap().stdout).unwrap();
            assert!(info.contains("backing file: ./tiny:1"), "{info}");
        }
        ground.destroy(&again).await;
    }
    let store = fs::read_dir(ground.path("store")).unwrap();
    assert!(store.flatten().any(|entry| entry.file_name() == "local:tiny:1"), "fetched for the thin one");
}
