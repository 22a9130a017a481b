//! File systems we cannot read ourselves (on volumes of LVM, btrfs, xfs ...), read by `guestfish` where it is installed. It
//! starts a small machine of its own, which takes half a minute without hardware acceleration, and sees the disks through
//! `qemu-nbd`, because the images name one another as only the emulator finds them. Nothing is written to them.

use std::{
    cell::RefCell,
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    disk::{Disk, DiskFormat},
    tree::{Kind, Seen, Tree},
};
use crate::base::{
    guestfs,
    process::{self, ProcessError},
};

const TOOL: &str = "guestfish";
/// For everything from one machine.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Until the disks can be read.
const SERVE: Duration = Duration::from_secs(30);
/// As much of what it said is quoted, in lines.
const QUOTED: usize = 5;

/// The root file system of a machine, and all that is mounted on it, as `guestfish` reads it.
pub(super) struct Guestfish {
    talk: RefCell<Talk>,
    /// It ends before those who serve it.
    _servers: Vec<Running>,
    _work: tempfile::TempDir,
}

impl Guestfish {
    /// Looks for the one system on the disks. `kvm` is whether machines may be started with hardware acceleration. To be
    /// called where it may block, within a runtime.
    pub(super) fn open(disks: &[Disk], kvm: bool) -> io::Result<Self> {
        let work = tempfile::Builder::new().prefix("polder-").tempdir()?;
        let mut servers = Vec::new();
        let mut argv = vec![TOOL.to_owned(), "--ro".to_owned(), "-i".to_owned()];
        for (number, disk) in disks.iter().enumerate() {
            let socket = work.path().join(number.to_string());
            servers.push(serve(disk, &socket)?);
            argv.extend([
                "--format=raw".to_owned(),
                "-a".to_owned(),
                format!("nbd://?socket={}", socket.display()),
            ]);
        }
        let mut env = guestfs::env(kvm);
        // What it writes there goes with the folder.
        env.push(("TMPDIR".to_owned(), work.path().display().to_string()));
        let ((input, to), (from, output)) = (io::pipe()?, io::pipe()?);
        let errors = output.try_clone()?;
        let running = Running::start(argv, [input.into(), output.into(), errors.into()], env);
        let talk = Talk { running, to, from: BufReader::new(from), asked: 0 };
        let fish = Self { talk: RefCell::new(talk), _servers: servers, _work: work };
        // What it says before is of no interest, unless it is the last.
        fish.ask("echo", &[])?;
        Ok(fish)
    }

    fn ask(&self, command: &str, words: &[&OsStr]) -> io::Result<Vec<Vec<u8>>> {
        self.talk.borrow_mut().ask(command, words)
    }

