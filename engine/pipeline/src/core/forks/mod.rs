//! Forks and a ring whose workers, journal and keeper are as late as they like, drawn from seeds: what the core believes of
//! states holds in the store, whatever comes between.
//!
//! The [`ground`] stands for everything around a real [`Core`](super::Core), step by step as `stages.rs`, `journal.rs` and
//! `keeper.rs` take them, without threads: so a failure is repeated by its seed. Blocks are real and empty; execution is the
//! presence of a state in a store of names.

mod ground;

use ground::Ground;

/// SplitMix64, by Sebastiano Vigna (public domain).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than the bound")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }
}

/// What came about in many runs, so that they are known to have gone where failures are.
#[derive(Default, Debug)]
struct Tally {
    reorgs: u64,
    speculations: u64,
    dropped: u64,
    late_receipts: u64,
    discarded: u64,
    finalized: u64,
}

fn run(seed: u64, tally: &mut Tally) {
    let mut random = Random(seed);
    let mut ground = Ground::new(&mut random);
    for _ in 0..400 {
        ground.step(&mut random);
    }
    ground.drain(&mut random);
    ground.count(tally);
}

#[test]
fn whatever_is_late_a_block_that_counts_has_its_state() {
    #[expect(
        clippy::disallowed_methods,
        reason = "asks for the long run, or for one seed again"
    )]
    let (is_long, again) = (
        std::env::var("MILLRACE_LONG").is_ok(),
        std::env::var("MILLRACE_SEED").ok(),
    );
    let mut tally = Tally::default();
    if let Some(seed) = again {
        let digits = seed.trim_start_matches("0x");
        return run(
            u64::from_str_radix(digits, 16).expect("a seed in hex"),
            &mut tally,
        );
    }
    for seed in 0..if is_long { 100_000 } else { 1_500 } {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut tally)));
        assert!(told.is_ok(), "MILLRACE_SEED={seed:#x} repeats it");
    }
    println!("{tally:?}");
    let Tally {
        reorgs,
        speculations,
        dropped,
        late_receipts,
        discarded,
        finalized,
    } = tally;
    for count in [reorgs, speculations, dropped, late_receipts, discarded, finalized] {
        assert!(count > 50, "the runs go everywhere: {tally:?}");
    }
}
