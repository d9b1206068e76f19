//! A record and a segment's head, as bytes.
//!
//! | a record | bytes | |
//! |---|---|---|
//! | hash | 32 | BLAKE3, keyed with the hash of the record before, of all that follows |
//! | mark | 8 | the first bytes of BLAKE3, keyed with the segment's salt, of the four numbers that follow |
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
//! | ordinal | 8 | how many segments were begun before |
//! | before | 32 | hash of the record before it, zeros if there is none |
//! | salt | 32 | random |
//!
//! Numbers are little endian.
//!
//! A mark lets a head be known for one where what is in front of it is lost. Nobody who merely writes payloads knows the
//! salt, so that none of them can pass for a head.

/// Bytes of a record in front of its payload.
pub(super) const HEAD: usize = 68;

/// Bytes of a segment in front of its first record.
pub(super) const SEGMENT_HEAD: usize = 112;

/// Longest payload.
pub const MAX_PAYLOAD: usize = 1 << 30;

/// The format that this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// A head that is none of this format is tried as one of formats up to this.
const LAST_TRIED: u32 = 64;

/// Key of the segment heads of a format. Every format has the same head behind another key, so that an older build knows a
/// newer one for what it is.
fn key_of(format: u32) -> [u8; 32] {
    let tag = format!("millrace/state-log/{format}");
    std::array::from_fn(|i| tag.as_bytes().get(i).copied().unwrap_or(0))
}

/// The format of a segment's head, if it is a newer one.
pub(super) fn newer_format(bytes: &[u8; SEGMENT_HEAD]) -> Option<u32> {
    let is_of = |format: &u32| blake3::keyed_hash(&key_of(*format), &bytes[32..]).as_bytes() == &bytes[..32];
    (FORMAT_VERSION + 1..=LAST_TRIED).find(is_of)
}

/// The hash of a record, which names it and all before it.
pub type RecordHash = [u8; 32];

/// What a segment's heads are marked with.
pub(super) type Salt = [u8; 32];

/// What a record says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) hash: RecordHash,
    mark: [u8; 8],
    pub(super) len: u32,
    pub(super) sequence: u64,
    pub(super) durable: u64,
    pub(super) label: u64,
}

impl Head {
    /// The head of a record that follows the one with the hash `before`.
    pub(super) fn new(
        salt: &Salt,
        before: &RecordHash,
        [sequence, durable, label]: [u64; 3],
        payload: &[u8],
    ) -> Self {
        let mut head = Self {
            hash: [0; 32],
            mark: [0; 8],
            len: payload.len() as u32,
            sequence,
            durable,
            label,
        };
        head.mark = head.expected_mark(salt);
        head.hash = head.expected_hash(before, payload);
        head
    }

    fn expected_mark(&self, salt: &Salt) -> [u8; 8] {
        let hash = blake3::keyed_hash(salt, &self.to_bytes()[40..]);
        std::array::from_fn(|i| hash.as_bytes()[i])
    }

    /// Whether it is a head of the segment with that salt, whatever else is lost.
    pub(super) fn is_marked(&self, salt: &Salt) -> bool {
        self.mark == self.expected_mark(salt)
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
        bytes[32..40].copy_from_slice(&self.mark);
        bytes[40..44].copy_from_slice(&self.len.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[52..60].copy_from_slice(&self.durable.to_le_bytes());
        bytes[60..].copy_from_slice(&self.label.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; HEAD]) -> Self {
        let number = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[from + i]));
        Self {
            hash: std::array::from_fn(|i| bytes[i]),
            mark: std::array::from_fn(|i| bytes[32 + i]),
            len: u32::from_le_bytes(std::array::from_fn(|i| bytes[40 + i])),
            sequence: number(44),
            durable: number(52),
            label: number(60),
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
    /// How many segments were begun before.
    pub(super) ordinal: u32,
    /// Hash of the record before.
    pub(super) before: RecordHash,
    /// What its heads are marked with.
    pub(super) salt: Salt,
}

impl SegmentHead {
    pub(super) fn to_bytes(self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[32..40].copy_from_slice(&self.first.to_le_bytes());
        bytes[40..48].copy_from_slice(&u64::from(self.ordinal).to_le_bytes());
        bytes[48..80].copy_from_slice(&self.before);
        bytes[80..].copy_from_slice(&self.salt);
        let hash = blake3::keyed_hash(&key_of(FORMAT_VERSION), &bytes[32..]);
        bytes[..32].copy_from_slice(hash.as_bytes());
        bytes
    }

    /// The head that these bytes are, if they are one.
    pub(super) fn from_bytes(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let head = Self {
            first: u64::from_le_bytes(std::array::from_fn(|i| bytes[32 + i])),
            ordinal: u32::from_le_bytes(std::array::from_fn(|i| bytes[40 + i])),
            before: std::array::from_fn(|i| bytes[48 + i]),
            salt: std::array::from_fn(|i| bytes[80 + i]),
        };
        // Nobody writes so many, and whoever counts on from there would come to the end.
        let is_possible = head.first < 1 << 62 && head.ordinal < 1 << 31;
        (is_possible && head.to_bytes() == *bytes).then_some(head)
    }
}
