//! What a log holds, to be read in place.
//!
//! ```text
//!   position ─▶ segment by its ordinal ─▶ sealed: the mapped file, with a bit for each place that was checked
//!                                     └─▶ last:   chunks of records, as they were appended
//! ```

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Place;
use crate::files::Contents;

/// A place in a log: a segment's ordinal in the upper half, bytes from its file's start in the lower. Positions ascend as
/// records are appended, and name a place for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position(u64);

impl Position {
    /// Before everything.
    pub(crate) const ZERO: Self = Self(0);

    pub(super) fn new(ordinal: u32, offset: u32) -> Self {
        Self(u64::from(ordinal) << 32 | u64::from(offset))
    }

    /// The position that many bytes further on in the same segment.
    #[must_use]
    pub fn plus(self, bytes: u32) -> Self {
        Self(self.0 + u64::from(bytes))
    }

    /// The segment's ordinal: segments are counted from 0 on.
    #[must_use]
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes from the start of the segment's file.
    #[must_use]
    pub fn offset(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "byte {} of segment {}", self.offset(), self.segment())
    }
}

/// Places this close share a bit: less than what anything takes that is checked.
const UNIT: usize = 32;

/// Chunks are put together up to this size, so that there are few.
const CHUNK_BYTES: usize = 1 << 20;

/// Segments that may be missing in a row.
const MOST_MISSING: usize = 1 << 16;

/// What a log held at a moment. Reading it takes no lock and no system call, and it stays good when segments are
/// removed from the log.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ordinal of the first segment.
    first: u32,
    segments: Vec<Arc<Held>>,
}

/// A segment.
#[derive(Debug)]
struct Held {
    name: Arc<str>,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Sealed {
        contents: Contents,
        checked: Box<[AtomicU8]>,
    },
    /// Ascending, without gaps.
    Last(Vec<Chunk>),
}

#[derive(Clone, Debug)]
struct Chunk {
    /// Bytes from the start of the file.
    start: u32,
    bytes: Arc<Vec<u8>>,
    /// For what was there when this process began; what it wrote itself needs no check.
    checked: Option<Arc<[AtomicU8]>>,
}

/// Bytes from a position on, and whether they are known for what was written there.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    /// Up to the end of what lies there in one piece: more than was asked for.
    pub(crate) bytes: &'a [u8],
    check: Option<(&'a AtomicU8, u8)>,
}

