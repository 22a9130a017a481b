//! What drivers need and do not find: all of it at once, and no secret in what is said.

use super::*;

#[test]
fn all_that_is_missing_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("no-key"), "hunter2").unwrap();
    std::fs::write(dir.path().join("no.pem"), "hunter2").unwrap();
    let text = "version: 1
devices: { sw1: {} }
drivers:
  a: { kind: ssh, user: x, key_file: no-key, password_env: PASSWORD, known_hosts: ~/known }
  b: { kind: http, url: https://x, ca_file: no.pem, token_env: TOKEN }
  c: { kind: cvp }
  d: { kind: ssh, user: x, key_file: nowhere }
  e: { kind: cvp, url: https://x, token_env: TOKEN, ca_file: nowhere.pem }
scenario: { name: all, nodes: [ { step: a, driver: a, targets: all } ] }
";
    let read = |path: &Path| std::fs::read_to_string(path);
    let loaded = change::parse(Path::new("lab.yaml"), dir.path(), text, &Vars::new(), &read).unwrap();
    let error = drivers(&loaded.changes, &outside(&[("TOKEN", "t0p")])).unwrap_err();
    let said: Vec<&str> = error.0.iter().map(String::as_str).collect();
    for expected in [
        "the driver `a`: cannot use ",
        "the driver `a`: the environment variable `PASSWORD`, which `password_env` names, is not set",
        "the driver `a`: `~/known` is nowhere: the environment variable `HOME` is not set",
        "no.pem holds no certificate in PEM form",
        "the driver `c`: there is no portal: say its `url`",
        "the driver `d`: `~/.ssh/known_hosts` is nowhere",
        "nowhere as a key: No such file",
        "the driver `e`: cannot read the CA file ",
    ] {
        assert!(said.iter().any(|line| line.contains(expected)), "{expected} is not among\n{error}");
    }
    assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("t0p"), "{error}");
    let key = said.iter().find(|line| line.contains("no-key")).unwrap();
    assert!(key.contains("without a passphrase"), "{key}");
}

#[tokio::test]
async fn kinds_that_reach_nothing_are_there_too() {
    for kind in ["'null'", "mock"] {
        let mut session = opened(&format!("kind: {kind}"), "").await;
        assert_eq!(send(&mut session, "anything").await.unwrap().failure, None, "{kind}");
        session.close(soon()).await.unwrap();
    }
}
