//! A network of an environment.

use std::{net::Ipv4Addr, sync::Arc};

use crate::{base::id::NetName, net::PlannedNet};

/// A network of an environment.
#[derive(Clone, Debug)]
pub struct Net {
    pub(super) spec: Arc<PlannedNet>,
}

impl Net {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NetName {
        &self.spec.name
    }

    /// The IPv4 address of its gateway, which is the lab's own.
    #[must_use]
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.spec.gateway
    }
}
