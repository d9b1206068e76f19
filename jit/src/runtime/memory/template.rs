//! What every instance of a program starts from, worked out once per program.
//!
//! Few bytes are copied into an instance; many are mapped from a sealed file in memory and shared until an instance
//! writes them. Small programs take no file: a node keeps thousands of them, and descriptors are few.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::reservation::{Access, host_page_bytes};
use crate::image::{Permissions, Program, Segment};
use crate::machine::PAGE_BYTES;
use crate::runtime::pool;

/// Programs whose files fill at least as much are mapped, others copied. Laying out 64 KiB by copying takes three times as
/// long as by mapping, most of it in page faults; for 16 KiB the making of the file is what counts.
const MAPPED_FROM_BYTES: u64 = 32 << 10;

/// Most sealed files at a time; programs beyond are copied, whatever their size.
const MAX_FILES: usize = 512;

/// Writable bytes of the image, the first ones, that are written back by hand between two uses; see [`super::slot`].
const RESTORED_IMAGE_BYTES: u32 = 32 << 10;

/// A program's [`Layout`]; when it goes, nothing laid out after it stays in the pool.
#[derive(Debug)]
pub(crate) struct Template(Arc<Layout>);

impl Template {
    /// The template of `program`, which keeps it.
    pub(crate) fn new(program: &Program) -> Self {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let mut file = None;
        if Self::file_bytes(program) > 0 {
            file = SealedFile::new(program, &FILES);
        }
        Self(Arc::new(Layout::new(program, file)))
    }

    /// Bytes of the file that a program's template takes, if it gets one.
    pub(crate) fn file_bytes(program: &Program) -> usize {
        let bytes = filled_bytes(program);
        if host_page_bytes() == PAGE_BYTES as usize && bytes >= MAPPED_FROM_BYTES {
            bytes as usize
        } else {
            0
        }
    }

    pub(in crate::runtime) fn layout(&self) -> &Arc<Layout> {
        &self.0
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        pool::POOL.forget(self.0.id);
    }
}

/// Part of the image that is mapped from the file.
#[derive(Debug)]
pub(super) struct Mapped {
    pub pages: Range<u32>,
    pub access: Access,
    pub offset: u64,
}

/// Which pages of an image are made and brought back in which way. Lists are ascending, neighbours of a kind are one.
#[derive(Debug)]
pub(in crate::runtime) struct Layout {
    /// Tells programs apart; never 0, never used twice.
    pub id: u64,
    pub(super) stack: Range<u32>,
    pub(super) heap_start: u32,
    /// Pages that are zero or copied.
    pub(super) anonymous: Vec<Range<u32>>,
    /// Those of them that are read-only in the end.
    pub(super) read_only: Vec<Range<u32>>,
    /// Pages from the file.
    pub(super) mapped: Vec<Mapped>,
    /// Segments, by index, whose bytes are copied.
    pub(super) copied: Vec<usize>,
    /// Writable segments, by index, and how many of their first bytes are written back by hand.
    pub(super) restored: Vec<(usize, u32)>,
    /// Writable pages that the kernel drops.
    pub(super) dropped: Vec<Range<u32>>,
    pub(super) file: Option<SealedFile>,
}

impl Layout {
    pub(super) fn new(program: &Program, file: Option<SealedFile>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let layout = &program.machine().layout;
        let mut this = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            stack: layout.stack_bottom()..layout.stack_top,
            heap_start: program.heap_start(),
            anonymous: Vec::new(),
            read_only: Vec::new(),
            mapped: Vec::new(),
            copied: Vec::new(),
            restored: Vec::new(),
            dropped: Vec::new(),
            file,
        };
        let mut by_hand = RESTORED_IMAGE_BYTES;
        let mut offset = 0;
        for (index, segment) in program.segments().iter().enumerate() {
            this.add(index, segment, offset, &mut by_hand);
            offset += filled(segment);
        }
        this
    }

    /// Plans a segment whose bytes are at `offset` of the file, if there is one, with that many bytes left `by_hand`.
    fn add(&mut self, index: usize, segment: &Segment, offset: u64, by_hand: &mut u32) {
        let end = segment.address + segment.memory_len;
        let filled = filled(segment) as u32;
        let is_writable = segment.permissions == Permissions::ReadWrite;
        let mut restored = 0;
        if is_writable {
            restored = segment.memory_len.min(*by_hand);
            *by_hand -= restored;
            if self.file.is_none() {
                // What the kernel drops comes back as zero.
                restored = restored.max(filled);
            }
            if restored > 0 {
                self.restored.push((index, restored));
            }
            join(&mut self.dropped, segment.address + restored..end);
        }
        // A segment that is written back by hand as a whole would be copied at once anyway.
        let mut start = segment.address;
        if self.file.is_some() && filled > restored {
            start += filled;
            self.map(segment.address..start, is_writable, offset);
        } else if filled > 0 {
            self.copied.push(index);
        }
        join(&mut self.anonymous, start..end);
        if !is_writable {
            join(&mut self.read_only, start..end);
        }
    }

    fn map(&mut self, pages: Range<u32>, is_writable: bool, offset: u64) {
        let access = if is_writable {
            Access::ReadWrite
        } else {
            Access::Read
        };
        match self.mapped.last_mut() {
            Some(last)
                if last.access == access
                    && last.pages.end == pages.start
                    && last.offset + last.pages.len() as u64 == offset =>
            {
                last.pages.end = pages.end;
            }
            _ => self.mapped.push(Mapped {
                pages,
                access,
                offset,
            }),
        }
    }
}

/// Appends a range of pages to an ascending list of them.
fn join(list: &mut Vec<Range<u32>>, pages: Range<u32>) {
    match list.last_mut() {
        _ if pages.is_empty() => {}
        Some(last) if last.end == pages.start => last.end = pages.end,
        _ => list.push(pages),
    }
}

/// Bytes of the pages that a segment's data fills.
fn filled(segment: &Segment) -> u64 {
    (segment.data.len() as u64).next_multiple_of(u64::from(PAGE_BYTES))
}

fn filled_bytes(program: &Program) -> u64 {
    program.segments().iter().map(filled).sum()
}

/// The filled pages of all segments, one behind the other. Nobody can change it any more: whoever maps it may take it for
/// constant.
#[derive(Debug)]
pub(super) struct SealedFile {
    file: File,
    count: &'static AtomicUsize,
}

impl SealedFile {
    /// Nothing where `count` is at its bound, or the host has no descriptor or memory: the program is copied then.
    fn new(program: &Program, count: &'static AtomicUsize) -> Option<Self> {
        let counted = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < MAX_FILES).then_some(count + 1)
        });
        counted.ok()?;
        let sealed = sealed(program).ok().map(|file| Self { file, count });
        if sealed.is_none() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        sealed
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn sealed(program: &Program) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("millrace-program", flags)?);
    file.set_len(filled_bytes(program))?;
    let mut offset = 0;
    for segment in program.segments() {
        file.write_all_at(&segment.data, offset)?;
        offset += filled(segment);
    }
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(file)
}
