//! From what is asked over the wire to the model and back. No sockets: a request comes in whole, an answer goes out whole.

mod account;
mod answer;
mod ccapi;
mod change;
mod compliance;
mod configlet;
mod enrolment;
mod held;
mod image;
mod inventory;
mod legacy;
mod page;
mod provision;
mod request;
mod resource;
mod session;
mod snapshot;
mod table;
mod tag;
mod task;
mod topology;
mod user;

use serde_json::Value;

pub(super) use answer::Answer;
pub(super) use request::Request;
pub(super) use table::devices_read;

use super::model::{About, Model, Refused, Who};
use table::Route;

/// What a handler has.
struct Cx<'a> {
    model: &'a mut Model,
    who: Who,
    request: &'a Request,
    body: Value,
    about: About,
}

impl Cx<'_> {
    /// What was sent, as the type it must have.
    fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refused> {
        T::deserialize(&self.body).map_err(|error| Refused::invalid(self.about, error))
    }

    /// A value of the query; empty when there is none.
    fn query(&self, name: &str) -> &str {
        self.request.query(name).unwrap_or_default()
    }

    /// The part of a list that is asked for, and how long the list is.
    fn page<T>(&self, all: impl IntoIterator<Item = T>) -> (usize, Vec<T>) {
        let number = |name: &str| self.query(name).parse::<usize>().unwrap_or(0);
        let (start, end) = (number("startIndex"), number("endIndex"));
        let mut all: Vec<T> = all.into_iter().collect();
        let total = all.len();
        if end > 0 {
            all.truncate(end);
        }
        (total, all.into_iter().skip(start).collect())
    }

    fn user(&self) -> String {
        self.who.user.clone()
    }
}

/// Answers a request. Whatever is refused leaves the model as it was.
pub(super) fn answer(model: &mut Model, request: &Request) -> Answer {
    let level = model.settings.imitate.level();
    if let Some(answer) = page::answer(model, request) {
        return answer;
    }
    let routes: Vec<&Route> = table::at(&request.path, level).collect();
    let Some(route) = routes.iter().find(|route| route.method == request.method) else {
        if routes.is_empty() {
            return Answer::unknown(&request.path, level);
        }
        return Answer::method_not_allowed(routes.iter().map(|route| route.method));
    };
    let resource = request.path.starts_with("/api/");
    if route.path == session::LOGIN {
        return session::login(model, request);
    }
    let Some(who) = model.recognize(&request.secrets) else {
        return Answer::refused(&session::unauthorized(), resource);
    };
    if table::writes(route) && !model.may_write(&who) {
        let refused = Refused::new(route.about, super::model::Why::Forbidden, "Forbidden");
        return Answer::refused(&refused, resource);
    }
    let body = match request.json() {
        Ok(body) => body,
        Err(error) => return Answer::bad_request(&Refused::invalid(route.about, error), resource),
    };
    let mut cx = Cx { model, who, request, body, about: route.about };
    match (route.handler)(&mut cx) {
        Ok(answer) => answer,
        Err(refused) => Answer::refused(&refused, resource),
    }
}
