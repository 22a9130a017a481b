//! What is told while templates are fetched, and how often. Knows no terminal.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Something worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateEvent {
    /// What is done now or had to be worked around, in words.
    Note(String),
    /// How far a long transfer or computation is.
    Transfer(Transfer),
}

/// How far something long is.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// What is done with what, such as `downloading http://host/image`.
    pub what: String,
    /// Bytes done.
    pub done: u64,
    /// All bytes, when that is known.
    pub total: Option<u64>,
    /// Bytes in a second, since this attempt began.
    pub per_second: f64,
}

impl fmt::Display for TemplateEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => f.write_str(text),
            Self::Transfer(Transfer { what, done, total, per_second }) => {
                let mib = |bytes: f64| bytes / f64::from(1024 * 1024);
                let rate = mib(*per_second);
                match total {
                    Some(total) => {
                        let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(100);
                        let (done, total) = (mib(*done as f64), mib(*total as f64));
                        write!(f, "{what}: {percent} % ({done:.1} of {total:.1} MiB, {rate:.1} MiB/s)")
                    }
                    None => write!(f, "{what}: {:.1} MiB, {rate:.1} MiB/s", mib(*done as f64)),
                }
            }
        }
    }
}

/// Receives what is told.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&TemplateEvent) + Send + Sync>);

impl Progress {
    /// Calls `tell` with every event, also from other threads.
    pub fn new(tell: impl Fn(&TemplateEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells something in words.
    pub fn note(&self, text: impl Into<String>) {
        (self.0)(&TemplateEvent::Note(text.into()));
    }

    /// Counts something that begins now.
    #[must_use]
    pub fn meter(&self, what: impl Into<String>, start: u64, total: Option<u64>) -> Meter {
        let now = Instant::now();
        Meter { progress: self.clone(), what: what.into(), start, done: start, total, began: now, told: now }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Counts bytes and tells now and then.
#[derive(Debug)]
pub struct Meter {
    progress: Progress,
    what: String,
    start: u64,
    done: u64,
    total: Option<u64>,
    began: Instant,
    told: Instant,
}

impl Meter {
    /// Between two events; what takes less than that tells only its end.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Counts `bytes` more.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.told.elapsed() >= Self::PAUSE {
            self.tell();
        }
    }

    /// Tells the end.
    pub fn end(mut self) {
        self.tell();
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let seconds = self.began.elapsed().as_secs_f64().max(1e-3);
        let per_second = self.done.saturating_sub(self.start) as f64 / seconds;
        let (what, done, total) = (self.what.clone(), self.done, self.total);
        (self.progress.0)(&TemplateEvent::Transfer(Transfer { what, done, total, per_second }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_read_well() {
        let transfer = |done, total| {
            let what = "downloading x".to_owned();
            TemplateEvent::Transfer(Transfer { what, done, total, per_second: 524_288.0 }).to_string()
        };
        assert_eq!(transfer(1 << 20, Some(4 << 20)), "downloading x: 25 % (1.0 of 4.0 MiB, 0.5 MiB/s)");
        assert_eq!(transfer(0, Some(0)), "downloading x: 100 % (0.0 of 0.0 MiB, 0.5 MiB/s)");
        assert_eq!(transfer(1 << 20, None), "downloading x: 1.0 MiB, 0.5 MiB/s");
    }
}
