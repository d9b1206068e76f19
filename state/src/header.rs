//! What a version's record in the log says of the version.
//!
//! | | bytes | |
//! |---|---|---|
//! | check | 32 | BLAKE3 of all that follows, keyed with the format's tag |
//! | id | 32 | |
//! | parent | 32 | zeros for the first version |
//! | genesis | 32 | the first version's id |
//! | node | 32 | the root |
//! | digest | 32 | of the changes against the parent |
//! | height | 8 | |
//! | position | 8 | where the root lies |
//! | finalized | 8 | height of the version that was final when this one was written |
//! | its id | 32 | behind the rest |
//! | epoch | 8, 8, 8, 4 | see [`Epoch`]: first height, start, floor, bits |
//! | has parent | 4 | 0 or 1 |
//!
//! Numbers are little endian.

use crate::log::Position;
use crate::store::MAX_SWEEP_BITS;
use crate::trie::{self, ChangesDigest, Link};
use crate::version::VersionId;

/// Key of the check; a format that differs has another.
const FORMAT: &[u8; 32] = b"millrace/state-version/1\0\0\0\0\0\0\0\0";

/// How far moving forward what is old has come along a chain of versions.
///
/// A chain's heights are cut in epochs of 2^bits. In an epoch's n-th version the n-th part of the trie is swept: what lies
/// in it and was written before the epoch's start is written anew. So when an epoch is over, all that its last version
/// reaches lies behind the epoch's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch {
    /// Height of the epoch's first version.
    pub(crate) first: u64,
    /// All that the epoch's versions write lies behind this.
    pub(crate) start: Position,
    /// All that the epoch's versions reach lies behind this.
    pub(crate) floor: Position,
    /// Binary logarithm of the epoch's versions.
    pub(crate) bits: u32,
}

impl Epoch {
    /// The epoch of the first version.
    pub(crate) fn first(height: u64, bits: u32) -> Self {
        Self {
            first: height,
            start: Position::ZERO,
            floor: Position::ZERO,
            bits,
        }
    }

    /// The epoch of a version at `height`, whose parent is of this one and was written at `parent`; a new one has `bits`.
    pub(crate) fn next(self, height: u64, parent: Position, bits: u32) -> Self {
        if height.saturating_sub(self.first) >> self.bits == 0 {
            return self;
        }
        Self {
            first: height,
            start: parent,
            floor: self.start,
            bits,
        }
    }

    /// What a version at `height` of this epoch sweeps.
    pub(crate) fn sweep(&self, height: u64) -> trie::Sweep {
        let part = height.saturating_sub(self.first);
        let mut path = [0; 32];
        // The part's number in the path's first bits.
        path[..8].copy_from_slice(&part.checked_shl(64 - self.bits).unwrap_or(0).to_be_bytes());
        trie::Sweep {
            path,
            bits: self.bits as usize,
            before: self.start,
        }
    }
}

/// See the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) id: VersionId,
    pub(crate) parent: Option<VersionId>,
    pub(crate) genesis: VersionId,
    pub(crate) root: Link,
    pub(crate) digest: ChangesDigest,
    pub(crate) height: u64,
    /// Height and id of the version that was final.
    pub(crate) finalized: (u64, VersionId),
    pub(crate) epoch: Epoch,
}

impl Header {
    pub(crate) fn to_bytes(self) -> trie::Header {
        let mut rest = Vec::with_capacity(size_of::<trie::Header>());
        rest.extend_from_slice(&self.id.0);
        rest.extend_from_slice(&self.parent.map_or([0; 32], |parent| parent.0));
        rest.extend_from_slice(&self.genesis.0);
        rest.extend_from_slice(&self.root.node);
        rest.extend_from_slice(&self.digest);
        rest.extend_from_slice(&self.height.to_le_bytes());
        rest.extend_from_slice(&self.root.position.to_bytes());
        rest.extend_from_slice(&self.finalized.0.to_le_bytes());
        rest.extend_from_slice(&self.epoch.first.to_le_bytes());
        rest.extend_from_slice(&self.epoch.start.to_bytes());
        rest.extend_from_slice(&self.epoch.floor.to_bytes());
        rest.extend_from_slice(&self.epoch.bits.to_le_bytes());
        rest.extend_from_slice(&u32::from(self.parent.is_some()).to_le_bytes());
        rest.extend_from_slice(&self.finalized.1.0);
        let mut bytes = [0; size_of::<trie::Header>()];
        bytes[..32].copy_from_slice(blake3::keyed_hash(FORMAT, &rest).as_bytes());
        bytes[32..].copy_from_slice(&rest);
        bytes
    }

    /// The header that these bytes are, if they are one.
    pub(crate) fn from_bytes(bytes: &trie::Header) -> Option<Self> {
        let hash = |from: usize| -> [u8; 32] { std::array::from_fn(|i| bytes[from + i]) };
        let number = |from: usize| -> [u8; 8] { std::array::from_fn(|i| bytes[from + i]) };
        let half = |from: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[from + i]));
        let header = Self {
            id: VersionId(hash(32)),
            parent: (half(244) == 1).then(|| VersionId(hash(64))),
            genesis: VersionId(hash(96)),
            root: Link {
                node: hash(128),
                position: Position::from_bytes(number(200)),
            },
            digest: hash(160),
            height: u64::from_le_bytes(number(192)),
            finalized: (u64::from_le_bytes(number(208)), VersionId(hash(248))),
            epoch: Epoch {
                first: u64::from_le_bytes(number(216)),
                start: Position::from_bytes(number(224)),
                floor: Position::from_bytes(number(232)),
                bits: half(240),
            },
        };
        let is_possible = header.epoch.bits <= MAX_SWEEP_BITS && header.epoch.first <= header.height;
        (is_possible && header.to_bytes() == *bytes).then_some(header)
    }
}
