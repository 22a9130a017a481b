//! Echo requests from a guest: whether another host answers, how many answers come, and how long they take.

use std::{fmt, time::Duration};

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    waiting::Until,
};

/// Between two requests, in seconds.
const PAUSE: &str = "0.2";
/// For one answer, in seconds.
const ANSWER: &str = "2";

/// What came of echo requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pings {
    /// How many went out.
    pub sent: u32,
    /// How many were answered.
    pub received: u32,
    /// How long an answer took on average; none where there was none.
    pub average: Option<Duration>,
}

impl Pings {
    /// How many were lost, in per cent.
    #[must_use]
    pub fn loss(&self) -> f64 {
        100.0 * f64::from(self.sent.saturating_sub(self.received)) / f64::from(self.sent.max(1))
    }
}

/// As it is told where it is not what was expected.
impl fmt::Display for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} echo requests were answered", self.received, self.sent)?;
        match self.average {
            Some(average) => write!(f, ", after {average:.1?} on average"),
            None => Ok(()),
        }
    }
}

impl Guest {
    /// Sends echo requests to a host, five a second, and counts the answers. That none comes is no error.
    ///
    /// # Errors
    /// As [`Guest::execute`]; [`GuestError::Failed`] where nothing can be sent to that host.
    pub async fn ping(&self, to: impl fmt::Display, count: u32) -> Result<Pings, GuestError> {
        let command = request(&to.to_string(), count);
        timed(verb!(self, "ping", command = command), async {
            let ran = self.logged(&command).await?;
            match parse(&ran.output.stdout.text()) {
                Some(pings) => Ok(pings),
                None => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
            }
        })
        .await
    }

    /// Sends echo requests to a host until one is answered; a deadline is given by [`Until::within`].
    pub fn until_ping(&self, to: impl fmt::Display) -> Until<'static> {
        self.until(request(&to.to_string(), 1), |_| true)
    }
}

fn request(to: &str, count: u32) -> Command {
    Command::new("ping").args(["-c", &count.to_string(), "-i", PAUSE, "-W", ANSWER, to])
}

/// Reads the summary that busybox and iputils print alike.
fn parse(text: &str) -> Option<Pings> {
    let line = text.lines().find(|line| line.contains(" packets transmitted, "))?;
    let count = |what: &str| {
        let part = line.split(", ").find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let (sent, received) = (count("packets transmitted")?, count("received")?);
    let times = text.lines().find(|line| line.contains("min/avg/max"));
    let average = times.and_then(|line| line.split(" = ").nth(1)?.split('/').nth(1)?.trim().parse().ok());
    let average = average.and_then(|ms: f64| Duration::try_from_secs_f64(ms / 1000.0).ok());
    Some(Pings { sent, received, average })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::iputils(
        "PING a (10.0.0.1) 56(84) bytes of data.\n\n--- a ping statistics ---\n\
         10 packets transmitted, 8 received, 20% packet loss, time 1805ms\n\
         rtt min/avg/max/mdev = 0.5/101.25/202.1/3.1 ms\n",
        Some((10, 8, Some(101_250)))
    )]
    #[case::busybox(
        "PING 10.0.0.1 (10.0.0.1): 56 data bytes\n\n--- 10.0.0.1 ping statistics ---\n\
         4 packets transmitted, 3 packets received, 25% packet loss\n\
         round-trip min/avg/max = 1.000/2.500/4.000 ms\n",
        Some((4, 3, Some(2500)))
    )]
    #[case::doubled(
        "4 packets transmitted, 4 packets received, 2 duplicates, 0% packet loss\n\
         round-trip min/avg/max = 1.000/2.000/4.000 ms\n",
        Some((4, 4, Some(2000)))
    )]
    #[case::unanswered(
        "2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1015ms\npipe 2\n",
        Some((2, 0, None))
    )]
    #[case::no_name("ping: bad address 'nowhere'\n", None)]
    fn summaries_are_read(#[case] text: &str, #[case] expected: Option<(u32, u32, Option<u64>)>) {
        let expected = expected.map(|(sent, received, micros)| Pings {
            sent,
            received,
            average: micros.map(Duration::from_micros),
        });
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn losses_are_per_cent_of_what_went_out() {
        let pings = |sent, received| Pings { sent, received, average: None };
        assert!((pings(8, 6).loss() - 25.0).abs() < 1e-9);
        assert!((pings(0, 0).loss()).abs() < 1e-9);
        assert!((pings(1, 2).loss()).abs() < 1e-9, "doubled");
        assert_eq!(pings(3, 0).to_string(), "0 of 3 echo requests were answered");
    }
}
