//! How far transactions may run ahead of the commit gate.
//!
//! Two questions, each answered by what happened:
//!
//! - **Is it worth while at all?** Where everything depends on what is before, several workers only disturb each other; at
//!   width 1 the batch is executed in order, by one worker at a time. How many attempts had to be repeated does not tell:
//!   a twentieth may be a good price, or all that taking turns costs. So commits are counted in *stretches*, and when some of
//!   a stretch had to be repeated, one is executed in order, and running ahead is kept if it is faster by an eighth; the
//!   other way is tried again ever more rarely.
//! - **How far?** While what ran ahead commits, the width doubles; when it had to be executed again, it halves, down to 2.
//!   The idea is that of congestion control (V. Jacobson, 1988).
//!
//! This decides speed alone, and that is why it may look at a clock.

// Not the models' atomics: only the gate's holder writes here, and what others read decides no result.
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::memory::WINDOW;

/// Commits of a stretch.
const STRETCH: u32 = 32;
/// Stretches in one way before it is judged: the first has the change in it.
const LEAST_STRETCHES: u32 = 2;
/// Stretches until the other way is tried again: at first, and at most.
const FIRST_PATIENCE: u32 = 2;
const MOST_PATIENCE: u32 = 128;
/// So many repeated ones in a trial of running ahead end it: where each waits for the one before, nothing is left to gain.
const HOPELESS: u32 = 12;
/// The same at the start of a batch that follows another: most likely it holds the same kind of transactions.
const PATIENCE_WITH_THE_NEXT: u32 = 8;

/// See the module's documentation. Written by the holder of the commit gate alone.
#[derive(Debug)]
pub(super) struct Width {
    width: AtomicU32,
    most: u32,
    /// Commits since the width last changed.
    commits: AtomicU32,
    /// Of this stretch: commits, those of them that took more than one attempt, and when it began.
    stretch: AtomicU32,
    repeated: AtomicU32,
    began: AtomicU64,
    /// Stretches since it last changed from wide to in order or back.
    stretches: AtomicU32,
    /// Nanoseconds of a stretch, wide and in order; 0 while it is not known. The least, which is forgotten slowly: what else
    /// happens on a machine only makes a stretch longer.
    wide: AtomicU64,
    in_order: AtomicU64,
    /// Stretches until the other way is tried, and how many it will be the next time.
    wait: AtomicU32,
    patience: AtomicU32,
}

impl Width {
    /// For `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        let most = u32::try_from(workers)
            .unwrap_or(u32::MAX)
            .saturating_mul(16)
            .clamp(1, WINDOW);
        Self {
            width: AtomicU32::new((most / 4).max(1)),
            most,
            commits: AtomicU32::new(0),
            stretch: AtomicU32::new(0),
            repeated: AtomicU32::new(0),
            began: AtomicU64::new(0),
            stretches: AtomicU32::new(0),
            wide: AtomicU64::new(0),
            in_order: AtomicU64::new(0),
            wait: AtomicU32::new(FIRST_PATIENCE),
            patience: AtomicU32::new(FIRST_PATIENCE),
        }
    }

    /// For the batch that follows, with what this one found out.
    pub(super) fn renew(&mut self, workers: usize) {
        let fresh = Self::new(workers);
        if self.most != fresh.most {
            *self = fresh;
            return;
        }
        *self.wait.get_mut() = (*self.wait.get_mut()).min(PATIENCE_WITH_THE_NEXT);
        for count in [
            &mut self.commits,
            &mut self.stretch,
            &mut self.repeated,
            &mut self.stretches,
        ] {
            *count.get_mut() = 0;
        }
        *self.began.get_mut() = 0;
    }

    /// Transactions, the one at the gate included, that may be under way.
    pub(super) fn get(&self) -> u32 {
        self.width.load(Ordering::Relaxed)
    }

    /// A transaction was committed, `at_once` or after it had to be executed again. `now` is a clock in nanoseconds.
    pub(super) fn note(&self, at_once: bool, now: impl FnOnce() -> u64) {
        self.adapt(at_once);
        let repeated = if at_once { 0 } else { add(&self.repeated) };
        if repeated == HOPELESS && self.is_hopeless() {
            // In the middle of a stretch, so nobody knows when the next one began.
            self.began.store(0, Ordering::Relaxed);
            return self.turn();
        }
        if add(&self.stretch) == STRETCH {
            self.end_stretch(now());
        }
    }

    fn adapt(&self, at_once: bool) {
        let width = self.get();
        if width == 1 {
            return;
        }
        if !at_once {
            self.change((width / 2).max(2));
        } else if add(&self.commits) >= width && width < self.most {
            self.change((width * 2).min(self.most));
        }
    }

    /// Whether running ahead was begun a moment ago, for a trial, and nearly everything had to be repeated.
    fn is_hopeless(&self) -> bool {
        self.get() > 1
            && self.stretches.load(Ordering::Relaxed) == 0
            && self.in_order.load(Ordering::Relaxed) != 0
            && self.stretch.load(Ordering::Relaxed) < HOPELESS + HOPELESS / 3
    }

    /// From running ahead to executing in order, or back. What was only tried, or did not stay the better, is tried later than
    /// the last time.
    fn turn(&self) {
        let patience = self.patience.load(Ordering::Relaxed);
        self.wait.store(patience, Ordering::Relaxed);
        self.patience
            .store((patience * 2).min(MOST_PATIENCE), Ordering::Relaxed);
        for count in [&self.stretches, &self.stretch, &self.repeated] {
            count.store(0, Ordering::Relaxed);
        }
        self.change(if self.get() > 1 { 1 } else { (self.most / 4).max(2) });
    }

    fn change(&self, to: u32) {
        self.width.store(to, Ordering::Relaxed);
        self.commits.store(0, Ordering::Relaxed);
    }

    fn end_stretch(&self, now: u64) {
        let began = self.began.swap(now, Ordering::Relaxed);
        let repeated = self.repeated.swap(0, Ordering::Relaxed);
        self.stretch.store(0, Ordering::Relaxed);
        if began == 0 || self.most < 2 {
            // The first stretch began nobody knows when.
            return;
        }
        let took = now.saturating_sub(began).max(1);
        let is_wide = self.get() > 1;
        let known = if is_wide { &self.wide } else { &self.in_order };
        let before = known.load(Ordering::Relaxed);
        let took = if before == 0 {
            took
        } else {
            took.min(before + before / 8)
        };
        known.store(took, Ordering::Relaxed);
        if add(&self.stretches) < LEAST_STRETCHES {
            return;
        }
        let (wide, in_order) = (
            self.wide.load(Ordering::Relaxed),
            self.in_order.load(Ordering::Relaxed),
        );
        if is_wide && repeated == 0 {
            // As good as it gets.
            return;
        }
        // Wide takes more processor time, so it has to bring something.
        let pays = wide < in_order - in_order / 8;
        let other_is_better = pays != is_wide;
        let wait = self.wait.load(Ordering::Relaxed);
        if other_is_better || wait == 0 {
            self.turn();
        } else {
            self.wait.store(wait - 1, Ordering::Relaxed);
        }
    }
}

