//! A driver that answers what it was told to, and knows afterwards what it was asked.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::driver::{Driver, DriverError, Request, Said, Session, Target};
use crate::base::{dial::BoxFuture, wait::Deadline};

type Answer = dyn Fn(&str, &str) -> Result<Said, DriverError> + Send + Sync;
type Door = dyn Fn(&str) -> Result<(), DriverError> + Send + Sync;

/// A driver for tests. Its clones are the same driver.
///
/// ```
/// use polder::change::{Mock, Said};
/// let mock = Mock::new(|_device, sent| Ok(if sent == "reload" { Said::exit(1, "no") } else { Said::ok("") }));
/// assert_eq!(mock.seen().sent, []);
/// ```
#[derive(Clone)]
pub struct Mock {
    answer: Arc<Answer>,
    door: Arc<Door>,
    seen: Arc<Mutex<Seen>>,
}

/// What a mock was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sessions that were opened.
    pub opened: usize,
    /// Sessions that were closed.
    pub closed: usize,
    /// What was sent, in order: the device, and the text.
    pub sent: Vec<(String, String)>,
}

impl Mock {
    /// Answers as a function does that is told the device and what is sent to it.
    pub fn new(answer: impl Fn(&str, &str) -> Result<Said, DriverError> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), door: Arc::new(|_| Ok(())), seen: Arc::default() }
    }

    /// Lets in, or keeps out, as a function does that is told the device.
    #[must_use]
    pub fn with_door(
        mut self,
        door: impl Fn(&str) -> Result<(), DriverError> + Send + Sync + 'static,
    ) -> Self {
        self.door = Arc::new(door);
        self
    }

    /// What it was asked for so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock").field("seen", &self.seen()).finish_non_exhaustive()
    }
}

impl Driver for Mock {
    fn open<'a>(
        &'a self,
        target: Target<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let device = target.device.name.to_string();
            (self.door)(&device)?;
            self.lock().opened += 1;
            Ok(Box::new(Talk { mock: self.clone(), device }) as Box<dyn Session>)
        })
    }
}

struct Talk {
    mock: Mock,
    device: String,
}

impl Session for Talk {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            self.mock.lock().sent.push((self.device.clone(), send.to_owned()));
            (self.mock.answer)(&self.device, send)
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            self.mock.lock().closed += 1;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use regex_lite::Regex;

    use super::*;
    use crate::change::{cond::Results, model::Device, null::Null, text::Vars};

    #[tokio::test]
    async fn drivers_are_told_everything_and_answer_through_the_traits() {
        let mock = Mock::new(|device, sent| match sent {
            "fail" => Ok(Said::exit(3, "no")),
            _ => Ok(Said::ok(format!("{device}: {sent}\n"))),
        })
        .with_door(|device| match device {
            "sw9" => Err(DriverError::Connect { device: device.to_owned(), why: "no route".to_owned() }),
            _ => Ok(()),
        });
        let deadline = Deadline::within(Duration::from_secs(5));
        let drivers: [Box<dyn Driver>; 2] = [Box::new(Null), Box::new(mock.clone())];
        for driver in &drivers {
            let device = Device { name: "sw1".into(), ..Device::default() };
            let vars = Vars::new();
            let mut session = driver.open(Target { device: &device, vars: &vars }, deadline).await.unwrap();
            let mut results = Results::default();
            let none = Results::default();
            let request = Request { expect: None, send: Some("show"), so_far: &none };
            let said = session.exchange(request, deadline).await.unwrap();
            said.add_to(&mut results);
            assert!(results.cmdoutput.ends_with("show\n") && results.exitcode == Some(0), "{results:?}");
            let expect = Regex::new("sho.").unwrap();
            let request = Request { expect: Some(&expect), send: None, so_far: &results };
            session.exchange(request, deadline).await.unwrap();
            session.close(deadline).await.unwrap();
        }
        let sw9 = Device { name: "sw9".into(), ..Device::default() };
        let error = mock.open(Target { device: &sw9, vars: &Vars::new() }, deadline).await.err().unwrap();
        assert_eq!(error.to_string(), "cannot connect to sw9: no route");
        let sent = vec![("sw1".to_owned(), "show".to_owned())];
        assert_eq!(mock.seen(), Seen { opened: 1, closed: 1, sent });
        assert_eq!(Said::exit(3, "no").failure.as_deref(), Some("exit status 3"));
    }
}
