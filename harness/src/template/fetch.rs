//! Downloads over HTTP: with time-outs, retries and resumption; what is downloaded is not looked at.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE},
};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, sync::OnceCell, time::timeout};

use super::{
    error::{Fault, TemplateError},
    files::{remove, replace},
    progress::Progress,
    spec::Limits,
};
use crate::base::wait::Deadline;

/// Manifests and side files are not longer.
const LONGEST_TEXT: usize = 16 * 1024 * 1024;

/// Fetches over HTTP and HTTPS; clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    limits: Limits,
    client: Arc<OnceCell<Client>>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// It was served.
    Have(T),
    /// The server does not have it, or does not give it to us; asking again does not help.
    No(StatusCode),
}

/// A part of a download on the disk.
#[derive(Debug, Default)]
struct Part {
    got: u64,
    total: Option<u64>,
    resumed: bool,
}

/// What a later attempt needs to go on with a download, also in another process.
#[derive(Debug, Serialize, Deserialize)]
struct Resume {
    url: String,
    /// What the server calls this content.
    validator: String,
    total: Option<u64>,
}

impl Http {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, client: Arc::default() }
    }

    /// How often in a row something is tried in vain.
    pub(super) fn attempts(&self) -> u32 {
        self.limits.attempts
    }

    /// The text at `url`, tried at most `attempts` times.
    pub(super) async fn text(
        &self,
        url: &str,
        deadline: Deadline,
        attempts: u32,
    ) -> Result<Answer<String>, TemplateError> {
        let mut tries = Tries::new(url, self.limits, deadline, attempts);
        loop {
            match self.text_once(url, deadline).await? {
                Ok(answer) => return Ok(answer),
                Err(fault) => tries.failed(fault, &Part::default()).await?,
            }
        }
    }

    /// Downloads `url` into the file `to`, going on with what an earlier download of it left there. Says whether it
    /// did.
    pub(crate) async fn download(
        &self,
        url: &str,
        to: &Path,
        deadline: Deadline,
        progress: &Progress,
    ) -> Result<Answer<bool>, TemplateError> {
        let mut tries = Tries::new(url, self.limits, deadline, self.limits.attempts);
        let mut part = Part::default();
        loop {
            match self.download_once(url, to, deadline, &mut part, progress).await? {
                Ok(Answer::Have(())) => return Ok(Answer::Have(part.resumed)),
                Ok(Answer::No(status)) => return Ok(Answer::No(status)),
                Err(fault) => {
                    let again = format!("downloading {}: {}; trying again", shown(url), chain(&fault));
                    tries.failed(fault, &part).await?;
                    progress.note(again);
                }
            }
        }
    }

    async fn text_once(
        &self,
        url: &str,
        deadline: Deadline,
    ) -> Result<Result<Answer<String>, Fault>, TemplateError> {
        let client = self.client().await?;
        let work = async {
            let mut response = match self.send(client, url, None, deadline).await? {
                Answer::Have(response) => response,
                Answer::No(status) => return Ok(Answer::No(status)),
            };
            let mut bytes = Vec::new();
            while let Some(more) = self.chunk(&mut response, deadline).await? {
                if bytes.len() + more.len() > LONGEST_TEXT {
                    return Err(Fault::TooLong(LONGEST_TEXT));
                }
                bytes.extend_from_slice(&more);
            }
            Ok(Answer::Have(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(work.await)
    }

    async fn download_once(
        &self,
        url: &str,
        to: &Path,
        deadline: Deadline,
        part: &mut Part,
        progress: &Progress,
    ) -> Result<Result<Answer<()>, Fault>, TemplateError> {
        let client = self.client().await?;
        let resume_file = resume_place(to);
        let earlier = earlier(url, to, &resume_file);
        *part = Part::default();
        if let Some((resume, have)) = &earlier
            && resume.total == Some(*have)
        {
            *part = Part { got: *have, total: resume.total, resumed: true };
            return Ok(Ok(Answer::Have(())));
        }
        let range = earlier.as_ref().map(|(resume, have)| (*have, resume.validator.as_str()));
        let mut response = match self.send(client, url, range, deadline).await {
            Ok(Answer::Have(response)) => response,
            Ok(Answer::No(StatusCode::RANGE_NOT_SATISFIABLE)) if range.is_some() => {
                match self.send(client, url, None, deadline).await {
                    Ok(Answer::Have(response)) => response,
                    Ok(Answer::No(status)) => return Ok(Ok(Answer::No(status))),
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            Ok(Answer::No(status)) => return Ok(Ok(Answer::No(status))),
            Err(fault) => return Ok(Err(fault)),
        };
        let start = range.map(|(have, _)| have).filter(|have| continues(&response, *have)).unwrap_or(0);
        if start == 0 {
            if response.status() == StatusCode::PARTIAL_CONTENT {
                // It sends another part than it was asked for; the next attempt asks for all.
                remove(&resume_file)?;
                return Ok(Err(Fault::Truncated));
            }
            remove(&resume_file)?;
            remove(to)?;
        }
        *part = Part {
            got: start,
            total: response.content_length().map(|rest| start + rest),
            resumed: start > 0,
        };
        if start == 0
            && let Some(validator) = validator(response.headers())
        {
            let resume = Resume { url: url.to_owned(), validator, total: part.total };
            replace(&resume_file, serde_json::json!(resume).to_string().as_bytes())?;
        }
        let received = self.receive(&mut response, to, deadline, part, progress, url).await;
        Ok(received.map(|()| Answer::Have(())))
    }

    /// Appends what arrives to `to`; what has arrived is in the file also when it fails.
    async fn receive(
        &self,
        response: &mut Response,
        to: &Path,
        deadline: Deadline,
        part: &mut Part,
        progress: &Progress,
        url: &str,
    ) -> Result<(), Fault> {
        let write = |source| Fault::Write(to.to_owned(), source);
        let mut file = tokio::fs::File::options().create(true).append(true).open(to).await.map_err(write)?;
        let mut meter = progress.meter(format!("downloading {}", shown(url)), part.got, part.total);
        let end = loop {
            match self.chunk(response, deadline).await {
                Ok(Some(bytes)) => {
                    file.write_all(&bytes).await.map_err(write)?;
                    part.got += bytes.len() as u64;
                    meter.add(bytes.len() as u64);
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        file.flush().await.map_err(write)?;
        end?;
        if part.total.is_some_and(|total| part.got < total) {
            return Err(Fault::Truncated);
        }
        meter.end();
        Ok(())
    }

    async fn send(
        &self,
        client: &Client,
        url: &str,
        range: Option<(u64, &str)>,
        deadline: Deadline,
    ) -> Result<Answer<Response>, Fault> {
        let mut request = client.get(url);
        if let Some((have, validator)) = range {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, validator);
        }
        let response = timeout(deadline.left(), request.send())
            .await
            .map_err(|_| Fault::Deadline(self.limits.total))?
            .map_err(|error| self.fault(error))?;
        let status = response.status();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Answer::Have(response)),
            _ if Fault::Status(status).passes() => Err(Fault::Status(status)),
            _ => Ok(Answer::No(status)),
        }
    }

    async fn chunk(&self, response: &mut Response, deadline: Deadline) -> Result<Option<Vec<u8>>, Fault> {
        let chunk = timeout(deadline.left(), response.chunk())
            .await
            .map_err(|_| Fault::Deadline(self.limits.total))?
            .map_err(|error| self.fault(error))?;
        Ok(chunk.map(Vec::from))
    }

    fn fault(&self, error: reqwest::Error) -> Fault {
        if error.is_timeout() && !error.is_connect() {
            Fault::Stalled(self.limits.stall)
        } else {
            Fault::Connection(error.without_url())
        }
    }

    async fn client(&self) -> Result<&Client, TemplateError> {
        let limits = self.limits;
        let make = || async move {
            // The process may have chosen another one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let builder = || {
                Client::builder()
                    .user_agent(concat!("polder/", env!("CARGO_PKG_VERSION")))
                    .connect_timeout(limits.connect)
                    .read_timeout(limits.stall)
            };
            // A host without certificates can fetch what needs none.
            builder().build().or_else(|_| builder().tls_certs_only([]).build())
        };
        self.client.get_or_try_init(make).await.map_err(TemplateError::Client)
    }
}

/// The attempts at one URL.
struct Tries<'a> {
    url: &'a str,
    limits: Limits,
    deadline: Deadline,
    most: u32,
    began: Instant,
    made: u32,
    /// Attempts since more arrived than ever before.
    fruitless: u32,
    best: u64,
}

impl<'a> Tries<'a> {
    fn new(url: &'a str, limits: Limits, deadline: Deadline, most: u32) -> Self {
        Self { url, limits, deadline, most, began: Instant::now(), made: 0, fruitless: 0, best: 0 }
    }

    /// Pauses after a failed attempt, or says that it was the last one.
    async fn failed(&mut self, fault: Fault, part: &Part) -> Result<(), TemplateError> {
        self.made += 1;
        self.fruitless = if part.got > self.best { 1 } else { self.fruitless + 1 };
        self.best = self.best.max(part.got);
        let doubled = self.limits.pause.saturating_mul(1 << (self.fruitless - 1).min(16));
        let pause = doubled.min(Limits::LONGEST_PAUSE);
        let late = self.deadline.left() < pause;
        if fault.passes() && self.fruitless < self.most && !late {
            tokio::time::sleep(pause).await;
            return Ok(());
        }
        Err(TemplateError::Download {
            url: shown(self.url),
            got: part.got,
            total: part.total,
            attempts: self.made,
            took: self.began.elapsed(),
            source: Box::new(fault),
        })
    }
}

/// The file beside a download that tells how to go on with it.
pub(super) fn resume_place(download: &Path) -> PathBuf {
    let mut name = download.file_name().unwrap_or_default().to_owned();
    name.push(".resume");
    download.with_file_name(name)
}

/// What an earlier download of `url` left, and how much.
fn earlier(url: &str, to: &Path, resume: &Path) -> Option<(Resume, u64)> {
    let resume: Resume = serde_json::from_slice(&fs::read(resume).ok()?).ok()?;
    let have = fs::metadata(to).ok()?.len();
    let fits = resume.url == url && have > 0 && resume.total.is_none_or(|total| have <= total);
    fits.then_some((resume, have))
}

/// Whether the answer begins where the part on the disk ends.
fn continues(response: &Response, have: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()) == Some(have)
}

/// What tells this content from a later one at the same URL, if the server says so reliably.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// A URL for messages, without passwords.
pub(super) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let _ = parsed.set_password(Some("***"));
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

fn chain(fault: &Fault) -> String {
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Whether something is fetched rather than read.
pub(super) fn is_url(at: &str) -> bool {
    at.starts_with("http://") || at.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("http://u:secret@h/x"), "http://u:***@h/x");
        assert_eq!(shown("http://h/x"), "http://h/x");
        assert_eq!(shown("not a url"), "not a url");
    }
}
