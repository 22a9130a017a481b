//! Streams of commands: scripts that become files, input and output as they come, and more of it than fits into memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Each of the two outputs has more than 100 MB.
const LINES: u64 = 12_346_000;

#[tokio::test]
async fn a_script_is_a_file_of_the_guest_while_it_runs() {
    let rig = rig!();
    let guest = rig.guest();
    let text = "#!/bin/sh -e\necho \"$0 $# $1 $V\"; pwd; cat; false\necho not reached\n";
    let script = Command::upload(text).arg("a  'b'").env("V", "v").cwd("/usr").stdin("in");
    let output = guest.execute(&script).await.unwrap();
    let said = output.stdout.text().into_owned();
    let (path, rest) = said.split_once(' ').unwrap();
    assert_eq!((rest, output.status), ("1 a  'b' v\n/usr\nin", Status::Code(1)));
    assert!(path.starts_with("/tmp/.polder-") && !Path::new(path).exists(), "{path}");
    // Without a word about who is to run it; ended by a signal, by its deadline, and by being dropped.
    let plain = Command::upload("echo $0 >&2; kill -KILL $$").arg("x");
    let output = guest.execute(plain).await.unwrap();
    assert_eq!(output.status, Status::Signal("KILL".into()));
    assert!(!Path::new(output.stderr.text().trim()).exists(), "{:?}", output.stderr.text());
    let endless = Command::upload("#!/bin/sh\necho $0\nsleep 4721.1").timeout(SECOND);
    let GuestError::Deadline { ran, .. } = guest.execute(endless).await.unwrap_err() else { panic!() };
    assert!(!Path::new(ran.output.stdout.text().trim()).exists() && !runs("sleep 4721.1"));
    let sign = rig.dir.path().join("begun");
    let text = format!("#!/bin/sh\necho $0 > {0}.new; mv {0}.new {0}; sleep 4721.2", sign.display());
    tokio::select! {
        ended = guest.execute(Command::upload(text)) => panic!("{ended:?}"),
        () = appears(&sign) => {}
    }
    let path = fs::read_to_string(&sign).unwrap();
    guest.wait_until_succeeds(format!("[ ! -e {} ]", path.trim()), LONG).await.unwrap();
    let error = guest.execute(Command::upload("true").env("1", "")).await.unwrap_err();
    assert!(matches!(error, GuestError::Command { .. }), "{error}");
}

#[tokio::test]
async fn input_and_output_pass_while_a_command_runs() {
    let rig = rig!();
    let guest = rig.guest();
    let (mut typing, stdin) = tokio::io::duplex(64);
    let (stdout, mut reading) = tokio::io::duplex(64);
    let piped = guest.pipe("echo $$ >&2; cat; exit 7", stdin, stdout, tokio::io::sink());
    let talk = async {
        let mut answer = [0; 5];
        for word in ["first", "other"] {
            typing.write_all(word.as_bytes()).await.unwrap();
            reading.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, word.as_bytes());
        }
        drop(typing);
    };
    let (ran, ()) = tokio::join!(piped, talk);
    assert_eq!(ran.unwrap().output.status, Status::Code(7));
    // Who reads no longer ends it.
    let (stdout, reading) = tokio::io::duplex(64);
    drop(reading);
    let error = guest.pipe("yes", tokio::io::empty(), stdout, tokio::io::sink()).await.unwrap_err();
    assert!(matches!(error, GuestError::Local { .. }), "{error}");

    let file = rig.dir.path().join("input");
    fs::write(&file, noise(300_000)).unwrap();
    let output = guest.execute(Command::new("cat").stdin_file(&file)).await.unwrap();
    assert!(output.stdout.bytes == noise(300_000));
    let error = guest.execute(Command::new("cat").stdin_file("/no/such")).await.unwrap_err();
    assert!(told(&error).starts_with("cannot read /no/such for web on this host"), "{}", told(&error));
}

#[test]
fn two_hundred_megabytes_arrive_whole_in_bounded_memory() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "guest::tests::streams::two_hundred_megabytes", "--nocapture"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
#[ignore = "a process of `two_hundred_megabytes_arrive_whole_in_bounded_memory`"]
async fn two_hundred_megabytes() {
    let rig = rig!();
    let both = format!("seq {LINES} & seq -f 9%.0f {LINES} >&2; wait");
    let output = rig.guest().execute(Command::from(both).timeout(100 * SECOND)).await.unwrap();
    for (stream, format) in [(&output.stdout, "%.0f"), (&output.stderr, "9%.0f")] {
        assert!(stream.total > 100_000_000, "{}", stream.total);
        let whole = stream.whole.as_ref().unwrap().display();
        let same = format!("seq -f {format} {LINES} | cmp - {whole}");
        assert!(std::process::Command::new("sh").args(["-c", &same]).status().unwrap().success(), "{whole}");
        assert!(output.status.success());
    }
    let peak = fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 150_000, "{peak} kB");
}
