//! Who wins a slot, and how deep a fork goes: a function of the seed and the slot, of nothing else.

use millrace_plugin_sdk::types::hash::Domain;
use millrace_plugin_sdk::types::{Address, SecretKey};

use crate::config::ForkDepth;

/// A slot: time since the epoch divided by `slot_ms`.
pub type Slot = u64;
/// A virtual miner: 0 up to `miners`.
pub type Miner = u32;

const WINNER: Domain = Domain::new("longest-chain/winner/1");
const DEPTH: Domain = Domain::new("longest-chain/depth/1");
const MINER_KEY: Domain = Domain::new("longest-chain/miner-key/1");

/// The draws of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Lottery {
    /// Two nodes with the same seed, miners and share draw the same.
    pub seed: u64,
    /// How many virtual miners there are; at least 1.
    pub miners: Miner,
    /// Of a hundred slots, this many are won by somebody.
    pub won_percent: u64,
}

impl Lottery {
    /// Who wins `slot`, if anybody. Miners win equally often.
    #[must_use]
    pub fn winner(&self, slot: Slot) -> Option<Miner> {
        let [won, who] = self.draw(&WINNER, slot);
        let miner = who % u64::from(self.miners);
        (won % 100 < self.won_percent).then_some(miner as Miner)
    }

    /// How deep the fork goes that begins at `slot`.
    #[must_use]
    pub fn depth(&self, slot: Slot, range: ForkDepth) -> u64 {
        let [draw, _] = self.draw(&DEPTH, slot);
        range.min + draw % (range.max - range.min + 1)
    }

    /// Where a miner's tips go: to an account whose key anybody with the seed can make again.
    #[must_use]
    pub fn address(&self, miner: Miner) -> Address {
        let key = MINER_KEY.hash(&[&self.seed.to_le_bytes(), &miner.to_le_bytes()]);
        SecretKey::from_seed(key.0).address()
    }

    /// Two numbers. Their remainders by the small divisors above are uneven by less than one in 2^50.
    fn draw(&self, domain: &Domain, slot: Slot) -> [u64; 2] {
        let hash = domain.hash(&[&self.seed.to_le_bytes(), &slot.to_le_bytes()]);
        let number = |at: usize| {
            let bytes = core::array::from_fn(|i| hash.0[at + i]);
            u64::from_le_bytes(bytes)
        };
        [number(0), number(8)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOTTERY: Lottery = Lottery {
        seed: 1,
        miners: 4,
        won_percent: 60,
    };

    #[test]
    fn slots_are_won_as_often_as_configured_and_by_all_alike() {
        let mut wins = [0_u64; 4];
        for miner in (0..10_000).filter_map(|slot| LOTTERY.winner(slot)) {
            wins[miner as usize] += 1;
        }
        let won: u64 = wins.iter().sum();
        assert!((5_800..6_200).contains(&won), "{won} of 10000 slots");
        assert!(wins.iter().all(|wins| (1_350..1_650).contains(wins)), "{wins:?}");
        let always = Lottery {
            won_percent: 100,
            ..LOTTERY
        };
        assert!((0..1_000).all(|slot| always.winner(slot).is_some()));
    }

    #[test]
    fn the_seed_decides() {
        let draws = |seed| {
            let lottery = Lottery { seed, ..LOTTERY };
            let slots = 0..100;
            slots.map(|slot| lottery.winner(slot)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(LOTTERY.address(0), LOTTERY.address(1));
    }

    #[test]
    fn depths_reach_both_ends_of_their_range() {
        let range = ForkDepth { min: 2, max: 5 };
        let found: std::collections::BTreeSet<_> =
            (0..1_000).map(|slot| LOTTERY.depth(slot, range)).collect();
        assert_eq!(found, (2..=5).collect());
    }
}
