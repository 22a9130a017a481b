//! Files in which libvirt has saved domains: what is before the emulator's own stream, read and written anew. libvirt itself
//! restores no domain under another name or UUID than it was saved with; whoever keeps machines for several environments of
//! one daemon changes the file.
//!
//! The head is a magic number, 19 numbers of 32 bits (version, length of the text, whether the domain ran, compression,
//! where the cookie begins, and 14 that are zero), and then the text: the XML and a cookie, each with a zero at its end, and
//! zeros up to its length. Numbers are in the order of the host that wrote them. libvirt 9.0 leaves 64 KiB of zeros, in which
//! a longer XML has room.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const MAGIC: &[u8] = b"LibvirtQemudSave";
/// The magic number until a file is whole.
const UNFINISHED: &[u8] = b"LibvirtQemudPart";
/// Bytes of the magic number and the numbers.
const HEADER: usize = 16 + 19 * 4;
/// The only version there is since compression came.
const VERSION: u32 = 2;
/// No domain's text is as long.
const LONGEST: u32 = 64 << 20;
/// What streams begin at a multiple of when a text has outgrown its room.
const BLOCK: usize = 4096;

/// A file of a saved domain cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SaveImageError {
    /// The system.
    #[error("cannot {what} the saved domain {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("it is no saved domain of libvirt")]
    Foreign,
    /// Who wrote it did not come to the end.
    #[error("it was not saved to the end")]
    Unfinished,
    /// Another libvirt wrote it.
    #[error("its format is {found}, and {VERSION} is known")]
    Version {
        /// The version of the format.
        found: u32,
    },
    /// It would have to be unpacked.
    #[error("it is compressed (by method {how})")]
    Compressed {
        /// libvirt's number of the way.
        how: u32,
    },
    /// It is shorter than it says.
    #[error("it ends within its {0}")]
    Short(&'static str),
    /// The numbers in it cannot be.
    #[error("its text cannot have {0} bytes")]
    Length(u32),
    /// No text, or without an end.
    #[error("its {0} is no text with an end")]
    Text(&'static str),
}

/// What is before the emulator's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveImage {
    /// Whether the domain ran when it was saved.
    pub ran: bool,
    /// The domain's XML.
    pub xml: String,
    /// What libvirt wants to know besides.
    pub cookie: Option<String>,
    /// The bytes that the text may have before the stream has to move.
    room: usize,
}

impl SaveImage {
    /// What is at the beginning of a file: these bytes, which may be more.
    ///
    /// # Errors
    /// It is none, or too short.
    pub fn parse(bytes: &[u8]) -> Result<Self, SaveImageError> {
        let length = length(bytes)?;
        let number = |at| number(bytes, at).ok_or(SaveImageError::Short("header"));
        let [_, _, ran, compressed, cookie_at] = [0, 1, 2, 3, 4].map(number);
        match compressed? {
            0 => {}
            how => return Err(SaveImageError::Compressed { how }),
        }
        let text = bytes.get(HEADER..).and_then(|rest| rest.get(..length));
        let text = text.ok_or(SaveImageError::Short("text"))?;
        let (xml, cookie) = match cookie_at? {
            0 => (text, None),
            at => {
                let parts = usize::try_from(at).ok().and_then(|at| text.split_at_checked(at));
                let (xml, cookie) = parts.ok_or(SaveImageError::Length(at))?;
                (xml, Some(cookie))
            }
        };
        Ok(Self {
            ran: ran? != 0,
            xml: until_zero(xml).ok_or(SaveImageError::Text("XML"))?,
            cookie: cookie.map(|c| until_zero(c).ok_or(SaveImageError::Text("cookie"))).transpose()?,
            room: length,
        })
    }

