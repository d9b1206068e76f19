//! Validated programs by code hash and machine version. Bounded; what it holds never shows in results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use millrace_jit::image::Permissions;
use millrace_jit::machine::PAGE_BYTES;
use millrace_jit::{CodeCache, ImageError, Machine, Program};
use millrace_types::Hash;

/// A program that an account's code hash names.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) hash: Hash,
    pub(crate) program: Arc<Program>,
    /// Bytes of its ELF file.
    pub(crate) len: u64,
    /// 4 KiB pages of text and constants, whether its file fills them or not.
    pub(crate) read_only_pages: u32,
}

impl Code {
    /// What the cache counts for it.
    pub(crate) fn counted_bytes(&self) -> usize {
        self.program.most_memory_bytes() + ENTRY_BYTES
    }
}

/// A program, or why the code is none.
pub(crate) type Loaded = Result<Code, ImageError>;

type Key = (Hash, u16);

struct Entry {
    code: Code,
    bytes: usize,
    last_used: AtomicU64,
}

/// See the module's documentation. Shared by all threads that execute.
///
/// An entry counts the most memory that its program may come to take, which is far more than its file: text is decoded
/// when it runs. When the entries exceed the capacity, those go that were not used for longest, an eighth of the
/// capacity at once, so that looking for them costs each newcomer little. Which those are depends on timing between
/// threads; a program that went is validated again, with the same result. Code that is no program is not kept.
///
/// Callers that want one program at once may each validate it, but all get the one that was first kept: so it is compiled
/// once, and what its native code takes is counted once.
pub(crate) struct ProgramCache {
    entries: DashMap<Key, Entry>,
    capacity_bytes: usize,
    bytes: AtomicUsize,
    uses: AtomicU64,
    /// Where the native code of programs outlasts the process.
    code_cache: Option<Arc<CodeCache>>,
}

/// What an entry counts beside its program, so that many tiny programs are bounded too.
const ENTRY_BYTES: usize = 4096;

/// Bytes of a code hash that profiles tell programs apart by.
const LABEL_BYTES: usize = 4;

impl ProgramCache {
    /// A cache for programs that take at most `capacity_bytes` together. A larger single program is used and not kept.
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        Self {
            entries: DashMap::new(),
            capacity_bytes,
            bytes: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            code_cache: None,
        }
    }

    /// The same, with the native code of programs loaded from now on in `code_cache`.
    pub(crate) fn with_code_cache(self, code_cache: Option<Arc<CodeCache>>) -> Self {
        Self { code_cache, ..self }
    }

    /// What the programs that are kept may take together.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// The cached program for the code with that hash.
    pub(crate) fn get(&self, code_hash: &Hash, machine: &'static Machine) -> Option<Code> {
        let entry = self.entries.get(&(*code_hash, machine.version))?;
        entry.last_used.store(self.tick(), Ordering::Relaxed);
        Some(entry.code.clone())
    }

    /// The program of `code`, whose hash is `code_hash`; validates it if the cache does not hold it.
    pub(crate) fn load(&self, code_hash: &Hash, code: &[u8], machine: &'static Machine) -> Loaded {
        if let Some(loaded) = self.get(code_hash, machine) {
            return Ok(loaded);
        }
        let mut program = Program::load(code, machine)?;
        if let Some(code_cache) = &self.code_cache {
            program.set_code_cache(Arc::clone(code_cache));
        }
        program.set_label(|| format!("code_{}", hex(&code_hash.0[..LABEL_BYTES])));
        let loaded = Code {
            hash: *code_hash,
            len: code.len() as u64,
            read_only_pages: read_only_pages(&program),
            program: Arc::new(program),
        };
        Ok(self.keep((*code_hash, machine.version), loaded))
    }

    /// Keeps a program, unless another caller was faster. Gives the one that is kept.
    fn keep(&self, key: Key, code: Code) -> Code {
        let bytes = code.counted_bytes();
        if bytes > self.capacity_bytes {
            return code;
        }
        match self.entries.entry(key) {
            Place::Occupied(kept) => return kept.get().code.clone(),
            Place::Vacant(place) => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                place.insert(Entry {
                    code: code.clone(),
                    bytes,
                    last_used: AtomicU64::new(self.tick()),
                });
            }
        }
        if self.bytes.load(Ordering::Relaxed) > self.capacity_bytes {
            self.evict();
        }
        code
    }

    /// Drops what was not used for longest until an eighth of the capacity is free.
    fn evict(&self) {
        let mut ages: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.last_used.load(Ordering::Relaxed), *entry.key()))
            .collect();
        ages.sort_unstable();
        let target = self.capacity_bytes - self.capacity_bytes / 8;
        for (_, key) in ages {
            if self.bytes.load(Ordering::Relaxed) <= target {
                break;
            }
            if let Some((_, entry)) = self.entries.remove(&key) {
                self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
            }
        }
    }

    /// Programs, and what they count.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes.load(Ordering::Relaxed))
    }

    fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_only_pages(program: &Program) -> u32 {
    let read_only = program
        .segments()
        .iter()
        .filter(|segment| segment.permissions != Permissions::ReadWrite);
    read_only.map(|segment| segment.memory_len / PAGE_BYTES).sum()
}

#[cfg(test)]
pub(crate) mod tests;
