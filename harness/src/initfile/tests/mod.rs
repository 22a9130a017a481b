//! Whole init files: what good ones become, and what is said of bad ones (`malformed.txt`).

use std::{fs, io, path::Path};

use super::{
    EnvSpec, InitFileError, Options, Surroundings, load, parse,
    spec::{DhcpRange, DiskFormat, DiskSource, NetKind},
};

fn read(text: &str) -> Result<EnvSpec, InitFileError> {
    let env = |name: &str| (name == "ISOS").then(|| "/isos".to_owned());
    let check_file = |path: &Path| match path.to_string_lossy() {
        p if p.contains("missing") => Err(io::Error::from(io::ErrorKind::NotFound)),
        p if p.contains("secret") => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        _ => Ok(()),
    };
    let surroundings = Surroundings {
        options: Options::new(&env),
        folder: Path::new("/lab"),
        check_file: &check_file,
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    parse(Path::new("lab.yaml"), text, &surroundings).map(|loaded| loaded.spec)
}

/// `line:column code >offending text< message; help`, one line for each problem.
fn problems(text: &str) -> String {
    match read(text) {
        Ok(spec) => panic!("nothing found wrong with:\n{text}\n{spec:#?}"),
        Err(InitFileError::Unreadable { .. }) => unreachable!("nothing is read"),
        Err(InitFileError::Invalid(all)) => {
            let line = |d: super::Diagnostic| {
                let help = d.help.map(|h| format!("; {h}")).unwrap_or_default();
                format!("{}:{} {} >{}< {}{help}\n", d.line, d.column, d.code, d.text, d.message)
            };
            all.into_iter().map(line).collect()
        }
    }
}

#[test]
fn malformed_files_say_what_is_wrong_and_where() {
    let mut wrong = String::new();
    let cases = include_str!("malformed.txt").split("\n=== ").skip(1);
    let mut count = 0;
    for case in cases {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once(">>>\n").unwrap();
        let got = problems(&text.replace("<TAB>", "\t"));
        if got.trim_end() != expected.trim_end() {
            wrong.push_str(&format!("\n=== {title}\n{text}>>>\n{got}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "these came out otherwise:\n{wrong}");
    assert!(count >= 50, "only {count} cases");
}

#[test]
fn lagos_smallest_file_means_what_lago_means() {
    let spec = read(
        "domains:
  box:
    memory: 512
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: tiny, dev: vda, format: qcow2}
nets:
  lan:
    type: nat
    dhcp: {start: 100, end: 254}
    management: true
",
    )
    .unwrap();
    let [machine] = spec.machines.as_slice() else { panic!("{spec:?}") };
    assert_eq!((machine.memory_mib, machine.vcpus), (512, 1));
    assert_eq!((machine.at.line, machine.at.column), (2, 3));
    let [disk] = machine.disks.as_slice() else { panic!("{machine:?}") };
    assert_eq!(disk.source, DiskSource::Template { name: "tiny".to_owned(), version: None });
    assert_eq!((disk.at.line, disk.at.column), (6, 53));
    let [net] = spec.nets.as_slice() else { panic!("{spec:?}") };
    assert_eq!(net.kind, NetKind::Nat);
    assert_eq!(net.dhcp, Some(DhcpRange { start: 100, end: 254 }));
    assert_eq!(net.dns_domain.as_deref(), Some("lago.local"));
}

/// Anchors, merge keys, JSON values, both notations of numbers and booleans, ignored keys, all in one.
#[test]
fn a_file_with_every_freedom_is_read() {
    let spec = read(
        "\u{feff}x-common: &vm
  memory: '1024'
  artifacts: [/var/log]
  metadata: {a: 1, b: [yes, true, ~, '2', 1.5], c: {d: TRUE}}
x-more: &more {memory: 2048, vcpu: '2'}
comment: whatever
domains:
  r1:
    <<: [*vm, *more]
    groups: [routers, 7]
    nics: [{net: front, ip: 10.0.0.9}, {net: back}, {net: back, comment: bond}]
    disks:
    - {name: root, type: template, template_name: t, template_type: lago, dev: vda, format: qcow2}
    - {name: data, type: empty, size: 20G, dev: sda, format: raw, x-why: exported}
    - {name: tools, type: file, path: $ISOS/a.iso, dev: hdc, format: iso}
    - {name: more, type: file, path: '${LAGO_INITFILE_PATH}/b.raw', dev: vdb, format: raw}
    - {name: rel, type: file, path: sub/c.qcow2, dev: vdc, format: qcow2}
  R2: {}
nets:
  back: {type: isolated, mtu: '9000'}
  front: {management: yes, dns_domain_name: Suite.Test, dns_records: {Mirror: 192.168.200.1}}
",
    )
    .unwrap();
    let r1 = &spec.machines[0];
    assert_eq!((r1.memory_mib, r1.vcpus), (1024, 2), "the first merged mapping wins");
    assert_eq!(r1.groups, ["routers", "7"]);
    assert_eq!(r1.artifacts, ["/var/log"]);
    assert_eq!(
        serde_json::to_string(&r1.metadata).unwrap(),
        r#"{"a":1,"b":["yes",true,null,"2",1.5],"c":{"d":true}}"#
    );
    let paths: Vec<&str> = r1
        .disks
        .iter()
        .filter_map(|d| match &d.source {
            DiskSource::File { path: Some(path), .. } => path.to_str(),
            _ => None,
        })
        .collect();
    assert_eq!(paths, ["/isos/a.iso", "/lab/b.raw", "/lab/sub/c.qcow2"]);
    assert_eq!(r1.disks[1].source, DiskSource::Empty { size: 20 << 30 });
    assert_eq!(r1.disks[2].format, DiskFormat::Iso);
    assert_eq!(r1.nics.len(), 3);
    assert_eq!((spec.machines[1].memory_mib, spec.machines[1].nics.len()), (512, 0), "defaults");
    let (back, front) = (&spec.nets[0], &spec.nets[1]);
    assert_eq!((back.kind, back.management, back.mtu), (NetKind::Isolated, false, Some(9000)));
    assert_eq!((back.dns_domain.as_deref(), front.dns_domain.as_deref()), (None, Some("suite.test")));
    assert_eq!(front.dns_records["mirror"].to_string(), "192.168.200.1");
}

#[test]
fn json_is_read_too() {
    let spec = read("{\n\t\"nets\": {\"b\": {}, \"a\": {\"management\": false}},\n\t\"domains\": {\"vm\": {\"nics\": [{\"net\": \"a\"}]}}\n}\n").unwrap();
    assert!(!spec.nets[0].management);
    assert!(spec.nets[1].management, "unmarked nets: the first by name");
}

#[test]
fn a_problem_is_shown_under_its_line() {
    let error = read("domains:\n  bäx: {}\n  b: {memroy: 5}\nnets: {lan: {}}\n").unwrap_err();
    insta::assert_snapshot!(error.render(false), @r"
    init::bad-name

      × the machine's name is not usable: `bäx` contains 'ä'; letters, digits, `-`, `_` and `.` are allowed, beginning with a letter or digit
       ╭─[lab.yaml:2:3]
     1 │ domains:
     2 │   bäx: {}
       ·   ───
     3 │   b: {memroy: 5}
       ╰────
    init::unknown-key

      × a domain has no key `memroy`
       ╭─[lab.yaml:3:7]
     2 │   bäx: {}
     3 │   b: {memroy: 5}
       ·       ──────
     4 │ nets: {lan: {}}
       ╰────
      help: did you mean `memory`?
    ");
    insta::assert_snapshot!(error, @r"
    lab.yaml:2:3: the machine's name is not usable: `bäx` contains 'ä'; letters, digits, `-`, `_` and `.` are allowed, beginning with a letter or digit
    lab.yaml:3:7: a domain has no key `memroy`; did you mean `memory`?
    ");
}

#[test]
fn files_are_looked_at_for_real() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), "x").unwrap();
    let file = folder.path().join("lab.yaml");
    let text = |path: &str| {
        format!(
            "nets: {{n: {{}}}}\ndomains: {{a: {{disks: [{{name: d, type: file, path: {path}, dev: vda, format: raw}}]}}}}\n"
        )
    };
    let no_env = |_: &str| None;
    fs::write(&file, text("disk.raw")).unwrap();
    let spec = load(&file, &Options::new(&no_env)).unwrap().spec;
    assert_eq!(
        spec.machines[0].disks[0].source,
        DiskSource::File { path: Some(folder.path().join("disk.raw")), url: None, copy: false }
    );

    for (path, expected) in [("nope.raw", "No such file"), (".", "directory")] {
        fs::write(&file, text(path)).unwrap();
        let message = load(&file, &Options::new(&no_env)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(":2:"), "{message}");
    }
    let error = load(&folder.path().join("none.yaml"), &Options::new(&no_env)).unwrap_err();
    assert!(matches!(error, InitFileError::Unreadable { .. }), "{error}");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(matches!(load(&file, &Options::new(&no_env)), Err(InitFileError::Unreadable { .. })));
}

mod hostile {
    use proptest::prelude::*;

    use super::{super::InitFileError, read};

    proptest! {
        /// Nonsense gets an answer with at least one problem, never a panic.
        #[test]
        fn any_text_is_answered(text in "[-a-z0-9 :,{}\\[\\]&*!|>'\"%#\n\t<~é]{0,80}") {
            if let Err(InitFileError::Invalid(problems)) = read(&text) {
                prop_assert!(!problems.is_empty());
            }
        }
    }

    #[test]
    fn nested_aliases_and_deep_nesting_end_early() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            laughs += &format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(", "));
        }
        assert!(read(&laughs).unwrap_err().to_string().contains("stand for more than"));
        let deep = "[".repeat(100);
        assert!(read(&deep).unwrap_err().to_string().contains("nest deeper"));
        for hostile in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
            assert!(read(&hostile).is_err());
        }
    }
}