    /// All that is before the stream. It is as long as what was parsed, unless the text has outgrown that.
    ///
    /// # Errors
    /// There is a zero in a text, or it is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SaveImageError> {
        let mut text = Vec::with_capacity(self.room);
        put(&mut text, &self.xml, "XML")?;
        let cookie_at = match &self.cookie {
            Some(cookie) => {
                let at = text.len();
                put(&mut text, cookie, "cookie")?;
                at
            }
            None => 0,
        };
        let needed = match text.len() <= self.room {
            true => self.room,
            false => (HEADER + text.len()).next_multiple_of(BLOCK) - HEADER,
        };
        text.resize(needed, 0);
        let small = |number: usize| {
            let small = u32::try_from(number).unwrap_or(u32::MAX);
            if small <= LONGEST { Ok(small) } else { Err(SaveImageError::Length(small)) }
        };
        let numbers = [VERSION, small(text.len())?, u32::from(self.ran), 0, small(cookie_at)?];
        let mut bytes = MAGIC.to_vec();
        numbers.iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
        bytes.resize(HEADER, 0);
        bytes.append(&mut text);
        Ok(bytes)
    }

    /// What is before the stream in the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, SaveImageError> {
        let error = |source| SaveImageError::File { what: "read", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(error)?;
        let mut bytes = Vec::new();
        (&mut file).take(HEADER as u64).read_to_end(&mut bytes).map_err(error)?;
        // Not before it is known to be one: other files are longer.
        let length = length(&bytes)?;
        file.take(length as u64).read_to_end(&mut bytes).map_err(error)?;
        Self::parse(&bytes)
    }

    /// Writes a new file at `to`: this, and the stream of the file at `from`. Where the file system can, both files share
    /// it; the kernel copies it otherwise. Whoever is killed meanwhile leaves nothing at `to`, but a file beside it whose name
    /// begins with `.new-`.
    ///
    /// # Errors
    /// `from` is none or cannot be read, there is something at `to`, or it cannot be written; nothing is left of it then.
    pub fn write(&self, from: &Path, to: &Path) -> Result<(), SaveImageError> {
        let head = self.to_bytes()?;
        let before = HEADER + Self::read(from)?.room;
        let error = |what, path: &Path| {
            let path = path.to_owned();
            move |source| SaveImageError::File { what, path, source }
        };
        let mut source = File::open(from).map_err(error("read", from))?;
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(error("make", to))?;
        let mut file = new.as_file();
        let written = (|| {
            // The whole of it, where only the head differs.
            if head.len() != before || rustix::fs::ioctl_ficlone(file, &source).is_err() {
                source.seek(SeekFrom::Start(before as u64))?;
                file.seek(SeekFrom::Start(head.len() as u64))?;
                io::copy(&mut source, &mut file)?;
            }
            file.write_all_at(&head, 0)
        })();
        written.map_err(error("write", to))?;
        new.persist_noclobber(to).map(drop).map_err(|failed| error("make", to)(failed.error))
    }
}

/// The length of the text, by the header.
fn length(bytes: &[u8]) -> Result<usize, SaveImageError> {
    match bytes.get(..MAGIC.len()) {
        Some(MAGIC) => {}
        Some(UNFINISHED) => return Err(SaveImageError::Unfinished),
        Some(_) => return Err(SaveImageError::Foreign),
        None if MAGIC.starts_with(bytes) => return Err(SaveImageError::Short("header")),
        None => return Err(SaveImageError::Foreign),
    }
    if bytes.len() < HEADER {
        return Err(SaveImageError::Short("header"));
    }
    let [version, length] = [0, 1].map(|at| number(bytes, at).unwrap_or_default());
    if version != VERSION {
        return Err(SaveImageError::Version { found: version });
    }
    if length == 0 || length > LONGEST {
        return Err(SaveImageError::Length(length));
    }
    usize::try_from(length).map_err(|_| SaveImageError::Length(length))
}

/// A number of the header.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let (numbers, _) = bytes.get(MAGIC.len()..HEADER)?.as_chunks::<4>();
    numbers.get(at).map(|number| u32::from_ne_bytes(*number))
}

fn until_zero(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    String::from_utf8(bytes.get(..end)?.to_vec()).ok()
}

