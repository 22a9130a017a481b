//! Rows of the contract of changes that need the other end to be real: a program in a terminal (18 to 24, 33, 61 to 64) and a
//! server (65 to 67). The other rows are in `change::tests::contract`.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{http::server, *};
use crate::change::{Head, Report, Runner, State};

/// A device that is talked to: keeps what is `set` in a file, and tells it when it is asked to `show`.
const DEVICE: &str = r#"
stty -echo
while printf 'ready> ' && read -r line; do
  case $line in
    set*) echo "${line#set }" >>"$1"; echo done ;;
    show) cat "$1"; echo shown ;;
    slow) printf hel; sleep 0.2; printf 'lo\n' ;;
    much) echo one two three; echo four ;;
  esac
done
"#;

/// Runs a file of changes with a driver of this kind for its only device.
async fn ran(folder: &Path, driver: &str, rest: &str) -> Report {
    let text = format!("version: 1\ndevices: {{ sw1: {{}} }}\ndrivers: {{ it: {{ {driver} }} }}\n{rest}");
    let read = |path: &Path| fs::read_to_string(path);
    let loaded = change::parse(Path::new("lab.yaml"), folder, &text, &Vars::new(), &read);
    let changes = loaded.unwrap_or_else(|error| panic!("{error}\n{text}")).changes;
    let plan = Arc::new(change::plan(&changes, &Vars::new()).unwrap());
    let head = Head::new(plan.digest()).unwrap();
    let runner = Runner::new(plan, drivers(&changes, &outside(&[])).unwrap());
    runner.run(&folder.join("run"), head).await.unwrap()
}

/// The same for one step with these keys, on a device that is talked to; what is set on it in the end.
async fn talked(keys: &str) -> (Report, String) {
    let dir = tempfile::tempdir().unwrap();
    let (device, kept) = (dir.path().join("device.sh"), dir.path().join("kept"));
    fs::write(&device, DEVICE).unwrap();
    fs::write(&kept, "").unwrap();
    let driver = format!("kind: session, argv: [sh, '{}', '{}']", device.display(), kept.display());
    let rest = format!(
        "matrices: {{ m: {{ rows: [ {{p: a}}, {{p: b}} ] }} }}\nscenario:\n  name: all\n  nodes:\n    \
         - {{ step: one, targets: all, {keys} }}\n"
    );
    let report = ran(dir.path(), &driver, &rest).await;
    (report, fs::read_to_string(&kept).unwrap().replace('\n', " "))
}

const PRECHECK: &str = "precheck: { exchanges: [ { expect: 'ready> $', send: show }, { expect: shown } ] }";
// What came in the phase before and was not waited for is still there.
const APPLY: &str = "apply: { exchanges: [ { expect: 'ready> ', send: set x }, { expect: 'done' } ] }";
const VERIFY: &str = "verify: { exchanges: [ { expect: 'ready> ', send: show }, { expect: 'x\\s+shown' } ] }";

#[rstest::rstest]
#[case::row_61(&[PRECHECK], "")]
#[case::row_62(&[APPLY], "x ")]
#[case::row_63(&[PRECHECK, APPLY], "x ")]
#[case::row_64(&[PRECHECK, APPLY, VERIFY], "x ")]
// Everything is waited for where it comes: at once, in pieces, several things in one piece, and more than that.
#[case::row_19(&["apply: { exchanges: [ { expect: 'ready> ', send: much }, { expect: 'two' } ] }"], "")]
#[case::row_20(&["apply: { exchanges: [ { expect: 'ready> ', send: slow }, { expect: 'hello' } ] }"], "")]
#[case::row_21(&["apply: { exchanges: [ { expect: 'ready> ', send: much }, { expect: 'one' }, { expect: 'three' } ] }"], "")]
#[case::row_22(&["apply: { exchanges: [ { expect: 'ready> ', send: much }, { expect: 'one' } ] }"], "")]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_a_terminal(#[case] phases: &[&str], #[case] kept: &str) {
    let (report, is) = talked(&phases.join(", ")).await;
    assert_eq!((report.state, is.as_str()), (State::Success, kept), "{report:?}");
}

/// Nobody waits for an answer to what is sent last; the next change sees what came of it.
#[rstest::rstest]
#[case::row_23("{ send: set x }", "x ")]
#[case::row_24("{ send: set x }, { send: set y }, { send: set z }", "x y z ")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_without_waiting(#[case] exchanges: &str, #[case] kept: &str) {
    let count = exchanges.matches("set").count();
    let shown = "{ expect: 'done\\s+ready> ' }, ".repeat(count);
    let verify = format!("verify: {{ exchanges: [ {} ] }}", shown.trim_end_matches(", "));
    let (report, is) = talked(&format!("apply: {{ exchanges: [ {exchanges} ] }}, {verify}")).await;
    assert_eq!((report.state, is.as_str()), (State::Success, kept), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_a_text_is_waited_for_as_long_as_it_says() {
    let start = Instant::now();
    let (report, _) = talked("precheck: { exchanges: [ { expect: never, timeout: 300ms } ] }").await;
    // The default would be minutes.
    assert!((Duration::from_millis(300)..Duration::from_secs(60)).contains(&start.elapsed()));
    assert_eq!(report.state, State::TotalFailure);
    assert_eq!(report.steps[0].devices[0].why, ["sw1 took too long: `never` did not come"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_33_a_change_runs_once_for_each_row() {
    let apply = "apply: { exchanges: [ { expect: 'ready> ', send: 'set %(p)s' }, { expect: done } ] }";
    let (report, kept) = talked(&format!("matrix: m, {apply}")).await;
    assert_eq!((report.state, kept.as_str()), (State::Success, "a b "), "{report:?}");
}

/// Requests to an interface of XML, with a pause before each.
#[rstest::rstest]
#[case::row_65(&["volume-list"], 0)]
#[case::row_66(&["volume-list"], 150)]
#[case::row_67(&["volume-list", "volume-offline", "volume-destroy"], 150)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server(#[case] requests: &[&str], #[case] pause: u64) {
    let times = Arc::new(Mutex::new(vec![Instant::now()]));
    let noted = Arc::clone(&times);
    let (port, told) = server(move |_| {
        noted.lock().unwrap().push(Instant::now());
        Some((200, "<netapp><results status='passed'/></netapp>".to_owned()))
    });
    let rows: Vec<String> = requests.iter().map(|request| format!("{{ r: {request} }}")).collect();
    let rest = format!(
        "matrices: {{ m: {{ delay: {pause}ms, rows: [ {} ] }} }}\nscenario:\n  name: all\n  nodes:\n    \
         - {{ step: one, matrix: m, targets: all, apply: {{ exchanges: [ {{ send: '<netapp><%(r)s/></netapp>' }} ], \
         checks: [ \"results.status == 'passed'\" ] }} }}\n",
        rows.join(", ")
    );
    let dir = tempfile::tempdir().unwrap();
    let report =
        ran(dir.path(), &format!("kind: http, url: 'http://127.0.0.1:{port}/servlets'"), &rest).await;
    assert_eq!(report.state, State::Success, "{report:?}");
    let told = told.lock().unwrap();
    assert_eq!(told.len(), requests.len());
    for (told, request) in told.iter().zip(requests) {
        assert!(told.ends_with(&format!("<netapp><{request}/></netapp>")), "{told}");
    }
    for pair in times.lock().unwrap().windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(pause), "{pair:?}");
    }
}
