//! What is kept, and that it never shows.

use millrace_jit::machine::machine;

use super::*;

/// A program of `words` instructions, told from others by `index`.
pub(crate) fn code(index: u8, words: u32) -> (Hash, Vec<u8>) {
    let text = words * 4;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2u16, 243].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([0x2_0078u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend(
        [64u16, 56, 1, 64, 0, 0]
            .iter()
            .flat_map(|half| half.to_le_bytes()),
    );
    file.extend([1u32, 5].iter().flat_map(|word| word.to_le_bytes()));
    let len = u64::from(text);
    let header = [0x78u64, 0x2_0078, 0x2_0078, len, len, 0];
    file.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    file.resize(file.len() + text as usize, index);
    (Hash([index; 32]), file)
}

fn v1() -> &'static Machine {
    machine(1).unwrap()
}

/// What the cache counts for a program of `words` instructions.
fn counted(words: u32) -> usize {
    let cache = ProgramCache::new(usize::MAX);
    let (hash, bytes) = code(0, words);
    cache.load(&hash, &bytes, v1()).unwrap();
    cache.bytes.load(Ordering::Relaxed)
}

#[test]
fn the_least_recently_used_go_first_and_an_eighth_is_free_again() {
    let cache = ProgramCache::new(16 * counted(100));
    let codes: Vec<_> = (0..17).map(|index| code(index, 100)).collect();
    for (hash, bytes) in &codes[..16] {
        cache.load(hash, bytes, v1()).unwrap();
    }
    assert!(cache.get(&codes[0].0, v1()).is_some());
    cache.load(&codes[16].0, &codes[16].1, v1()).unwrap();
    let gone = |index: &usize| cache.get(&codes[*index].0, v1()).is_none();
    assert_eq!((0..17).filter(gone).collect::<Vec<_>>(), [1, 2, 3]);
    cache.load(&codes[1].0, &codes[1].1, v1()).unwrap();
}

#[test]
fn an_entry_counts_its_text_as_decoded() {
    let (few, many) = (counted(100), counted(1100));
    assert_eq!(
        many - few,
        4000 * (1 + 17 + 55),
        "file, two slots and a number per halfword, and what native code takes"
    );
}

#[test]
fn a_program_larger_than_the_cache_is_used_and_not_kept_and_drives_nothing_out() {
    let cache = ProgramCache::new(2 * counted(100));
    let (small, large) = (code(1, 100), code(2, 1000));
    cache.load(&small.0, &small.1, v1()).unwrap();
    cache.load(&large.0, &large.1, v1()).unwrap();
    assert!(cache.get(&large.0, v1()).is_none());
    assert!(cache.get(&small.0, v1()).is_some());
}

#[test]
fn code_that_is_no_program_takes_no_room() {
    let cache = ProgramCache::new(counted(100));
    let good = code(1, 100);
    cache.load(&good.0, &good.1, v1()).unwrap();
    for index in 2..50 {
        assert!(cache.load(&Hash([index; 32]), &[index; 100], v1()).is_err());
    }
    assert!(cache.get(&good.0, v1()).is_some());
}

#[test]
fn making_room_looks_at_the_entries_once_for_many_newcomers() {
    let held = 64;
    let cache = ProgramCache::new(held * counted(1));
    let mut evictions = 0;
    for index in 0..=255 {
        let (hash, bytes) = code(index, 1);
        let before = cache.entries.len();
        cache.load(&hash, &bytes, v1()).unwrap();
        evictions += usize::from(cache.entries.len() <= before);
    }
    assert!(evictions <= (256 - held) / (held / 8) + 1, "{evictions}");
}

#[test]
fn callers_at_the_same_time_share_one_program() {
    let cache = ProgramCache::new(usize::MAX);
    for index in 0..50 {
        let (hash, bytes) = code(index, 400);
        let barrier = std::sync::Barrier::new(4);
        let programs: Vec<_> = std::thread::scope(|scope| {
            let load = || {
                barrier.wait();
                cache.load(&hash, &bytes, v1()).unwrap().program
            };
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(programs.iter().all(|program| Arc::ptr_eq(program, &programs[0])));
    }
    let held: usize = cache.entries.iter().map(|entry| entry.bytes).sum();
    assert_eq!(held, cache.bytes.load(Ordering::Relaxed));
}

#[test]
fn its_size_stays_bounded_when_threads_share_it() {
    let capacity = 4 * counted(16);
    let cache = ProgramCache::new(capacity);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..200u8 {
                    let (hash, bytes) = code(turn.wrapping_mul(7).wrapping_add(thread) % 16, 16);
                    cache.load(&hash, &bytes, v1()).unwrap();
                }
            });
        }
    });
    let held: usize = cache.entries.iter().map(|entry| entry.bytes).sum();
    assert_eq!(held, cache.bytes.load(Ordering::Relaxed));
    assert!(held <= capacity, "{held}");
}
