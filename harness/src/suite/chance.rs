//! Chance in scenarios, which can be had again: numbers from the run's seed, for choices that a scenario leaves to it.

use std::{
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{Result, base::random::Random, trace::layer::LOG};

use super::{context::SuiteCx, extract::FromSuite, extract::Need, registry::Param};

/// Choices that are left to chance, a parameter of scenarios: when to pull a cable, which machine to kill. They are the same
/// ones for the same seed of the run (`POLDER_SEED`), scenario and attempt, whatever else runs.
///
/// ```no_run
/// use polder::{Chance, Result, prelude::*};
///
/// async fn whoever_dies(chance: &Chance, vms: &Vms) -> Result {
///     tokio::time::sleep(chance.between(secs(1)..secs(5))).await;
///     let victim = chance.pick(vms).context("there is a machine")?;
///     victim.crash().await?;
///     Ok(())
/// }
/// ```
pub struct Chance {
    seed: u64,
    random: Mutex<Random>,
}

impl Chance {
    fn new(seed: u64) -> Self {
        Self { seed, random: Mutex::new(Random::new(seed)) }
    }

    /// Its seed, for generators of one's own.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number from 0 to below `end`; 0 when that is 0.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.random().below(end)
    }

    /// A time of a range; its start when the range is empty.
    #[must_use]
    pub fn between(&self, range: Range<Duration>) -> Duration {
        let wide = range.end.saturating_sub(range.start);
        range.start + wide.mul_f64(self.random().fraction())
    }

    /// Whether something happens that does so in `percent` of all cases.
    #[must_use]
    pub fn happens(&self, percent: f64) -> bool {
        self.random().fraction() * 100.0 < percent
    }

    /// One of several; nothing of none.
    #[must_use]
    pub fn pick<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(all.len()).ok()?);
        all.get(usize::try_from(index).ok()?)
    }

    fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chance({})", self.seed)
    }
}

impl FromSuite for Chance {
    const NEED: Need = Need::Chance;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        let seed = cx.seeds.next();
        tracing::info!(target: LOG, "`{}`: chance, seed {seed}", param.name);
        Ok(Self::new(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_same_for_the_same_seed() {
        let chosen = |seed| {
            let chance = Chance::new(seed);
            let range = Duration::from_secs(1)..Duration::from_secs(2);
            let one = || {
                let time = chance.between(range.clone());
                assert!(range.contains(&time), "{time:?}");
                (*chance.pick(&["a", "b", "c"]).unwrap(), chance.below(10), chance.happens(50.0), time)
            };
            (0..20).map(|_| one()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        assert!(chosen(7).iter().any(|one| one.0 == "a") && chosen(7).iter().any(|one| one.0 == "c"));
        let chance = Chance::new(7);
        assert_eq!((chance.seed(), chance.below(0), chance.pick::<u8>(&[])), (7, 0, None));
        assert_eq!(chance.between(Duration::from_secs(3)..Duration::from_secs(1)), Duration::from_secs(3));
        assert!((0..100).all(|_| chance.happens(100.0) && !chance.happens(0.0)));
    }
}
