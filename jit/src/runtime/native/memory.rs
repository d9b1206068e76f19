//! Memory of native code: written once, then executable, never both.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use cranelift_jit::{BranchProtection, JITMemoryKind, JITMemoryProvider};
use cranelift_module::{ModuleError, ModuleResult};
use memmap2::{Mmap, MmapMut};

use super::instruction_cache;

/// Executable memory of one batch.
#[derive(Debug)]
pub(crate) struct CodeMemory(Mmap);

impl CodeMemory {
    /// Makes what was written executable, and no longer writable.
    pub(crate) fn new(written: MmapMut) -> io::Result<Self> {
        instruction_cache::write_back(&written);
        let code = written.make_exec()?;
        instruction_cache::synchronise()?;
        Ok(Self(code))
    }

    pub(crate) fn start(&self) -> usize {
        self.0.as_ptr() as usize
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What `cranelift-jit` allocates from: one contiguous mapping, writable until it is finalised, then executable.
#[derive(Debug)]
pub(crate) struct Provider {
    writable: Option<MmapMut>,
    used: usize,
    done: Finished,
}

/// Where a provider leaves its memory when it is executable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finished(Arc<Mutex<Option<CodeMemory>>>);

impl Finished {
    /// The memory, once the module has been finalised.
    pub(crate) fn take(&self) -> Option<CodeMemory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Provider {
    /// Room for `bytes` of code with its alignment.
    pub(crate) fn new(bytes: usize) -> io::Result<(Self, Finished)> {
        let done = Finished::default();
        let provider = Self {
            writable: Some(MmapMut::map_anon(bytes.max(1))?),
            used: 0,
            done: done.clone(),
        };
        Ok((provider, done))
    }
}

impl JITMemoryProvider for Provider {
    fn allocate(&mut self, size: usize, align: u64, _: JITMemoryKind) -> io::Result<*mut u8> {
        let full = || io::Error::new(io::ErrorKind::OutOfMemory, "a batch is larger than was reckoned");
        let map = self.writable.as_mut().ok_or_else(full)?;
        let align = usize::try_from(align).map_err(|_| full())?;
        let start = self.used.next_multiple_of(align.max(1));
        let end = start
            .checked_add(size)
            .filter(|&end| end <= map.len())
            .ok_or_else(full)?;
        self.used = end;
        Ok(map[start..].as_mut_ptr())
    }

    unsafe fn free_memory(&mut self) {
        self.writable = None;
    }

    fn finalize(&mut self, _: BranchProtection) -> ModuleResult<()> {
        let Some(map) = self.writable.take() else {
            return Ok(());
        };
        let code = CodeMemory::new(map).map_err(|err| ModuleError::Allocation { err })?;
        *self.done.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        Ok(())
    }
}
