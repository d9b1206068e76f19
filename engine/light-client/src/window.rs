//! The finalized headers that the client keeps: a run of consecutive heights up to the newest.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use millrace_types::{Hash, Header, Height};

use crate::evidence::Branch;

/// A finalized header.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub header: Header,
    pub hash: Hash,
    /// The certificate over this very header, if it came with one.
    pub certificate: Option<Vec<u8>>,
}

/// Never empty.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    kept: VecDeque<Kept>,
    capacity: usize,
}

impl Window {
    pub fn new(first: Kept, capacity: usize) -> Self {
        Self {
            kept: VecDeque::from([first]),
            capacity: capacity.max(1),
        }
    }

    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        let excess = self.kept.len().saturating_sub(self.capacity);
        self.kept.drain(..excess);
    }

    /// Appends the header after the newest; the oldest goes when there is no room.
    pub fn push(&mut self, next: Kept) {
        debug_assert_eq!(next.header.parent_hash, self.newest().hash);
        if self.kept.len() == self.capacity {
            self.kept.pop_front();
        }
        self.kept.push_back(next);
    }

    /// Keeps the certificate of the newest header.
    pub fn certify_newest(&mut self, certificate: Vec<u8>) {
        if let Some(newest) = self.kept.back_mut() {
            newest.certificate = Some(certificate);
        }
    }

    pub fn newest(&self) -> &Kept {
        self.kept.back().expect("a window is never empty")
    }

    pub fn oldest(&self) -> &Kept {
        self.kept.front().expect("a window is never empty")
    }

    pub fn get(&self, height: Height) -> Option<&Kept> {
        let position = height.checked_sub(self.oldest().header.height)?;
        self.kept.get(usize::try_from(position).ok()?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// The oldest header kept whose settled height is at least `height`.
    pub fn settling(&self, height: Height) -> Option<&Kept> {
        self.kept.get(
            self.kept
                .partition_point(|kept| kept.header.settled_height < height),
        )
    }

    /// The headers from `height` up to the first that came with a certificate.
    pub fn branch(&self, height: Height) -> Option<Branch> {
        let first = height.checked_sub(self.oldest().header.height)?;
        let mut headers = Vec::new();
        for kept in self.kept.iter().skip(usize::try_from(first).ok()?) {
            headers.push(kept.header.clone());
            if let Some(certificate) = &kept.certificate {
                return Some(Branch {
                    headers,
                    certificate: certificate.clone(),
                });
            }
        }
        None
    }
}
