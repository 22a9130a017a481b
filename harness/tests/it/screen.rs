//! A program at a terminal, and what is on it.

use std::{
    fs,
    io::{Read, Write},
    num::NonZero,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// Suites at a terminal, which util-linux's `script` makes, and all that is on it.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<(vt100::Parser, Vec<u8>)>>,
    reader: JoinHandle<()>,
    folder: TempDir,
    limit: Duration,
}

impl Terminal {
    /// Of so many rows and columns.
    pub(crate) fn open(
        (rows, columns): (u16, u16),
        program: &Path,
        args: &str,
        set: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tty = folder.path().join("tty").display().to_string();
        let line = format!("stty rows {rows} cols {columns}; tty > {tty}; exec {} {args}", program.display());
        let mut command = Command::new("script");
        command
            .args(["-q", "-e", "-f", "-c", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh");
        command
            .env("POLDER_OUTPUT_DIR", folder.path().join("polder"))
            .env("WATCHED_GO", folder.path().join("go"));
        for name in ["NO_COLOR", "NEXTEST", "GITHUB_ACTIONS", "GITLAB_CI", "POLDER_BLESS"] {
            command.env_remove(name);
        }
        command.envs(set.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let size = |number| NonZero::new(number).unwrap();
        let parser = vt100::Parser::new(size(rows), size(columns), 0);
        let seen = Arc::new(Mutex::new((parser, Vec::new())));
        let all = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut piece) {
                let mut seen = all.lock().unwrap();
                seen.0.process(&piece[..read]);
                seen.1.extend(&piece[..read]);
            }
        });
        Self { child, keys, seen, reader, folder, limit: LIMIT }
    }

    /// For those that take longer than a minute.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What is on it now.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().unwrap().0.screen().contents()
    }

    /// What is on it now, with its colours.
    pub(crate) fn cells(&self) -> vt100::Screen {
        self.seen.lock().unwrap().0.screen().clone()
    }

    /// The folder of the run.
    pub(crate) fn run(&self) -> std::path::PathBuf {
        self.folder.path().join("polder/latest")
    }

    /// Waits until all of `words` are on it together.
    pub(crate) fn see(&self, words: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if words.iter().all(|word| screen.contains(word)) {
                return screen;
            }
            let is_over = self.reader.is_finished() || start.elapsed() > self.limit;
            assert!(!is_over, "no {words:?} on\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn go(&self) {
        fs::write(self.folder.path().join("go"), "").unwrap();
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// As its window does.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let tty = fs::read_to_string(self.folder.path().join("tty")).unwrap();
        let mut stty = Command::new("stty");
        stty.args(["-F", tty.trim(), "rows", &rows.to_string(), "cols", &columns.to_string()]);
        assert!(stty.status().unwrap().success());
        let size = |number| NonZero::new(number).unwrap();
        self.seen.lock().unwrap().0.screen_mut().set_size(size(rows), size(columns));
    }

    /// Waits for the end: its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > self.limit {
                self.child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        };
        // What it wrote last may still be on its way.
        thread::sleep(Duration::from_millis(200));
        status.code()
    }

    /// Waits for the end; its exit code, what is on it then, and everything that ever came.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let code = self.wait();
        let seen = self.seen.lock().unwrap();
        let all = String::from_utf8_lossy(&seen.1).into_owned();
        (code, seen.0.screen().contents(), all)
    }
}

/// Whoever gave up on it.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
