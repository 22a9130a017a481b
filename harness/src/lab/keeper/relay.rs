//! Frames of a link carried from one port to the other, as late and as broken as asked.
//!
//! The machine's cable leaves the net's bridge for a bridge of its own, where the port towards the machine is plugged in;
//! the other port takes its place on the net's bridge:
//!
//! ```text
//! net's bridge - outer port = this process = inner port - bridge between - machine's cable
//! ```

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{
    hold::{complain, interface, run},
    model::{Shaper, flipped, to_machine, to_net},
    spec::Relay,
};
use crate::{
    base::sys,
    net::{Impairment, Vlan},
};

/// Frames that may be under way in each direction; what comes on top is lost.
const QUEUE: usize = 1000;
/// How often it is looked whether the machine is still there.
const TICK: Duration = Duration::from_secs(1);
/// How long another relay of the same link may take to go.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest frame, with room to spare.
const FRAME: usize = 1 << 17;

/// A link that is carried.
pub(super) struct Link {
    relay: Relay,
    tap: u32,
    to_net: Direction,
    to_machine: Direction,
    start: Instant,
    /// The asker's line; closed, so that it knows, when it has been heard and everything is as it should be then.
    asker: Option<OwnedFd>,
}

/// One direction: the port from which frames are read, and those under way to the other one.
struct Direction {
    from: OwnedFd,
    shaper: Shaper,
    queue: VecDeque<(Duration, Vec<u8>)>,
}

impl Link {
    /// Puts itself between the machine and its net.
    pub(super) fn open(relay: Relay) -> io::Result<Self> {
        replace(&relay)?;
        let (outer, inner, between) = (relay.outer(), relay.inner(), relay.between());
        let tap = interface(&relay.tap).ok_or_else(|| {
            io::Error::other(format!("there is no interface {}: is the machine off?", relay.tap))
        })?;
        let port = |name: &str| {
            sys::open_tap(name)
                .map_err(|error| io::Error::other(format!("cannot make the port {name}: {error}")))
        };
        let direction = |from, seed| Direction { from, shaper: Shaper::new(seed), queue: VecDeque::new() };
        let link = Self {
            to_net: direction(port(&inner)?, relay.seed),
            to_machine: direction(port(&outer)?, !relay.seed),
            tap,
            start: Instant::now(),
            asker: Some(io::stdin().as_fd().try_clone_to_owned()?),
            relay,
        };
        rustix::stdio::dup2_stdin(OwnedFd::from(std::fs::File::open("/dev/null")?))?;
        let Relay { tap, bridge, mtu, .. } = &link.relay;
        let lines = [
            // No address of the host is to be seen on it: the bridge behind it is where those are.
            format!("ip link add {between} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            format!("ip link set {between} mtu {mtu} addrgenmode none arp off up"),
            format!("ip link set {inner} mtu {mtu} addrgenmode none master {between} up"),
            format!("ip link set {outer} mtu {mtu} addrgenmode none master {bridge} up"),
            format!("ip link set {tap} master {between}"),
        ];
        for line in lines {
            if let Err(error) = run(&words(&line)) {
                link.close();
                return Err(error);
            }
        }
        Ok(link)
    }

    /// Carries frames until it is let go and there is nothing more to do, or the machine or a port is gone.
    pub(super) fn carry(&mut self, signals: &OwnedFd) -> io::Result<()> {
        let mut room = vec![0; FRAME];
        let mut next_look = Instant::now() + TICK;
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + TICK;
                if interface(&self.relay.tap) != Some(self.tap) {
                    return Ok(());
                }
            }
            let what = if self.asker.is_some() { self.relay.now } else { self.relay.then };
            let now = self.start.elapsed();
            let due = [&self.to_net, &self.to_machine].into_iter().filter_map(|d| d.queue.front());
            let due = due.map(|(due, _)| due.saturating_sub(now));
            let wait = due.chain([next_look.saturating_duration_since(Instant::now())]).min().unwrap_or(TICK);
            let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
            let mut fds = vec![
                PollFd::new(&self.to_net.from, PollFlags::IN),
                PollFd::new(&self.to_machine.from, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            fds.extend(self.asker.as_ref().map(|asker| PollFd::new(asker, PollFlags::IN)));
            match rustix::event::poll(&mut fds, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let seen: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            let seen = |i: usize| seen.get(i).copied().unwrap_or(PollFlags::empty());
            if !seen(2).is_empty() || (seen(0) | seen(1)).intersects(PollFlags::ERR | PollFlags::HUP) {
                return Ok(());
            }
            if !seen(3).is_empty() {
                if !self.relay.goes_on() {
                    return Ok(());
                }
                self.asker = None;
            }
            let vlan = self.relay.vlan.as_ref();
            let now = self.start.elapsed();
            self.to_net.take(&what, vlan, to_net, now, &mut room);
            self.to_machine.take(&what, vlan, to_machine, now, &mut room);
            self.to_net.send(&self.to_machine.from, now);
            self.to_machine.send(&self.to_net.from, now);
        }
    }

    /// Plugs the machine into its net again.
    pub(super) fn close(self) {
        let Self { relay, tap, to_net, to_machine, asker, .. } = self;
        // The ports go with their descriptors.
        drop((to_net, to_machine));
        // A machine that was switched on again has a new cable, which is where it belongs.
        let plug = format!("ip link set {} master {}", relay.tap, relay.bridge);
        let plugged = if interface(&relay.tap) == Some(tap) { run(&words(&plug)) } else { Ok(()) };
        let removed = run(&words(&format!("ip link del {}", relay.between())));
        // Its cable may have gone between the look and the call.
        let left = [plugged.err().filter(|_| interface(&relay.tap) == Some(tap)), removed.err()];
        if let Some(asker) = asker {
            complain(&asker, &left.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}

impl Direction {
    /// Reads what has come and decides what becomes of it.
    fn take(
        &mut self,
        what: &Impairment,
        vlan: Option<&Vlan>,
        sort: fn(Option<&Vlan>, Vec<u8>) -> Option<Vec<u8>>,
        now: Duration,
        room: &mut [u8],
    ) {
        while let Ok(len) = rustix::io::read(&self.from, &mut *room) {
            let Some(sorted) = sort(vlan, room.get(..len).unwrap_or_default().to_vec()) else { continue };
            for arrival in self.shaper.pass(what, now, sorted.len()) {
                if self.queue.len() < QUEUE {
                    let copy = sorted.clone();
                    let copy = match arrival.flip {
                        Some(bit) => flipped(copy, bit),
                        None => copy,
                    };
                    self.queue.push_back((arrival.due, copy));
                }
            }
        }
    }

    /// Hands over what is due.
    fn send(&mut self, to: &OwnedFd, now: Duration) {
        while self.queue.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, frame)) = self.queue.pop_front() {
                // A port that takes no frame loses it, as a full one of any switch does.
                let _ = rustix::io::write(to, &frame);
            }
        }
    }
}

/// Ends another relay of the link: it goes when its port is gone, and its other port goes with it.
fn replace(relay: &Relay) -> io::Result<()> {
    let (outer, inner, between) = (relay.outer(), relay.inner(), relay.between());
    if interface(&outer).is_some() {
        let _ = run(&words(&format!("ip link del {outer}")));
    }
    let start = Instant::now();
    while [&outer, &inner, &between].into_iter().any(|name| interface(name).is_some()) {
        if start.elapsed() > PATIENCE {
            // Nobody is left who would do it.
            return run(&words(&format!("ip link del {between}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
