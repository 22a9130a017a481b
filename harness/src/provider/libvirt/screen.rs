//! Pictures of screens: from the forms emulators give them in (PNG, formerly PPM with eight bits a colour) to one that people
//! can look at.

use png::{BitDepth, ColorType, Encoder};

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture as PNG; or what is wrong with it.
pub(super) fn png(picture: Vec<u8>) -> Result<Vec<u8>, String> {
    if picture.starts_with(PNG) { Ok(picture) } else { converted(&picture) }
}

fn converted(ppm: &[u8]) -> Result<Vec<u8>, String> {
    let mut head = Head { rest: ppm };
    let (kind, width, height, most) = (head.word(), head.number(), head.number(), head.number());
    let (Some(b"P6"), Some(width), Some(height), Some(255)) = (kind, width, height, most) else {
        return Err(format!("the picture is of no known form: {:?}", ppm.get(..16).unwrap_or(ppm)));
    };
    // One white space ends the head.
    let pixels = head.rest.get(1..).unwrap_or_default();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(out)
}

/// What stands before the pixels: words with white space between them, and comments.
struct Head<'a> {
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn word(&mut self) -> Option<&'a [u8]> {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'#') {
                break;
            }
            let end = self.rest.iter().position(|&b| b == b'\n').unwrap_or(self.rest.len());
            self.rest = self.rest.get(end..)?;
        }
        let end = self.rest.iter().position(u8::is_ascii_whitespace)?;
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(word)
    }

    fn number(&mut self) -> Option<u32> {
        std::str::from_utf8(self.word()?).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_stay_what_they_were() {
        let pixels = [255, 0, 0, 10, 11, 12];
        let ppm = [b"P6\n# a comment\n2 1\n255\n".as_slice(), &pixels].concat();
        let out = png(ppm).unwrap();
        assert_eq!(png(out.clone()).as_ref(), Ok(&out));
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(out)).read_info().unwrap();
        let mut read = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut read).unwrap();
        assert_eq!((info.width, info.height, read.as_slice()), (2, 1, pixels.as_slice()));
    }

    #[rstest::rstest]
    #[case(b"")]
    #[case(b"P6")]
    #[case(b"P5\n1 1\n255\nxxx")]
    #[case(b"P6\n1 1\n65535\nxxxxxx")]
    #[case(b"P6\n-1 1\n255\nxxx")]
    #[case(b"P6\n2 2\n255\nxxx")]
    #[case(b"P6\n0 0\n255\n")]
    #[case(b"P6 # never ends")]
    fn what_is_no_picture_is_refused(#[case] ppm: &[u8]) {
        assert!(png(ppm.to_vec()).is_err());
    }
}