fn put(bytes: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), SaveImageError> {
    if text.contains('\0') {
        return Err(SaveImageError::Text(what));
    }
    bytes.extend(text.as_bytes());
    bytes.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const XML: &str = "<domain type='qemu'><name>a</name></domain>\n";
    const COOKIE: &str = "<cookie/>\n";
    const STREAM: &[u8] = b"QEVM and so on";

    fn image() -> SaveImage {
        SaveImage { ran: true, xml: XML.to_owned(), cookie: Some(COOKIE.to_owned()), room: 300 }
    }

    /// The head of a file as libvirt writes it, with something done to it.
    fn spoiled(spoil: impl Fn(&mut Vec<u8>)) -> Result<SaveImage, SaveImageError> {
        let mut bytes = image().to_bytes().unwrap();
        spoil(&mut bytes);
        SaveImage::parse(&bytes)
    }

    fn set(bytes: &mut [u8], at: usize, number: u32) {
        bytes[16 + 4 * at..20 + 4 * at].copy_from_slice(&number.to_ne_bytes());
    }

    #[test]
    fn a_head_has_everything_where_libvirt_looks_for_it() {
        let bytes = image().to_bytes().unwrap();
        assert_eq!(bytes.len(), 92 + 300);
        assert_eq!(&bytes[..16], b"LibvirtQemudSave");
        let numbers: Vec<u32> =
            bytes[16..92].chunks(4).map(|n| u32::from_ne_bytes(n.try_into().unwrap())).collect();
        let cookie_at = XML.len() + 1;
        assert_eq!(numbers[..5], [2, 300, 1, 0, u32::try_from(cookie_at).unwrap()]);
        assert!(numbers[5..].iter().all(|number| *number == 0));
        assert_eq!(&bytes[92..92 + cookie_at], [XML.as_bytes(), b"\0"].concat());
        let cookie = &bytes[92 + cookie_at..];
        assert!(cookie.starts_with(b"<cookie/>\n\0") && cookie[COOKIE.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(SaveImage::parse(&bytes).unwrap(), image());
        let without = SaveImage { cookie: None, ran: false, ..image() };
        assert_eq!(SaveImage::parse(&without.to_bytes().unwrap()).unwrap(), without);
    }

    /// Does something to a head.
    type Spoil = fn(&mut Vec<u8>);

    #[rstest::rstest]
    #[case::empty(|b: &mut Vec<u8>| b.clear(), "it ends within its header")]
    #[case::half_a_magic(|b: &mut Vec<u8>| b.truncate(7), "it ends within its header")]
    #[case::only_magic(|b: &mut Vec<u8>| b.truncate(16), "it ends within its header")]
    #[case::half_a_header(|b: &mut Vec<u8>| b.truncate(91), "it ends within its header")]
    #[case::no_text(|b: &mut Vec<u8>| b.truncate(92), "it ends within its text")]
    #[case::half_a_text(|b: &mut Vec<u8>| b.truncate(391), "it ends within its text")]
    #[case::foreign(|b: &mut Vec<u8>| b[..4].copy_from_slice(b"QFI\xfb"), "it is no saved domain of libvirt")]
    #[case::short_and_foreign(|b: &mut Vec<u8>| *b = b"QEVM".to_vec(), "it is no saved domain of libvirt")]
    #[case::turned_magic(|b: &mut Vec<u8>| b[..16].reverse(), "it is no saved domain of libvirt")]
    #[case::unfinished(|b: &mut Vec<u8>| b[..16].copy_from_slice(b"LibvirtQemudPart"), "it was not saved to the end")]
    #[case::old(|b: &mut Vec<u8>| set(b, 0, 1), "its format is 1, and 2 is known")]
    #[case::new(|b: &mut Vec<u8>| set(b, 0, 3), "its format is 3, and 2 is known")]
    #[case::of_another_order(|b: &mut Vec<u8>| set(b, 0, 2_u32.swap_bytes()), "its format is 33554432, and 2 is known")]
    #[case::gzip(|b: &mut Vec<u8>| set(b, 3, 1), "it is compressed (by method 1)")]
    #[case::no_length(|b: &mut Vec<u8>| set(b, 1, 0), "its text cannot have 0 bytes")]
    #[case::beyond_the_file(|b: &mut Vec<u8>| set(b, 1, 301), "it ends within its text")]
    #[case::beyond_all_files(|b: &mut Vec<u8>| set(b, 1, u32::MAX), "its text cannot have 4294967295 bytes")]
    #[case::xml_without_end(|b: &mut Vec<u8>| set(b, 4, 10), "its XML is no text with an end")]
    #[case::all_text(|b: &mut Vec<u8>| b[92..].fill(b'x'), "its XML is no text with an end")]
    #[case::no_utf8(|b: &mut Vec<u8>| b[100] = 0xff, "its XML is no text with an end")]
    #[case::cookie_without_end(|b: &mut Vec<u8>| b[140..].fill(b'x'), "its cookie is no text with an end")]
    #[case::cookie_at_the_end(|b: &mut Vec<u8>| set(b, 4, 300), "its cookie is no text with an end")]
    #[case::cookie_beyond(|b: &mut Vec<u8>| set(b, 4, 301), "its text cannot have 301 bytes")]
    fn what_is_no_saved_domain_is_told(#[case] spoil: Spoil, #[case] told: &str) {
        assert_eq!(spoiled(spoil).unwrap_err().to_string(), told);
    }

    #[test]
    fn a_text_with_a_zero_or_without_bounds_is_not_written() {
        let zero = SaveImage { xml: "<a>\0</a>".to_owned(), ..image() };
        assert!(matches!(zero.to_bytes(), Err(SaveImageError::Text("XML"))));
        let zero = SaveImage { cookie: Some("\0".to_owned()), ..image() };
        assert!(matches!(zero.to_bytes(), Err(SaveImageError::Text("cookie"))));
        let long = SaveImage { xml: "x".repeat(65 << 20), ..image() };
        assert!(matches!(long.to_bytes(), Err(SaveImageError::Length(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ran: bool,
            xml in "[^\0]{0,200}",
            cookie in proptest::option::of("[^\0]{0,60}"),
            room in 1_usize..9000,
        ) {
            let image = SaveImage { ran, xml, cookie, room };
            let bytes = image.to_bytes().unwrap();
            let read = SaveImage::parse(&[&bytes, STREAM].concat()).unwrap();
            prop_assert_eq!((&read.xml, &read.cookie, read.ran), (&image.xml, &image.cookie, ran));
            prop_assert_eq!(92 + read.room, bytes.len());
            prop_assert!(read.room == room || (read.room > room && bytes.len().is_multiple_of(4096)));
            prop_assert_eq!(read.to_bytes().unwrap(), bytes);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500), numbers: [u32; 5]) {
            let _ = SaveImage::parse(&bytes);
            let mut head = image().to_bytes().unwrap();
            numbers.iter().enumerate().skip(1).for_each(|(at, number)| set(&mut head, at, number % 400));
            if let Ok(image) = SaveImage::parse(&head) {
                prop_assert_eq!(SaveImage::parse(&image.to_bytes().unwrap()).unwrap(), image);
            }
        }
    }

    #[rstest::rstest]
    #[case::as_long("<domain type='qemu'><name>b</name></domain>\n".to_owned())]
    #[case::longer("x".repeat(250))]
    #[case::outgrown("x".repeat(5000))]
    fn a_file_is_written_anew_with_the_same_stream(#[case] xml: String) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let stream: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_ne_bytes).take(5_000_001).collect();
        fs::write(&from, [image().to_bytes().unwrap(), stream.clone()].concat()).unwrap();
        let mut changed = SaveImage::read(&from).unwrap();
        assert_eq!(changed, image());
        changed.xml = xml;
        changed.write(&from, &to).unwrap();
        let written = SaveImage::read(&to).unwrap();
        assert_eq!((&written.xml, &written.cookie), (&changed.xml, &changed.cookie));
        let bytes = fs::read(&to).unwrap();
        assert!(bytes[92 + written.room..] == stream, "another stream");
        assert_eq!(SaveImage::read(&from).unwrap(), image(), "the old one is as it was");
        let error = changed.write(&from, &to).unwrap_err();
        assert!(matches!(error, SaveImageError::File { what: "make", .. }), "{error}");
        assert!(fs::read(&to).unwrap() == bytes, "what was there is not touched");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn nothing_is_written_of_what_is_no_saved_domain() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        assert!(matches!(image().write(&from, &to), Err(SaveImageError::File { what: "read", .. })));
        fs::write(&from, "something else, and longer than any magic number").unwrap();
        assert!(matches!(image().write(&from, &to), Err(SaveImageError::Foreign)));
        assert!(!to.exists());
    }

    /// Where the process of the test below works.
    const FOLDER: &str = "POLDER_TEST_SAVED";

    #[test]
    #[ignore = "a process of the test below"]
    fn writes_for_ever() {
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
        for number in 0.. {
            image().write(&folder.join("from"), &folder.join(format!("{number}"))).unwrap();
        }
    }

    #[test]
    fn who_is_killed_leaves_no_half_file_under_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let before = SaveImage { xml: "before".to_owned(), ..image() };
        let stream = vec![7; 3_000_000];
        fs::write(dir.path().join("from"), [before.to_bytes().unwrap(), stream.clone()].concat()).unwrap();
        for round in 0..10 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let name = module_path!().split_once("::").unwrap().1;
            child.args(["--exact", &format!("{name}::writes_for_ever"), "--ignored"]);
            child.env(FOLDER, dir.path()).stdout(std::process::Stdio::null());
            let mut child = child.spawn().unwrap();
            while !dir.path().join("0").exists() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_millis(round));
            child.kill().unwrap();
            child.wait().unwrap();
            for entry in fs::read_dir(dir.path()).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if name == "from" {
                    continue;
                }
                if !name.starts_with(".new-") {
                    assert_eq!(SaveImage::read(&entry.path()).unwrap(), image());
                    let whole = fs::read(entry.path()).unwrap();
                    assert!(whole.ends_with(&stream) && whole.len() == 92 + 300 + stream.len(), "{name}");
                }
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}
