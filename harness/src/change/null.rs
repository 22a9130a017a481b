//! The driver that reaches nothing: everything goes well, and what would have been sent is the answer.

use super::driver::{Driver, DriverError, Request, Said, Session, Target};
use crate::base::{dial::BoxFuture, wait::Deadline};

/// Says that all went well, and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Null;

impl Driver for Null {
    fn open<'a>(
        &'a self,
        _: Target<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async { Ok(Box::new(Self) as Box<dyn Session>) })
    }
}

impl Session for Null {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        let output = request.send.map(|text| format!("{text}\n")).unwrap_or_default();
        Box::pin(async { Ok(Said { status: Some("passed".to_owned()), ..Said::ok(output) }) })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}
