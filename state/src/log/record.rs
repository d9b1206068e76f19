//! A record and a segment's head, as bytes.
//!
//! | a record | bytes | |
//! |---|---|---|
//! | hash | 32 | BLAKE3, keyed with the hash of the record before, of all that follows |
//! | length | 4 | of the payload |
//! | sequence | 8 | one more than that of the record before |
//! | durable | 8 | records below this number were durable when this one was written |
//! | label | 8 | the writer's; the store's is a height |
//! | payload | length | |
//!
//! | a segment's head | bytes | |
//! |---|---|---|
//! | hash | 32 | BLAKE3, keyed with the format's tag, of all that follows |
//! | first | 8 | sequence of the first record |
//! | before | 32 | hash of the record before it, zeros if there is none |
//!
//! Numbers are little endian.

/// Bytes of a record in front of its payload.
pub(super) const HEAD: usize = 60;

/// Bytes of a segment in front of its first record.
pub(super) const SEGMENT_HEAD: usize = 72;

/// Longest payload.
pub const MAX_PAYLOAD: usize = 1 << 30;

/// Key of segment heads; a format that differs has another.
const FORMAT: &[u8; 32] = b"millrace/state-log/1\0\0\0\0\0\0\0\0\0\0\0\0";

/// The hash of a record, which names it and all before it.
pub type RecordHash = [u8; 32];

/// What a record says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) hash: RecordHash,
    pub(super) len: u32,
    pub(super) sequence: u64,
    pub(super) durable: u64,
    pub(super) label: u64,
}

impl Head {
    /// The head of a record that follows the one with the hash `before`.
    pub(super) fn new(before: &RecordHash, sequence: u64, durable: u64, label: u64, payload: &[u8]) -> Self {
        let mut head = Self {
            hash: [0; 32],
            len: payload.len() as u32,
            sequence,
            durable,
            label,
        };
        head.hash = head.expected_hash(before, payload);
        head
    }

    fn expected_hash(&self, before: &RecordHash, payload: &[u8]) -> RecordHash {
        let mut hasher = blake3::Hasher::new_keyed(before);
        hasher.update(&self.to_bytes()[32..]);
        hasher.update(payload);
        *hasher.finalize().as_bytes()
    }

    /// Whether it is the head of that payload, behind the record with that hash.
    pub(super) fn fits(&self, before: &RecordHash, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && self.expected_hash(before, payload) == self.hash
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..32].copy_from_slice(&self.hash);
        bytes[32..36].copy_from_slice(&self.len.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.durable.to_le_bytes());
        bytes[52..].copy_from_slice(&self.label.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; HEAD]) -> Self {
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[from + i]));
        Self {
            hash: std::array::from_fn(|i| bytes[i]),
            len: u32::from_le_bytes(std::array::from_fn(|i| bytes[32 + i])),
            sequence: number(36),
            durable: number(44),
            label: number(52),
        }
    }

    /// Bytes of the whole record.
    pub(super) fn record_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }
}

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHead {
    /// Sequence of its first record.
    pub(super) first: u64,
    /// Hash of the record before.
    pub(super) before: RecordHash,
}

impl SegmentHead {
    pub(super) fn to_bytes(self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..].copy_from_slice(&self.before);
        let hash = blake3::keyed_hash(FORMAT, &bytes[32..]);
        bytes[..32].copy_from_slice(hash.as_bytes());
        bytes
    }

    /// The head that these bytes are, if they are one.
    pub(super) fn from_bytes(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let head = Self {
            first: u64::from_le_bytes(std::array::from_fn(|i| bytes[32 + i])),
            before: std::array::from_fn(|i| bytes[40 + i]),
        };
        (head.to_bytes() == *bytes).then_some(head)
    }
}
