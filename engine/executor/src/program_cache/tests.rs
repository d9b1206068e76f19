//! What is kept, and that it never shows.

use millrace_jit::machine::machine;

use super::*;

fn code(index: u8, len: usize) -> (Hash, Vec<u8>) {
    (Hash([index; 32]), vec![index; len])
}

fn v1() -> &'static Machine {
    machine(1).unwrap()
}

#[test]
fn the_least_recently_used_goes_first() {
    let cache = ProgramCache::new(3 * (ENTRY_BYTES + 100));
    let codes = [0, 1, 2, 3].map(|index| code(index, 100));
    for (hash, bytes) in &codes[..3] {
        assert!(cache.load(hash, bytes, v1()).is_err(), "the bytes are no program");
    }
    assert!(cache.get(&codes[0].0, v1()).is_some());
    assert!(cache.load(&codes[3].0, &codes[3].1, v1()).is_err());
    let held = codes.each_ref().map(|(hash, _)| cache.get(hash, v1()).is_some());
    assert_eq!(held, [true, false, true, true]);
    assert!(
        cache.load(&codes[1].0, &codes[1].1, v1()).is_err(),
        "what went comes back the same"
    );
}

#[test]
fn code_larger_than_the_cache_is_used_and_not_kept() {
    let cache = ProgramCache::new(ENTRY_BYTES);
    let (hash, bytes) = code(1, 1);
    assert!(cache.load(&hash, &bytes, v1()).is_err());
    assert!(cache.get(&hash, v1()).is_none());
    assert_eq!(cache.code_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn its_size_stays_bounded_when_threads_share_it() {
    let capacity = 4 * (ENTRY_BYTES + 64);
    let cache = ProgramCache::new(capacity);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..200u8 {
                    let (hash, bytes) = code(turn.wrapping_mul(7).wrapping_add(thread) % 16, 64);
                    assert!(cache.load(&hash, &bytes, v1()).is_err());
                }
            });
        }
    });
    let held: usize = cache.entries.iter().map(|entry| entry.code_bytes).sum();
    assert_eq!(held, cache.code_bytes.load(Ordering::Relaxed));
    assert!(held <= capacity, "{held}");
}
