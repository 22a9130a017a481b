//! Values of parameters as long as they live: found again by who asks for the same, ended in reverse with their outcome.

use std::{
    any::{Any, TypeId},
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::bail;

use crate::{Result, base::dial::BoxFuture, event::Outcome};

use super::{
    extract::{FromSuite, OnReturn},
    registry::Param,
};

/// A value that a step is given while the runner keeps it, too.
#[derive(Debug)]
pub struct Held<T>(Arc<T>);

impl<T> Deref for Held<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The values that live as long as a step, or as a suite; in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings(Arc<Mutex<Vec<Holding>>>);

/// A value and how it is ended.
pub(crate) struct Holding {
    key: Key,
    value: Arc<dyn Any + Send + Sync>,
    on_return: OnReturn,
    end: fn(Arc<dyn Any + Send + Sync>, Outcome) -> BoxFuture<'static, Result>,
}

/// What distinguishes values: their type, and what the parameter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    ty: TypeId,
    name: &'static str,
    role: Option<&'static str>,
}

impl Key {
    fn of<T: 'static>(param: &Param) -> Self {
        Self { ty: TypeId::of::<T>(), name: param.name, role: param.role }
    }
}

impl Holdings {
    /// The value that was made for such a parameter before.
    pub(crate) fn find<T: FromSuite>(&self, param: &Param) -> Option<Held<T>> {
        let key = Key::of::<T>(param);
        let value = self.lock().iter().find(|holding| holding.key == key).map(|h| Arc::clone(&h.value));
        value?.downcast().ok().map(Held)
    }

    /// Keeps a value that was made for a parameter.
    pub(crate) fn keep<T: FromSuite>(&self, param: &Param, value: T) -> Held<T> {
        let value = Arc::new(value);
        let (key, on_return) = (Key::of::<T>(param), T::ON_RETURN);
        self.lock().push(Holding { key, value: value.clone(), on_return, end: end::<T> });
        Held(value)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes away those that are made again when their suite has gone back to an earlier state.
    pub(crate) fn take_remade(&self) -> Self {
        let mut all = self.lock();
        let (remade, others) =
            std::mem::take(&mut *all).into_iter().partition(|holding| holding.on_return == OnReturn::Remake);
        *all = others;
        Self(Arc::new(Mutex::new(remade)))
    }

    /// Takes away what was made last.
    pub(crate) fn pop(&self) -> Option<Holding> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Holding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// What the parameter is called.
    pub(crate) fn name(&self) -> &'static str {
        self.key.name
    }

    /// Ends it.
    pub(crate) fn end(self, outcome: Outcome) -> BoxFuture<'static, Result> {
        (self.end)(self.value, outcome)
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("key", &self.key).finish_non_exhaustive()
    }
}

fn end<T: FromSuite>(value: Arc<dyn Any + Send + Sync>, outcome: Outcome) -> BoxFuture<'static, Result> {
    Box::pin(async move {
        let Ok(value) = value.downcast::<T>() else { return Ok(()) };
        match Arc::try_unwrap(value) {
            Ok(value) => value.teardown(&outcome).await,
            Err(_) => bail!("somebody still has it"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        context::SuiteCx,
        extract::{Need, Scope},
    };
    use super::*;

    /// Tells how it was ended, and cannot be ended when it is empty.
    struct Told(Arc<Mutex<Vec<String>>>, &'static str);

    impl FromSuite for Told {
        const NEED: Need = Need::Nothing;
        const SCOPE: Scope = Scope::Suite;
        async fn from_suite(_: &SuiteCx, _: &Param) -> Result<Self> {
            bail!("made by hand")
        }
        async fn teardown(self, outcome: &Outcome) -> Result {
            self.0.lock().unwrap().push(format!("{} {}", self.1, *outcome == Outcome::Passed));
            anyhow::ensure!(!self.1.is_empty(), "it is empty");
            Ok(())
        }
    }

    const fn param(name: &'static str) -> Param {
        Param { name, role: None, need: Need::Nothing, scope: Scope::Suite, on_return: OnReturn::Unknown }
    }

    #[tokio::test]
    async fn values_are_found_again_and_ended_last_first() {
        let (told, holdings) = (Arc::default(), Holdings::default());
        for name in ["a", "b", ""] {
            drop(holdings.keep(&param(name), Told(Arc::clone(&told), name)));
        }
        assert_eq!(holdings.find::<Told>(&param("b")).unwrap().1, "b");
        assert!(holdings.find::<Told>(&param("c")).is_none());
        let with_role = Param { role: Some("x"), ..param("b") };
        assert!(holdings.find::<Told>(&with_role).is_none());

        let last = holdings.pop().unwrap();
        assert_eq!(last.end(Outcome::Passed).await.unwrap_err().to_string(), "it is empty");
        let used = holdings.find::<Told>(&param("b"));
        let second = holdings.pop().unwrap();
        assert_eq!(second.name(), "b");
        assert!(second.end(Outcome::Passed).await.unwrap_err().to_string().contains("still has it"));
        drop(used);
        holdings.pop().unwrap().end(Outcome::NotRun { reason: "x".into() }).await.unwrap();
        assert!(holdings.pop().is_none());
        assert_eq!(*told.lock().unwrap(), [" true", "a false"]);
    }

    /// Made again, where the other stays.
    struct Remade;

    impl FromSuite for Remade {
        const NEED: Need = Need::Nothing;
        const SCOPE: Scope = Scope::Suite;
        const ON_RETURN: OnReturn = OnReturn::Remake;
        async fn from_suite(_: &SuiteCx, _: &Param) -> Result<Self> {
            Ok(Self)
        }
    }

    #[test]
    fn what_is_made_again_is_taken_and_the_rest_stays() {
        let holdings = Holdings::default();
        drop(holdings.keep(&param("a"), Told(Arc::default(), "a")));
        drop(holdings.keep(&param("b"), Remade));
        let remade = holdings.take_remade();
        assert_eq!(remade.pop().unwrap().name(), "b");
        assert!(remade.is_empty() && holdings.find::<Remade>(&param("b")).is_none());
        assert!(holdings.find::<Told>(&param("a")).is_some());
    }
}
