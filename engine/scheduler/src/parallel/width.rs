//! How far transactions may run ahead of the commit gate.
//!
//! As long as what ran ahead commits, the width grows; when it had to be executed again, the width shrinks, down to 1:
//! the batch is then executed in order, by one worker at a time, and nothing is wasted. From there a wider run is tried
//! after some commits, and each time that it fails the next try comes later. So a batch in which everything depends on
//! what is before costs little more than its execution in order, whatever the number of workers.
//!
//! This decides speed alone. The idea is that of congestion control (additive increase, multiplicative decrease; V.
//! Jacobson, 1988).

use super::memory::WINDOW;
use crate::sync::{AtomicU32, Ordering};

/// In-order commits before the first try at a wider run, and the most.
const FIRST_PATIENCE: u32 = 16;
const MOST_PATIENCE: u32 = 1024;

/// See the module's documentation. Written by the holder of the commit gate alone.
pub(super) struct Width {
    width: AtomicU32,
    most: u32,
    /// Commits since the width last changed.
    commits: AtomicU32,
    patience: AtomicU32,
}

impl Width {
    /// For `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        let most = workers.saturating_mul(16).clamp(1, WINDOW);
        Self {
            width: AtomicU32::new(most.min(workers.saturating_mul(4))),
            most,
            commits: AtomicU32::new(0),
            patience: AtomicU32::new(FIRST_PATIENCE),
        }
    }

    /// Transactions, the one at the gate included, that may be under way.
    pub(super) fn get(&self) -> u32 {
        self.width.load(Ordering::Relaxed)
    }

    /// A transaction was committed, `at_once` or after it had to be executed again.
    pub(super) fn note(&self, at_once: bool) {
        let width = self.get();
        if !at_once {
            if width == 2 {
                let patience = self.patience.load(Ordering::Relaxed);
                self.patience
                    .store((patience * 2).min(MOST_PATIENCE), Ordering::Relaxed);
            }
            return self.change((width / 2).max(1));
        }
        let commits = self.commits.load(Ordering::Relaxed) + 1;
        self.commits.store(commits, Ordering::Relaxed);
        let needed = if width == 1 {
            self.patience.load(Ordering::Relaxed)
        } else {
            width
        };
        if commits >= needed && width < self.most {
            if width > 2 {
                self.patience.store(FIRST_PATIENCE, Ordering::Relaxed);
            }
            self.change((width * 2).min(self.most));
        }
    }

    fn change(&self, to: u32) {
        self.width.store(to, Ordering::Relaxed);
        self.commits.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn it_falls_to_one_grows_back_and_asks_ever_more_rarely() {
        let width = Width::new(2);
        assert_eq!(width.get(), 8);
        for expected in [4, 2, 1] {
            width.note(false);
            assert_eq!(width.get(), expected);
        }
        let mut tries = Vec::new();
        for _ in 0..8 {
            let mut commits = 0;
            while width.get() == 1 {
                width.note(true);
                commits += 1;
            }
            tries.push(commits);
            width.note(false);
        }
        assert_eq!(tries, [32, 64, 128, 256, 512, 1024, 1024, 1024]);
        (0..1024 + 2 + 4 + 8 + 16).for_each(|_| width.note(true));
        assert_eq!(width.get(), 32);
        (0..1000).for_each(|_| width.note(true));
        assert_eq!(width.get(), 32, "sixteen a worker");
    }
}
