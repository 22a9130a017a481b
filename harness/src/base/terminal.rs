//! A terminal for a program of this host: its own end, and ours as a stream.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    io::Join,
    net::unix::pipe::{Receiver, Sender},
};

/// Programs write long lines without breaks, and everything without asking for a key in between.
const SIZE: Winsize = Winsize { ws_row: 0, ws_col: 1000, ws_xpixel: 0, ws_ypixel: 0 };

/// Our end of a terminal. The program at the other one is told to hang up when it goes. For tokio it is two pipes, which it
/// reads and writes as it does anything else.
pub(crate) type Terminal = Join<Receiver, Sender>;

/// A new terminal, and the end of it that a program gets. Needs a runtime.
pub(crate) fn open() -> io::Result<(Terminal, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    tcsetwinsize(&theirs, SIZE)?;
    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
    let reading = Receiver::from_owned_fd_unchecked(ours.try_clone()?)?;
    Ok((tokio::io::join(reading, Sender::from_owned_fd_unchecked(ours)?), theirs))
}
