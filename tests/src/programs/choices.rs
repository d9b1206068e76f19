//! Where a generator's decisions come from: a seed, or bytes that a fuzzer mutates.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of decisions. Small ones take one byte of a fuzzer's input, so that flipping a byte changes one decision;
/// when the input is used up, the rest is random by a fixed seed, and the same input always gives the same program.
#[derive(Debug)]
pub struct Choices {
    given: Vec<u8>,
    at: usize,
    random: ChaCha8Rng,
}

impl Choices {
    /// Decisions by chance.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            given: Vec::new(),
            at: 0,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Decisions by these bytes.
    #[must_use]
    pub fn given(bytes: &[u8]) -> Self {
        Self {
            given: bytes.to_vec(),
            ..Self::seeded(0)
        }
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        debug_assert!(end > 0, "there is nothing to choose from");
        if self.at >= self.given.len() {
            return self.random.random_range(0..end);
        }
        let mut value = 0;
        let mut reach = 1_u64;
        while reach < end {
            value = value << 8 | u64::from(self.byte());
            reach = reach.saturating_mul(256);
        }
        value % end
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A number from 1 to `most`, each order of magnitude about as often as any other.
    pub fn magnitude(&mut self, most: u64) -> u64 {
        let bits = u64::from(most.max(1).ilog2()) + 1;
        let width = self.below(bits) + 1;
        self.between(1, most.max(1).min((1 << width) - 1))
    }

    /// A register of the set, which is a bit mask.
    pub fn register(&mut self, set: u32) -> Option<u8> {
        let count = u64::from(set.count_ones());
        let index = (count > 0).then(|| self.below(count))?;
        (0..32)
            .filter(|register| set >> register & 1 == 1)
            .nth(index as usize)
    }

    fn byte(&mut self) -> u8 {
        match self.given.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                byte
            }
            None => self.random.random(),
        }
    }
}

impl RngCore for Choices {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.byte());
    }
}
