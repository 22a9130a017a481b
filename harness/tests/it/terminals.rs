//! People at terminals: `polder shell` and `polder console` on a terminal of their own, which util-linux's `script` makes.

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::typed::Ground;

const FILE: &str = "
domains:
  web:
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets: {lan: {management: true}}
";

const LIMIT: Duration = Duration::from_secs(120);

/// A command on a terminal of 30 rows and 90 columns, which says afterwards how it ended and how its terminal is.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    printed: Arc<Mutex<Vec<u8>>>,
    /// The file with the terminal's name.
    name: PathBuf,
}

impl Terminal {
    fn open(ground: &Ground, words: &str) -> Self {
        let name = ground.path("tty");
        let _ = fs::remove_file(&name);
        let polder = env!("CARGO_BIN_EXE_polder");
        let line = format!(
            "stty rows 30 cols 90; tty > {}; {polder} {words}; echo ended $?; stty -a",
            name.display()
        );
        let mut command = Command::new("script");
        let base = ground.command(&[]);
        command.args(["-q", "-f", "-c", &line, "/dev/null"]).current_dir(ground.path(""));
        for (key, value) in base.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let printed = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(read @ 1..) = out.read(&mut piece) {
                all.lock().unwrap().extend(&piece[..read]);
            }
        });
        Self { child, keys, printed, name }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line once more from time to time, until the answer to it is there.
    fn ask(&mut self, line: &str, answer: &str) {
        let start = Instant::now();
        while !self.shows(answer) {
            assert!(start.elapsed() < LIMIT, "no `{answer}` in {}", self.text());
            self.press(&format!("{line}\r"));
            let asked = Instant::now();
            while !self.shows(answer) && asked.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn see(&self, answer: &str) {
        let start = Instant::now();
        while !self.shows(answer) {
            assert!(start.elapsed() < LIMIT, "no `{answer}` in {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn shows(&self, answer: &str) -> bool {
        self.text().contains(answer)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }

    /// As its window does: the kernel tells who is on the terminal.
    fn resize(&self, rows: u16, columns: u16) {
        let name = fs::read_to_string(&self.name).unwrap();
        let mut stty = Command::new("stty");
        stty.args(["-F", name.trim(), "rows", &rows.to_string(), "cols", &columns.to_string()]);
        assert!(stty.status().unwrap().success());
    }

    /// The terminal is as it was before: lines are edited, and what is typed is shown.
    fn end(mut self, status: u8) {
        self.see(&format!("ended {status}\r\n"));
        self.see("\nisig icanon iexten echo ");
        drop(self.keys);
        self.child.wait().unwrap();
    }
}

#[test]
fn shells_and_consoles_have_the_terminal_of_who_is_at_it() {
    let ground = Ground::new(FILE);
    ground.polder(&["up"]).ok();

    let mut shell = Terminal::open(&ground, "shell web");
    shell.ask("echo $(stty size) here", "30 90 here");
    shell.resize(33, 111);
    shell.ask("echo $(stty size) now", "33 111 now");
    // Control-C is for what runs there, and a tabulator is no tabulator of ours.
    shell.press("sleep 1000; echo slept $((40+2))\r");
    std::thread::sleep(Duration::from_secs(1));
    shell.press("\x03");
    shell.ask("echo awake $((40+2))", "awake 42");
    assert!(!shell.shows("slept 42"));
    shell.press("exit 5\r");
    shell.end(5);

    let mut console = Terminal::open(&ground, "console web");
    console.see("Control-] leaves it");
    console.ask("echo typed $((40+2))", "typed 42");
    console.press("sleep 1000; echo slept $((40+2))\r");
    std::thread::sleep(Duration::from_secs(1));
    console.press("\x03");
    console.ask("echo awake $((40+2))", "awake 42");
    assert!(!console.shows("slept 42"));
    console.press("\x1d");
    console.end(0);
    ground.polder(&["destroy", "--yes"]).ok();
}
