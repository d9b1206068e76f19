//! A file that is read as if it could be written to: what is written stays in memory, and the file as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Bytes that are kept together.
const BLOCK_BYTES: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Bytes that there are, as far as the reader knows.
    len: u64,
    /// Bytes of the file that still count: less where it was shortened, as if by zeros since.
    from_file: u64,
    /// What was written, by number of the block.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Over the file at `path`, which no other process may have open as a database, and none can open meanwhile.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        file.try_lock()?;
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            state: Mutex::new(State {
                len,
                from_file: len,
                blocks: BTreeMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as it is now.
    fn block(&self, state: &State, number: u64) -> std::io::Result<Vec<u8>> {
        if let Some(block) = state.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        let start = number.saturating_mul(BLOCK_BYTES);
        let count = state.from_file.saturating_sub(start).min(BLOCK_BYTES) as usize;
        self.file.read_exact_at(&mut block[..count], start)?;
        Ok(block)
    }
}

/// The parts of a range that lie in one block each: block, start in it, length.
fn parts(mut offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset.saturating_add(length as u64);
    std::iter::from_fn(move || {
        let (block, start) = (offset / BLOCK_BYTES, offset % BLOCK_BYTES);
        let count = (BLOCK_BYTES - start).min(end.saturating_sub(offset));
        offset += count;
        (count > 0).then_some((block, start as usize, count as usize))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let state = self.state();
        if offset.saturating_add(out.len() as u64) > state.len {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        let mut done = 0;
        for (number, start, count) in parts(offset, out.len()) {
            let block = self.block(&state, number)?;
            out[done..done + count].copy_from_slice(&block[start..start + count]);
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut state = self.state();
        if len < state.len {
            // The block that the end is in keeps what is before it.
            let last = self.block(&state, len / BLOCK_BYTES)?;
            state.from_file = state.from_file.min(len);
            state.blocks.split_off(&(len / BLOCK_BYTES));
            let mut last = last;
            last[(len % BLOCK_BYTES) as usize..].fill(0);
            state.blocks.insert(len / BLOCK_BYTES, last);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut state = self.state();
        let mut done = 0;
        for (number, start, count) in parts(offset, data.len()) {
            let mut block = self.block(&state, number)?;
            block[start..start + count].copy_from_slice(&data[done..done + count]);
            state.blocks.insert(number, block);
            done += count;
        }
        state.len = state.len.max(offset.saturating_add(data.len() as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let overlay = Overlay::of(&path).unwrap();
        assert!(Overlay::of(&path).is_err(), "two at once");
        let mut expected = bytes.clone();
        let read = |offset: usize, length: usize| {
            let mut out = vec![0; length];
            overlay.read(offset as u64, &mut out).map(|()| out)
        };
        overlay.write(4_000, &[7; 5_000]).unwrap();
        expected[4_000..9_000].fill(7);
        assert_eq!(read(0, 10_000).unwrap(), expected);
        // Shorter, and longer again: zeros.
        overlay.set_len(5_000).unwrap();
        assert!(read(0, 5_001).is_err());
        overlay.set_len(20_000).unwrap();
        expected.truncate(5_000);
        expected.resize(20_000, 0);
        assert_eq!(read(0, 20_000).unwrap(), expected);
        overlay.write(19_999, &[1, 2]).unwrap();
        assert_eq!(overlay.len().unwrap(), 20_001);
        assert_eq!(read(19_998, 3).unwrap(), [0, 1, 2]);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