    /// The one line of an answer.
    fn line(&self, command: &str, path: &Path) -> io::Result<OsString> {
        let line = self.ask(command, &[path.as_os_str()])?.pop();
        line.map(OsString::from_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Tree for Guestfish {
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        self.line("realpath", path).map(PathBuf::from)
    }

    fn look(&self, path: &Path) -> io::Result<Seen> {
        seen(&self.ask("lstatns", &[path.as_os_str()])?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let names = self.ask("ls", &[folder.as_os_str()])?.into_iter();
        Ok(names.map(|name| PathBuf::from(OsString::from_vec(name))).collect())
    }

    fn target(&self, link: &Path) -> io::Result<PathBuf> {
        self.line("readlink", link).map(PathBuf::from)
    }

    fn copy(&self, file: &Path, skip: u64, to: &Path) -> io::Result<u64> {
        let paths = [file.as_os_str(), to.as_os_str()];
        if skip == 0 {
            self.ask("download", &paths)?;
        } else {
            let [skip, all] = [skip, i64::MAX.unsigned_abs() - skip].map(|number| number.to_string());
            self.ask("download-offset", &[&paths[..], &[OsStr::new(&skip), OsStr::new(&all)]].concat())?;
        }
        Ok(to.metadata()?.len())
    }

    fn text(&self, file: &Path) -> io::Result<String> {
        let lines = self.ask("cat", &[file.as_os_str()])?;
        Ok(lines.iter().map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect())
    }
}

/// A conversation with it.
struct Talk {
    running: Running,
    to: PipeWriter,
    from: BufReader<PipeReader>,
    asked: u64,
}

impl Talk {
    /// The lines it says to a command.
    fn ask(&mut self, command: &str, words: &[&OsStr]) -> io::Result<Vec<Vec<u8>>> {
        self.asked += 1;
        let end = format!("end of answer {}", self.asked);
        // It goes on after a command that failed.
        let mut text = format!("-{command}").into_bytes();
        words.iter().for_each(|word| text.extend([b" ", &*quoted(word)].concat()));
        text.extend(format!("\necho \"{end}\"\n").bytes());
        let mut said = Vec::new();
        // When it has ended, that is seen below.
        let _ = self.to.write_all(&text);
        loop {
            let mut line = Vec::new();
            if self.from.read_until(b'\n', &mut line)? == 0 {
                return Err(self.ended(&said));
            }
            line.pop();
            match error_in(&line) {
                _ if line == end.as_bytes() => return Ok(said),
                Some(error) => {
                    self.pass(&end)?;
                    return Err(io::Error::other(error));
                }
                None => said.push(line),
            }
        }
    }

    /// Reads on to the end of the answer.
    fn pass(&mut self, end: &str) -> io::Result<()> {
        let mut line = Vec::new();
        while line.strip_suffix(b"\n") != Some(end.as_bytes()) {
            line.clear();
            if self.from.read_until(b'\n', &mut line)? == 0 {
                return Err(self.ended(&[]));
            }
        }
        Ok(())
    }

    /// Why it says nothing any more.
    fn ended(&mut self, said: &[Vec<u8>]) -> io::Error {
        match self.running.result() {
            Err(ProcessError::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let how = "guestfish, which might read them, is not installed (in Debian and Fedora: libguestfs-tools)";
                io::Error::new(io::ErrorKind::NotFound, how)
            }
            Err(error) => io::Error::other(error),
            Ok(status) => {
                let said: Vec<_> = said.iter().map(|line| String::from_utf8_lossy(line)).collect();
                let last = said.len().saturating_sub(QUOTED);
                let said = said.get(last..).unwrap_or_default().join(" ");
                io::Error::other(format!("guestfish ended with status {status}: {}", said.trim()))
            }
        }
    }
}

/// A program that ends when this goes.
struct Running(JoinHandle<Result<i32, ProcessError>>);

impl Running {
    fn start(argv: Vec<String>, streams: [OwnedFd; 3], env: Vec<(String, String)>) -> Self {
        Self(tokio::spawn(async move {
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            process::run(&words, streams, env, LIMIT).await
        }))
    }

    fn result(&mut self) -> Result<i32, ProcessError> {
        Handle::current().block_on(&mut self.0).unwrap_or(Ok(255))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Gives a disk, with all it lies over, to whoever connects to `socket`, for reading.
fn serve(disk: &Disk, socket: &Path) -> io::Result<Running> {
    let chain = disk.chain()?;
    let image =
        chain.into_iter().rev().fold(Value::Null, |below, (path, format)| over(&path, format, &below));
    let words = ["qemu-nbd", "--read-only", "--persistent", "--shared=0"].map(str::to_owned).into_iter();
    let argv = words.chain([format!("--socket={}", socket.display()), format!("json:{image}")]);
    let (log, null) = (tempfile::tempfile()?, || std::fs::File::open("/dev/null"));
    let mut running =
        Running::start(argv.collect(), [null()?.into(), log.try_clone()?.into(), log.into()], vec![]);
    let since = Instant::now();
    while !socket.exists() {
        if running.0.is_finished() {
            let why = running.result().map_err(io::Error::other)?;
            return Err(io::Error::other(format!(
                "qemu-nbd cannot serve {}: status {why}",
                disk.image.display()
            )));
        }
        if since.elapsed() > SERVE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

/// An image over what is below it, in the words of the emulator. A machine may still have it.
fn over(path: &Path, format: DiskFormat, below: &Value) -> Value {
    let file = json!({"driver": "file", "filename": path, "locking": "off"});
    match format {
        DiskFormat::Raw => json!({"driver": "raw", "file": file}),
        // Also where there is nothing: what the image says itself is not asked.
        DiskFormat::Qcow2 => json!({"driver": "qcow2", "file": file, "backing": below}),
    }
}

/// A word, whatever is in it.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in word.as_bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            0..0x20 | 0x7f.. => quoted.extend(format!("\\x{byte:02x}").bytes()),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

/// What a line says that says what went wrong.
fn error_in(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    text.split_once("libguestfs: error: ").map(|(_, error)| error.to_owned())
}

/// From the lines of a `stat`.
fn seen(lines: &[Vec<u8>]) -> Option<Seen> {
    let number = |name: &str| {
        let mut lines = lines.iter().filter_map(|line| std::str::from_utf8(line).ok());
        lines.find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok())
    };
    let mode = u32::try_from(number("st_mode")?).ok()?;
    let kind = match mode & 0o170_000 {
        0o100_000 => Kind::File,
        0o040_000 => Kind::Folder,
        0o120_000 => Kind::Link,
        _ => Kind::Other,
    };
    let since = Duration::from_secs(number("st_mtime_sec")?);
    Some(Seen { kind, mode: mode & 0o777, len: number("st_size")?, modified: UNIX_EPOCH + since })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_and_answers_understood() {
        assert_eq!(quoted(OsStr::from_bytes(b"/a \"b\\\n\xff")), br#""/a \"b\\\x0a\xff""#);
        let said = ["st_dev: 2049", "st_mode: 33188", "st_size: 7", "st_mtime_sec: 9"]
            .map(|line| line.as_bytes().to_vec());
        let modified = UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(seen(&said), Some(Seen { kind: Kind::File, mode: 0o644, len: 7, modified }));
        assert_eq!(seen(&said[1..]).map(|seen| seen.len), Some(7));
        assert_eq!(seen(&said[2..]), None);
        let error = error_in(b"*stdin*:3: libguestfs: error: ls0: /no: No such file or directory");
        assert_eq!(error.as_deref(), Some("ls0: /no: No such file or directory"));
    }

    #[test]
    fn images_are_named_as_they_lie_here() {
        let raw = over(Path::new("/a"), DiskFormat::Raw, &Value::Null);
        let file = |path: &str| json!({"driver": "file", "filename": path, "locking": "off"});
        assert_eq!(raw, json!({"driver": "raw", "file": file("/a")}));
        let top = over(Path::new("/b"), DiskFormat::Qcow2, &raw);
        assert_eq!(top, json!({"driver": "qcow2", "file": file("/b"), "backing": raw}));
        // Without anything below it, it has nothing below it.
        assert_eq!(over(Path::new("/b"), DiskFormat::Qcow2, &Value::Null)["backing"], Value::Null);
    }
}
