//! Reads what a Debian package says of itself: an `ar` archive, in it a packed `tar`, in it the file `control`.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// No control data is longer.
const LONGEST: u64 = 1024 * 1024;

/// The control data of the package at `path`.
pub(super) fn control(path: &Path) -> io::Result<String> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut archive = ar::Archive::new(File::open(path)?);
    while let Some(entry) = archive.next_entry() {
        let entry = entry.map_err(|_| wrong("it is no Debian package"))?;
        let name = String::from_utf8_lossy(entry.header().identifier()).into_owned();
        let name = name.trim_end_matches('/');
        if !name.starts_with("control.tar") {
            continue;
        }
        let mut inner = tar::Archive::new(unpacked(name, entry)?);
        for file in inner.entries()? {
            let mut file = file?;
            if file.path()?.strip_prefix("./").as_deref().unwrap_or(&file.path()?) == Path::new("control") {
                let mut text = String::new();
                file.by_ref().take(LONGEST).read_to_string(&mut text)?;
                return Ok(text);
            }
        }
        return Err(wrong("it has no control file"));
    }
    Err(wrong("it is no Debian package"))
}

/// What a packed file of that name holds.
pub(super) fn unpacked<'a>(name: &str, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        "xz" => Box::new(liblzma::read::XzDecoder::new(packed)),
        "zst" => Box::new(ruzstd::decoding::StreamingDecoder::new(packed).map_err(io::Error::other)?),
        _ => Box::new(packed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package with this member beside the one that says the format.
    fn package(name: &str, content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = ar::Builder::new(file.as_file_mut());
        let mut add = |name: &str, content: &[u8]| {
            let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
            builder.append(&header, content).unwrap();
        };
        add("debian-binary", b"2.0\n");
        add(name, content);
        file
    }

    fn tarball(name: &str, text: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(vec![]);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn control_data_is_found_however_it_is_packed() {
        let plain = tarball("./control", "Package: x\n");
        let gz = {
            let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            io::Write::write_all(&mut encoder, &plain).unwrap();
            encoder.finish().unwrap()
        };
        let xz = {
            let mut encoder = liblzma::read::XzEncoder::new(plain.as_slice(), 1);
            let mut out = vec![];
            encoder.read_to_end(&mut out).unwrap();
            out
        };
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zst = ruzstd::encoding::compress_to_vec(plain.as_slice(), level);
        let all: [(&str, &[u8]); 4] = [
            ("control.tar", &plain),
            ("control.tar.gz", &gz),
            ("control.tar.xz", &xz),
            ("control.tar.zst", &zst),
        ];
        for (name, content) in all {
            assert_eq!(control(package(name, content).path()).unwrap(), "Package: x\n", "{name}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let no_control = package("control.tar", &tarball("./md5sums", ""));
        assert_eq!(control(no_control.path()).unwrap_err().to_string(), "it has no control file");
        let other = package("data.tar", &tarball("./control", "Package: x\n"));
        assert_eq!(control(other.path()).unwrap_err().to_string(), "it is no Debian package");
        for content in [&b""[..], b"!<arch>\n", b"not an archive at all", &[0; 200]] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            io::Write::write_all(&mut file, content).unwrap();
            assert!(control(file.path()).is_err());
        }
        assert!(control(package("control.tar.xz", b"no xz").path()).is_err());
    }
}
