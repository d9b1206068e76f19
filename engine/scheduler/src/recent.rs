//! Which ids were seen lately: a set of fixed size, without a lock, that allocates nothing after it was made.
//!
//! ```text
//!   id ─▶ a row, by its last bytes ─▶ the row's hand, which goes round ─▶ a place: stamp, id in four words
//! ```
//!
//! An id lies in one of the [`PLACES`] places of its row, and the oldest of a row makes room for the newest. A place is
//! written as under a sequence lock (H. Boehm, *Can seqlocks get along with programming language memory models?*, 2012):
//! its stamp is odd meanwhile, and whoever reads looks at the stamp again. Nobody waits: a reader takes a place that is
//! being written for one that holds something else, and a writer that finds another one at its place lets its own id go.
//! So an id may be forgotten early, and an id that was never inserted is never found.

use crate::sync::{AtomicU64, Ordering, fence};

/// Places of a row.
pub const PLACES: usize = if cfg!(loom) { 2 } else { 16 };

/// An id: evenly distributed bytes, of a cryptographic hash say.
pub type Id = [u8; 32];

type Words = [u64; 4];

/// The set.
#[derive(Debug)]
pub struct Recent {
    rows: Box<[Row]>,
}

#[derive(Debug)]
struct Row {
    /// How many ids came here; the next one's place follows from it.
    hand: AtomicU64,
    /// Of each place: 0 while it was never used, odd while it is written.
    stamps: [AtomicU64; PLACES],
    /// The words of the ids, each kind beside its like: a look-up reads the first ones, and mostly no more.
    words: [[AtomicU64; PLACES]; 4],
}

impl Recent {
    /// An empty set of `rows` rows, which a power of two spreads best. Nearly all of the newest `4 * rows` ids are in it,
    /// and never more than [`PLACES`]` * rows`.
    ///
    /// # Panics
    /// If there are no rows.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        assert!(rows > 0, "a set has a row at least");
        Self {
            rows: (0..rows).map(|_| Row::new()).collect(),
        }
    }

    /// Remembers an id for a while.
    pub fn insert(&self, id: &Id) {
        let words = words(id);
        self.row(&words).insert(&words);
    }

    /// Whether an id was inserted, and is not forgotten.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        let words = words(id);
        self.row(&words).contains(&words)
    }

    fn row(&self, words: &Words) -> &Row {
        let rows = self.rows.len() as u64;
        &self.rows[usize::try_from(words[3] % rows).expect("below the number of rows")]
    }
}

impl Row {
    fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            hand: AtomicU64::new(0),
            stamps: zeros(),
            words: std::array::from_fn(|_| zeros()),
        }
    }

    fn insert(&self, id: &Words) {
        let turn = self.hand.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(turn % PLACES as u64).expect("below the number of places");
        let stamp = &self.stamps[place];
        let before = stamp.load(Ordering::Relaxed);
        let is_mine = before.is_multiple_of(2)
            && stamp
                .compare_exchange(before, before + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !is_mine {
            return;
        }
        // Whoever reads one of the words below finds the odd stamp, or a later one, when it looks again.
        fence(Ordering::Release);
        for (column, word) in self.words.iter().zip(id) {
            column[place].store(*word, Ordering::Relaxed);
        }
        stamp.store(before + 2, Ordering::Release);
    }

    fn contains(&self, id: &Words) -> bool {
        (0..PLACES).any(|place| {
            let stamp = self.stamps[place].load(Ordering::Acquire);
            let is_written = stamp != 0 && stamp.is_multiple_of(2);
            let mut columns = self.words.iter().zip(id);
            if !is_written || !columns.all(|(column, word)| column[place].load(Ordering::Relaxed) == *word) {
                return false;
            }
            fence(Ordering::Acquire);
            self.stamps[place].load(Ordering::Relaxed) == stamp
        })
    }
}

fn words(id: &Id) -> Words {
    let (words, _) = id.as_chunks::<8>();
    std::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;

    const ROWS: usize = 512;

    fn ids(seed: u64, count: usize) -> Vec<Id> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| random.random()).collect()
    }

    #[test]
    fn the_newest_are_there_the_oldest_are_forgotten_and_no_other_is_found() {
        let set = Recent::new(ROWS);
        let ids = ids(1, 10 * PLACES * ROWS);
        for id in &ids {
            set.insert(id);
        }
        let known = ids.iter().filter(|id| set.contains(id)).count();
        assert_eq!(known, PLACES * ROWS, "every place holds one");
        let newest = &ids[ids.len() - 4 * ROWS..];
        assert!(newest.iter().all(|id| set.contains(id)));
        let oldest = &ids[..ids.len() / 2];
        assert!(!oldest.iter().any(|id| set.contains(id)));
        // One that differs in any one word is another.
        for word in 0..4 {
            let mut other = *newest.last().expect("there are some");
            other[8 * word] ^= 1;
            assert!(!set.contains(&other));
        }
    }

    /// Threads that write and read the same few rows: whatever they insert, nobody finds what nobody inserted. Each
    /// id's words say the same, so a mixture of two is no id.
    #[test]
    fn a_mixture_of_two_ids_is_never_found() {
        const INSERTIONS: u64 = 50_000;
        let set = Recent::new(1);
        let id = |words: [u64; 4]| -> Id { std::array::from_fn(|i| words[i / 8].to_le_bytes()[i % 8]) };
        std::thread::scope(|scope| {
            for writer in 0..2u64 {
                let set = &set;
                scope.spawn(move || {
                    for n in 0..INSERTIONS {
                        let word = 4 * (n % 8) + writer;
                        set.insert(&id([word; 4]));
                    }
                });
            }
            for n in 0..INSERTIONS {
                let (one, other) = (4 * (n % 8), 4 * (n % 7) + 1);
                assert!(!set.contains(&id([one, other, one, other])));
                assert!(!set.contains(&id([one, one, other, other])));
            }
        });
    }
}
