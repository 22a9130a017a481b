//! Numbers that only look like chance: the same seed leads to the same ones, on any host and in any order of suites. Nothing
//! here keeps a secret.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

/// The largest seed: programs that read JSON know no larger number exactly.
pub const LARGEST: u64 = (1 << 53) - 1;

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Those of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to below `end`; 0 when that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Of so many numbers that the first ones are not likelier than the others.
        let wide = u128::from(self.number()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Seeds for one after another of what chance has a part in, within a scenario; clones are the same.
#[derive(Debug, Clone)]
pub struct Seeds {
    run: u64,
    within: Arc<[String]>,
    taken: Arc<AtomicU64>,
}

impl Seeds {
    /// Those of a run's seed, within what has these names: others have others.
    #[must_use]
    pub fn new(run: u64, within: &[&str]) -> Self {
        let within = within.iter().map(ToString::to_string).collect();
        Self { run, within, taken: Arc::default() }
    }

    /// The seed of the run.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// The next one, at most [`LARGEST`].
    #[must_use]
    pub fn next(&self) -> u64 {
        let ordinal = self.taken.fetch_add(1, Ordering::Relaxed);
        let mut hash = Sha256::new().chain_update(self.run.to_be_bytes());
        for name in &*self.within {
            // With its length, so that no two lists of names are one text.
            hash.update(name.len().to_be_bytes());
            hash.update(name);
        }
        let digest: [u8; 32] = hash.chain_update(ordinal.to_be_bytes()).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) & LARGEST
    }

    /// Whether any was taken.
    #[must_use]
    pub fn any(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_leads_to_the_same_numbers_and_others_to_others() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        let mut all = numbers(7);
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 80 && all.iter().all(|number| *number < 1000), "{all:?}");
        assert_eq!(Random::new(1).below(0), 0);
        assert_eq!(Random::new(1).below(1), 0);
        assert!((0.0..1.0).contains(&Random::new(u64::MAX).fraction()));
        // As it was published.
        assert_eq!(Random::new(1_234_567).number(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn seeds_differ_by_run_name_and_ordinal_alone() {
        let take = |run, within: &[&str]| {
            let seeds = Seeds::new(run, within);
            [seeds.next(), seeds.clone().next(), seeds.next()]
        };
        let first = take(1, &["net", "loses", "1"]);
        assert_eq!(first, take(1, &["net", "loses", "1"]));
        let others = [
            take(2, &["net", "loses", "1"]),
            take(1, &["net", "loses", "2"]),
            take(1, &["netloses", "", "1"]),
            take(1, &["net", "lose", "s1"]),
        ];
        let mut all: Vec<u64> = others.concat();
        all.extend(first);
        assert!(all.iter().all(|seed| *seed <= LARGEST));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 15);
        let seeds = Seeds::new(1, &[]);
        assert!(!seeds.any());
        let _ = seeds.next();
        assert!(seeds.any() && seeds.run() == 1);
    }
}