impl At<'_> {
    /// Whether whoever reads the bytes still has to check them.
    #[inline]
    pub(crate) fn is_unchecked(&self) -> bool {
        self.check
            .is_some_and(|(byte, bit)| byte.load(Ordering::Relaxed) & bit == 0)
    }

    /// Notes that they were checked.
    pub(crate) fn set_checked(&self) {
        if let Some((byte, bit)) = self.check {
            byte.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

/// Bits for so many bytes, none of which were checked.
fn unchecked(bytes: usize) -> impl Iterator<Item = AtomicU8> {
    std::iter::repeat_with(AtomicU8::default).take(bytes.div_ceil(UNIT).div_ceil(8))
}

/// The bit of a place.
#[inline]
fn bit_of(checked: &[AtomicU8], offset: usize) -> Option<(&AtomicU8, u8)> {
    Some((checked.get(offset / UNIT / 8)?, 1 << (offset / UNIT % 8)))
}

impl Snapshot {
    /// What lies at a position; `None` where the log has nothing.
    #[inline]
    pub(crate) fn at(&self, position: Position) -> Option<At<'_>> {
        let index = position.segment().checked_sub(self.first)?;
        let offset = position.offset() as usize;
        match &self.segments.get(index as usize)?.bytes {
            Bytes::Sealed { contents, checked } => Some(At {
                bytes: contents.get(offset..)?,
                check: Some(bit_of(checked, offset)?),
            }),
            Bytes::Last(chunks) => {
                let after = chunks.partition_point(|chunk| chunk.start as usize <= offset);
                let chunk = chunks.get(after.checked_sub(1)?)?;
                let offset = offset - chunk.start as usize;
                Some(At {
                    bytes: chunk.bytes.get(offset..)?,
                    check: match &chunk.checked {
                        None => None,
                        Some(checked) => Some(bit_of(checked, offset)?),
                    },
                })
            }
        }
    }

    /// The same for people.
    pub(crate) fn place(&self, position: Position) -> Place {
        let index = position.segment().checked_sub(self.first);
        let held = index.and_then(|index| self.segments.get(index as usize));
        Place {
            file: held.map_or_else(
                || format!("segment {}, which is not there", position.segment()),
                |held| held.name.to_string(),
            ),
            offset: position.offset().into(),
        }
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let of = |held: &Arc<Held>| match &held.bytes {
            Bytes::Sealed { contents, .. } => contents.len() as u64,
            Bytes::Last(chunks) => chunks
                .last()
                .map_or(0, |chunk| u64::from(chunk.start) + chunk.bytes.len() as u64),
        };
        self.segments.iter().map(of).sum()
    }

    /// The ordinal of its oldest segment.
    pub(crate) fn first_segment(&self) -> u32 {
        self.first
    }

    /// The ordinal of its newest segment.
    pub(crate) fn last_segment(&self) -> u32 {
        self.first + (self.segments.len() as u32).saturating_sub(1)
    }

    /// One with a sealed segment more.
    pub(super) fn with_sealed(mut self, ordinal: u32, name: Arc<str>, contents: Contents) -> Self {
        let checked = unchecked(contents.len()).collect();
        let bytes = Bytes::Sealed { contents, checked };
        self.push(ordinal, Held { name, bytes });
        self
    }

    /// One with the segment that is written to, of which `bytes` are there, from `start` on.
    pub(super) fn with_last(mut self, ordinal: u32, name: Arc<str>, start: u32, bytes: Vec<u8>) -> Self {
        let chunk = Chunk {
            start,
            checked: Some(unchecked(bytes.len()).collect()),
            bytes: Arc::new(bytes),
        };
        let bytes = Bytes::Last(vec![chunk]);
        self.push(ordinal, Held { name, bytes });
        self
    }

    fn push(&mut self, ordinal: u32, held: Held) {
        if self.segments.is_empty() {
            self.first = ordinal;
        }
        // There are gaps where a damaged log is looked at. What lies behind a wide one is not found.
        let index = ordinal.checked_sub(self.first).unwrap_or(u32::MAX) as usize;
        if index > self.segments.len() + MOST_MISSING {
            return;
        }
        self.segments.truncate(index);
        self.segments.resize_with(index, || {
            Arc::new(Held {
                name: "a segment that is missing".into(),
                bytes: Bytes::Last(Vec::new()),
            })
        });
        self.segments.push(Arc::new(held));
    }

    /// One with a record more at the end of the last segment.
    pub(super) fn with_record(mut self, start: u32, bytes: Vec<u8>) -> Self {
        let (name, mut chunks) = match self.segments.pop().as_deref() {
            Some(Held {
                name,
                bytes: Bytes::Last(chunks),
            }) => (Arc::clone(name), chunks.clone()),
            _ => unreachable!("records are appended to the segment that is written to"),
        };
        chunks.push(Chunk {
            start,
            bytes: Arc::new(bytes),
            checked: None,
        });
        // Like the digits of a binary number that is counted up: each byte is moved a few times at most.
        while let [.., before, last] = chunks.as_slice()
            && before.checked.is_none()
            && before.bytes.len() <= last.bytes.len()
            && before.bytes.len() + last.bytes.len() <= CHUNK_BYTES
        {
            let merged = Chunk {
                start: before.start,
                bytes: Arc::new([&before.bytes[..], &last.bytes[..]].concat()),
                checked: None,
            };
            chunks.truncate(chunks.len() - 2);
            chunks.push(merged);
        }
        let bytes = Bytes::Last(chunks);
        self.segments.push(Arc::new(Held { name, bytes }));
        self
    }

    /// One whose last segment is sealed, and read from `contents` if there are some.
    pub(super) fn sealed(mut self, contents: Option<Contents>) -> Self {
        let Some(contents) = contents else {
            // It is read from memory until the next start.
            return self;
        };
        let Some(last) = self.segments.pop() else {
            return self;
        };
        let ordinal = self.first + self.segments.len() as u32;
        self.with_sealed(ordinal, Arc::clone(&last.name), contents)
    }

    /// One without the segments below an ordinal.
    pub(super) fn without_below(mut self, ordinal: u32) -> Self {
        let gone = (ordinal.saturating_sub(self.first) as usize).min(self.segments.len());
        self.segments.drain(..gone);
        self.first += gone as u32;
        self
    }
}
