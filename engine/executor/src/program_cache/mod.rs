//! Validated programs by code hash and machine version. Bounded; what it holds never shows in results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use millrace_jit::image::Permissions;
use millrace_jit::machine::PAGE_BYTES;
use millrace_jit::{ImageError, Machine, Program};
use millrace_types::Hash;

/// A program that an account's code hash names.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) hash: Hash,
    pub(crate) program: Arc<Program>,
    /// Bytes of its ELF file.
    pub(crate) len: u64,
    /// 4 KiB pages of text and constants that its file fills.
    pub(crate) read_only_pages: u64,
}

/// A program, or why the code is none.
pub(crate) type Loaded = Result<Code, ImageError>;

type Key = (Hash, u16);

struct Entry {
    loaded: Loaded,
    code_bytes: usize,
    last_used: AtomicU64,
}

/// See the module's documentation. Shared by all threads that execute.
///
/// When the entries' code exceeds the capacity, the least recently used entry goes. Which that is depends on timing
/// between threads; a program that went is validated again, with the same result.
pub(crate) struct ProgramCache {
    entries: DashMap<Key, Entry>,
    capacity_bytes: usize,
    code_bytes: AtomicUsize,
    uses: AtomicU64,
}

/// What an entry counts beside its code, so that many tiny programs are bounded too.
const ENTRY_BYTES: usize = 4096;

impl ProgramCache {
    /// A cache for programs whose ELF files have at most `capacity_bytes` together. A larger single program is used
    /// and not kept.
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        Self {
            entries: DashMap::new(),
            capacity_bytes,
            code_bytes: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
        }
    }

    /// The cached result for the code with that hash.
    pub(crate) fn get(&self, code_hash: &Hash, machine: &'static Machine) -> Option<Loaded> {
        let entry = self.entries.get(&(*code_hash, machine.version))?;
        entry.last_used.store(self.tick(), Ordering::Relaxed);
        Some(entry.loaded.clone())
    }

    /// The program of `code`, whose hash is `code_hash`; validates it if the cache does not hold it.
    pub(crate) fn load(&self, code_hash: &Hash, code: &[u8], machine: &'static Machine) -> Loaded {
        if let Some(loaded) = self.get(code_hash, machine) {
            return loaded;
        }
        let loaded = Program::load(code, machine).map(|program| Code {
            hash: *code_hash,
            len: code.len() as u64,
            read_only_pages: read_only_pages(&program),
            program: Arc::new(program),
        });
        self.insert((*code_hash, machine.version), loaded.clone(), code.len());
        loaded
    }

    fn insert(&self, key: Key, loaded: Loaded, code_len: usize) {
        let code_bytes = code_len + ENTRY_BYTES;
        let last_used = AtomicU64::new(self.tick());
        self.code_bytes.fetch_add(code_bytes, Ordering::Relaxed);
        if let Some(replaced) = self.entries.insert(
            key,
            Entry {
                loaded,
                code_bytes,
                last_used,
            },
        ) {
            self.code_bytes.fetch_sub(replaced.code_bytes, Ordering::Relaxed);
        }
        while self.code_bytes.load(Ordering::Relaxed) > self.capacity_bytes && self.evict_one() {}
    }

    fn evict_one(&self) -> bool {
        let ages = self
            .entries
            .iter()
            .map(|entry| (entry.last_used.load(Ordering::Relaxed), *entry.key()));
        let oldest = ages.min();
        let Some((_, entry)) = oldest.and_then(|(_, key)| self.entries.remove(&key)) else {
            return false;
        };
        self.code_bytes.fetch_sub(entry.code_bytes, Ordering::Relaxed);
        true
    }

    fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

fn read_only_pages(program: &Program) -> u64 {
    let read_only = program
        .segments()
        .iter()
        .filter(|segment| segment.permissions != Permissions::ReadWrite);
    read_only
        .map(|segment| (segment.data.len() as u64).div_ceil(PAGE_BYTES.into()))
        .sum()
}

#[cfg(test)]
mod tests;
