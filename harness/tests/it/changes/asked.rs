//! Runs at terminals, and programs in terminals of their own.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use super::{Desk, FILE, FILES, Said, WAIT};

const LIMIT: Duration = Duration::from_secs(60);

/// A command on a terminal, which util-linux's `script` makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(desk: &Desk, words: &str) -> Self {
        let words = format!("{} change {words}", env!("CARGO_BIN_EXE_polder"));
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", &words, "/dev/null"]).current_dir(desk.folder.path());
        command.env("XDG_CONFIG_HOME", desk.path("config")).env("XDG_CACHE_HOME", desk.path("cache"));
        command.env("POLDER_VAR_password", "hunter2");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("`script` of util-linux: {error}"));
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let printed = Arc::<Mutex<Vec<u8>>>::default();
        let all = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(read @ 1..) = out.read(&mut piece) {
                all.lock().unwrap().extend(&piece[..read]);
            }
        });
        Self { child, keys, printed }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }

    /// Waits until a text is there so often.
    fn see(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.text().matches(text).count() < times {
            assert!(start.elapsed() < LIMIT, "no `{text}` {times} times in {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end: its exit code, and everything that was there.
    fn end(self) -> (Option<i32>, String) {
        let Self { mut child, keys, printed } = self;
        drop(keys);
        let code = child.wait().unwrap().code();
        // The rest of it.
        let start = Instant::now();
        while Arc::strong_count(&printed) > 1 && start.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = String::from_utf8_lossy(&printed.lock().unwrap()).into_owned();
        assert!(!text.contains("hunter2"), "{text}");
        (code, text)
    }
}

#[test]
fn on_a_terminal_there_is_a_table_and_somebody_to_ask() {
    let desk = Desk::new(FILE);
    let run = "run changes.yaml --confirm command";
    let mut terminal = Terminal::open(&desk, run);
    terminal.see("backup on sw1, apply: send \"copy running backup\"? [y]es, [n]o", 1);
    terminal.press("y\n");
    terminal.see("[y]es", 2);
    terminal.press("a\n");
    let (code, text) = terminal.end();
    assert_eq!((code, text.matches("[y]es").count()), (Some(0), 2), "{text}");
    assert!(text.contains("sw2  backup  apply ok") && text.contains("\x1b[J"), "{text}");
    assert!(text.contains("phases done: 7"), "{text}");
    let mut terminal = Terminal::open(&desk, run);
    terminal.see("[y]es", 1);
    terminal.press("n\n");
    let (code, text) = terminal.end();
    assert!(code == Some(4) && text.contains("stopped: the operator said no to backup on sw1"), "{text}");
}

#[test]
fn what_was_typed_before_a_question_is_no_answer_to_it() {
    let desk = Desk::new(&FILES.replace("{ send: touch b }, ", ""));
    std::fs::write(desk.path("wait.sh"), WAIT).unwrap();
    let mut terminal = Terminal::open(&desk, "run changes.yaml --confirm command --autobackout");
    for question in 1..=2 {
        terminal.see("[y]es", question);
        terminal.press("y\n");
    }
    desk.until("waits");
    terminal.press("yes, whatever comes\n");
    // The terminal has it once it shows it.
    terminal.see("yes, whatever comes", 1);
    std::fs::write(desk.path("go"), "").unwrap();
    terminal.see("[y]es", 3);
    terminal.press("n\n");
    // What was done is undone, if that is wanted.
    terminal.see("[y]es", 4);
    terminal.press("y\n");
    let (code, text) = terminal.end();
    assert!(code == Some(4) && text.contains("the operator said no to b on here, verify"), "{text}");
}

#[test]
fn a_terminal_that_is_gone_ends_nothing() {
    let desk = Desk::new(FILES);
    std::fs::write(desk.path("wait.sh"), WAIT).unwrap();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut command = desk.command(&["run", "changes.yaml"]);
    // It is nobody's controlling terminal: nobody gets a signal when it goes.
    let other_end = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    command.stdout(Stdio::piped()).stderr(other_end);
    let run = command.spawn().unwrap();
    // Nobody else has the other end, so that reading ends with the run.
    drop(command);
    let (mut terminal, mut printed) = (File::from(terminal), Vec::new());
    while !String::from_utf8_lossy(&printed).contains("here  b  apply ...") {
        let mut piece = [0; 1024];
        let read = terminal.read(&mut piece).expect("it ended");
        printed.extend(&piece[..read]);
    }
    drop(terminal);
    desk.until("waits");
    std::fs::write(desk.path("go"), "").unwrap();
    let said = Said::of(&run.wait_with_output().unwrap());
    assert!(said.code == Some(0) && said.out.contains("changes: 3 ok"), "{said:?}");
}

#[test]
fn programs_in_terminals_heed_what_is_typed_whatever_we_were_started_to_ignore() {
    // What a shell starts in the background ignores an interrupt, and so does all that it starts.
    let desk = Desk::new(
        "version: 1
devices: { here: {} }
drivers: { d: { kind: session, argv: [sh, -c, 'grep SigIgn /proc/self/status; read -r word; echo got $word'] } }
scenario:
  name: n
  nodes:
    - step: look
      targets: all
      apply:
        exchanges: [ { expect: 'SigIgn:\\s+[0-9a-f]{15}[08]\\b', send: word, timeout: 20s }, { expect: got word, timeout: 20s } ]
",
    );
    let inner = desk.command(&["run", "changes.yaml"]);
    let mut outer = Command::new("sh");
    outer
        .args(["-c", "trap '' INT QUIT HUP; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    outer.current_dir(desk.folder.path()).stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    let said = Said::of(&outer.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
}
