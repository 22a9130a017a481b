//! What a command says while it runs, as bytes: pieces come in the middle of characters.

use super::driver::Said;

/// Bytes of each stream that are kept.
const KEPT: usize = 4 * 1024 * 1024;

/// What was heard of a command.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    output: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Heard {
    /// A piece of the standard output.
    pub(crate) fn stdout(&mut self, piece: &[u8]) {
        keep(&mut self.output, piece);
        keep(&mut self.stdout, piece);
    }

    /// A piece of the standard error.
    pub(crate) fn stderr(&mut self, piece: &[u8]) {
        keep(&mut self.output, piece);
        keep(&mut self.stderr, piece);
    }

    /// All of it, as text.
    pub(crate) fn said(self) -> Said {
        let [output, stdout, stderr] = [self.output, self.stdout, self.stderr].map(|bytes| {
            String::from_utf8(bytes)
                .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
        });
        Said { output, stdout, stderr, ..Said::default() }
    }
}

impl Said {
    /// Of a command that ended with this status; `None`: by a signal, or without saying.
    pub(crate) fn ended(mut self, status: Option<i32>) -> Self {
        self.exitcode = status.map(i64::from);
        self.failure = match status {
            Some(0) => None,
            Some(code) => Some(format!("exit status {code}")),
            None => Some("it ended without a status".to_owned()),
        };
        self
    }
}

fn keep(kept: &mut Vec<u8>, piece: &[u8]) {
    let room = KEPT.saturating_sub(kept.len()).min(piece.len());
    kept.extend_from_slice(piece.get(..room).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_becomes_text_in_the_order_it_came() {
        let mut heard = Heard::default();
        let euro = "€".as_bytes();
        heard.stdout(&euro[..1]);
        heard.stdout(&euro[1..]);
        heard.stderr(b"no\xff");
        heard.stdout(&vec![b'x'; KEPT]);
        let said = heard.said();
        assert!(said.output.starts_with("€no\u{fffd}xx") && said.stdout.starts_with("€xx"));
        assert_eq!((said.stderr.as_str(), said.stdout.len()), ("no\u{fffd}", KEPT));
        assert_eq!(Said::default().ended(Some(3)).failure.as_deref(), Some("exit status 3"));
        assert_eq!(Said::default().ended(Some(0)).failure, None);
    }
}
