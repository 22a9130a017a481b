//! Values of variables for texts of a driver: those of the plan, and what is known only once a session is opened.

use std::net::IpAddr;

use crate::{
    base::wait::Deadline,
    change::{DriverError, Target, Text, Values, Vars},
};

/// The text of a command, in the command line of what carries it.
const SEND: &str = "command.send";

/// The values for one device.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) device: String,
    vars: Vars,
}

impl Known {
    /// Those of `texts`; the device's name is looked up where its address is needed and nobody said it.
    ///
    /// # Errors
    /// There is no such name.
    pub(super) async fn of(
        target: Target<'_>,
        texts: impl Iterator<Item = &Text>,
        deadline: Deadline,
    ) -> Result<Self, DriverError> {
        let mut vars = target.vars.clone();
        for key in texts.flat_map(Text::keys).filter(|key| !target.vars.contains_key(*key)) {
            let value = match key {
                "device.fqdn" => name(target).to_owned(),
                "device.ipaddress" => address(target, deadline).await?.to_string(),
                _ => continue,
            };
            vars.insert(key.to_owned(), value);
        }
        Ok(Self { device: target.device.name.to_string(), vars })
    }

    /// A text with its variables filled in.
    ///
    /// # Errors
    /// One of them has no value.
    pub(super) fn fill(&self, text: &Text) -> Result<String, DriverError> {
        text.fill(&self.vars).map_err(|error| self.refused(error.to_string()))
    }

    /// A command line. What is sent is one of its arguments, or a part of one, wherever it has a place there; else its words
    /// come at the end.
    ///
    /// # Errors
    /// A variable has no value; there is no program; what is sent has a quote without an end.
    pub(super) fn words(&self, argv: &[Text], send: &str) -> Result<Vec<String>, DriverError> {
        let values = Sending { vars: &self.vars, send };
        let fill = |text: &Text| text.fill(&values).map_err(|error| self.refused(error.to_string()));
        let mut words = argv.iter().map(fill).collect::<Result<Vec<_>, _>>()?;
        if !argv.iter().flat_map(Text::keys).any(|key| key == SEND) {
            let more = shlex::split(send);
            words.extend(more.ok_or_else(|| self.refused("the command has a quote without an end"))?);
        }
        if words.first().is_none_or(String::is_empty) {
            return Err(self.refused("the command names no program"));
        }
        Ok(words)
    }

    pub(super) fn refused(&self, why: impl Into<String>) -> DriverError {
        DriverError::Refused { device: self.device.clone(), why: why.into() }
    }

    pub(super) fn unconnected(&self, why: impl Into<String>) -> DriverError {
        DriverError::Connect { device: self.device.clone(), why: why.into() }
    }
}

struct Sending<'a> {
    vars: &'a Vars,
    send: &'a str,
}

impl Values for Sending<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        if key == SEND { Some(self.send) } else { self.vars.value(key) }
    }
}

/// What a device is called in the network, as far as it says.
pub(super) fn name(target: Target<'_>) -> &str {
    let fqdn = target.device.attributes.get("fqdn").map(String::as_str);
    fqdn.unwrap_or_else(|| target.device.name.as_str())
}

/// Where a device is: what it says itself, else what its name is looked up as.
///
/// # Errors
/// It says no address, and its name is not known.
pub(super) async fn address(target: Target<'_>, deadline: Deadline) -> Result<IpAddr, DriverError> {
    let said = target.device.attributes.get("ipaddress").map(String::as_str);
    let host = said.unwrap_or_else(|| name(target)).trim();
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(address);
    }
    let looked_up = tokio::time::timeout(deadline.left(), tokio::net::lookup_host((host, 0))).await;
    let why = match looked_up {
        Ok(Ok(mut found)) => match found.next() {
            Some(address) => return Ok(address.ip()),
            None => "it has no address".to_owned(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "nobody answered in time".to_owned(),
    };
    let device = target.device.name.to_string();
    let why = format!("cannot look up `{host}` ({why}); say its `ipaddress` in the file");
    Err(DriverError::Connect { device, why })
}