/// Adds 1 where nobody else writes, and gives the sum.
fn add(count: &AtomicU32) -> u32 {
    let sum = count.load(Ordering::Relaxed) + 1;
    count.store(sum, Ordering::Relaxed);
    sum
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Commits `count` transactions of which, while wide, one in `repeats` is executed twice, on a machine where one takes so
    /// many nanoseconds wide or in order; gives how many were committed in order.
    fn commit(width: &Width, count: u32, repeats: u32, (wide, in_order): (u64, u64)) -> u32 {
        let (mut now, mut narrow) = (width.began.load(Ordering::Relaxed).max(1), 0);
        for index in 0..count {
            let is_wide = width.get() > 1;
            now += if is_wide { wide } else { in_order };
            narrow += u32::from(!is_wide);
            width.note(!is_wide || index % repeats != 0, || now);
        }
        narrow
    }

    #[test]
    fn where_nothing_is_repeated_it_grows_and_never_runs_in_order() {
        let width = Width::new(2);
        assert_eq!(width.get(), 8);
        assert_eq!(commit(&width, 10_000, u32::MAX, (900, 100)), 0);
        assert_eq!(width.get(), 32, "sixteen a worker");
    }

    #[test]
    fn it_halves_with_each_that_is_repeated_and_grows_back() {
        let width = Width::new(2);
        for expected in [4, 2, 2] {
            width.note(false, || 0);
            assert_eq!(width.get(), expected);
        }
        (0..2 + 4 + 8).for_each(|_| width.note(true, || 0));
        assert_eq!(width.get(), 16);
    }

    #[test]
    fn it_keeps_to_what_is_faster() {
        // A tenth is repeated in both; what that costs is what differs.
        let slow = commit(&Width::new(2), 10_000, 10, (120, 100));
        assert!(slow > 9_000, "{slow} of 10,000 in order");
        let fast = commit(&Width::new(2), 10_000, 10, (70, 100));
        assert!(fast < 1_000, "{fast} of 10,000 in order");
    }

    #[test]
    fn a_trial_ends_early_where_everything_is_repeated() {
        let width = Width::new(2);
        let narrow = commit(&width, 10_000, 1, (300, 100));
        assert!(narrow > 9_700, "{narrow} of 10,000 in order");
    }

    #[test]
    fn it_finds_out_when_that_changes() {
        let width = Width::new(2);
        commit(&width, 2_000, 10, (120, 100));
        assert_eq!(width.get(), 1);
        let narrow = commit(&width, 20_000, 10, (60, 100));
        assert!(narrow < 8_000, "{narrow} of 20,000 in order");
    }

    #[test]
    fn the_next_batch_begins_with_what_was_found_out_and_finds_out_when_it_is_different() {
        let mut width = Width::new(2);
        commit(&width, 10_000, 10, (120, 100));
        assert_eq!(width.get(), 1);
        width.renew(2);
        let narrow = commit(&width, 1_000, 10, (120, 100));
        assert!(narrow > 900, "{narrow} of 1,000 in order");
        width.renew(2);
        let narrow = commit(&width, 1_000, u32::MAX, (60, 100));
        assert!(narrow < 500, "{narrow} of 1,000 in order");
        width.renew(4);
        assert_eq!(width.get(), 16, "other workers, another width");
    }

    #[test]
    fn one_worker_never_runs_ahead_of_more_than_its_window() {
        let width = Width::new(1);
        commit(&width, 1_000, u32::MAX, (100, 100));
        assert_eq!(width.get(), 16);
    }
}
