//! Why something is refused: what kind of thing it is about and what is wrong, from which each API makes its own code.

/// What is asked for cannot be done, and nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refused {
    pub(crate) about: About,
    pub(crate) why: Why,
    pub(crate) text: String,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Login,
    /// Devices, containers, and what is assigned to them.
    Node,
    Configlet,
    Task,
    User,
    Role,
    /// Change controls, and other things of the resource API.
    Resource,
    Snapshot,
    Image,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody is logged in.
    Unauthorized,
    /// Wrong user or password.
    Credentials,
    /// Whoever asks may not.
    Forbidden,
    /// The name is taken.
    Exists,
    /// There is no such thing.
    Absent,
    /// There is nothing of this key.
    NoData,
    /// What was sent makes no sense.
    Invalid,
    /// Others use it.
    InUse,
    /// It is not in a state for that.
    State,
}

impl Refused {
    pub(crate) fn new(about: About, why: Why, text: impl Into<String>) -> Self {
        Self { about, why, text: text.into() }
    }

    /// What was sent makes no sense.
    pub(crate) fn invalid(about: About, what: impl std::fmt::Display) -> Self {
        Self::new(about, Why::Invalid, format!("Invalid input parameters.: {what}"))
    }

    /// There is no such entity.
    pub(crate) fn absent(about: About) -> Self {
        Self::new(about, Why::Absent, "Entity does not exist")
    }

    /// The name is taken.
    pub(crate) fn exists(about: About) -> Self {
        Self::new(about, Why::Exists, "Data already exists in Database.")
    }

    /// The code of the classic API.
    pub(crate) fn code(&self) -> String {
        let module = match self.about {
            // Who may do what is the login's matter, wherever it is asked for.
            _ if self.why == Why::Forbidden => "112",
            About::Login => "112",
            About::Node => "122",
            About::Configlet => "132",
            About::Task => "142",
            About::User => "202",
            About::Role => "232",
            About::Resource => "152",
            About::Snapshot => "162",
            About::Image => "172",
        };
        let kind = match self.why {
            Why::Unauthorized => "498",
            Why::Credentials => "955",
            Why::Forbidden => "403",
            Why::Exists => "518",
            Why::Absent if self.about == About::Task => "WF606",
            Why::Absent if matches!(self.about, About::User | About::Role) => "889",
            Why::Absent => "801",
            Why::NoData => "532",
            Why::Invalid => "718",
            Why::InUse => "809",
            Why::State => "612",
        };
        format!("{module}{kind}")
    }

    /// The code of the resource API, and the status that belongs to it.
    pub(crate) fn grpc(&self) -> (u8, u16) {
        match self.why {
            Why::Unauthorized | Why::Credentials => (16, 401),
            Why::Forbidden => (7, 403),
            Why::Exists => (6, 409),
            Why::Absent | Why::NoData => (5, 404),
            Why::Invalid => (3, 400),
            Why::InUse | Why::State => (9, 400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(Refused::exists(About::Configlet), "132518", 6)]
    #[case(Refused::new(About::Task, Why::Absent, "Invalid WorkOrderId"), "142WF606", 5)]
    #[case(Refused::absent(About::Configlet), "132801", 5)]
    #[case(Refused::new(About::Login, Why::Unauthorized, "User is unauthorized"), "112498", 16)]
    #[case(Refused::invalid(About::Configlet, "name"), "132718", 3)]
    #[case(Refused::new(About::Task, Why::State, "x"), "142612", 9)]
    #[case(Refused::new(About::Configlet, Why::Forbidden, "x"), "112403", 7)]
    fn each_api_has_its_code(#[case] refused: Refused, #[case] classic: &str, #[case] grpc: u8) {
        assert_eq!((refused.code().as_str(), refused.grpc().0), (classic, grpc));
    }
}
