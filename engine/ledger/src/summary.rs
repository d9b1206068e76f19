//! What the logs of a block may be about: so that a search for logs passes by blocks that have none for it.
//!
//! A summary is a Bloom filter over the contracts of a block's logs and over their topics, each with its position. It is
//! written with the block's receipts, in the same commit. What it does not know did not happen; what it knows may have.
//!
//! ```text
//! record:  format (1)  ‖  filter: words of 8 bytes, none for a block without logs
//! key:     the first 16 bytes of BLAKE3, domain "millrace/log-summary/1", of kind ‖ 32 bytes
//!          kind 0: a contract; kind 1 + p: a topic at position p, counted from 0
//! filter:  12 bits for each distinct key, rounded up to whole words, at most 64 KiB
//! probes:  8 for each key: bit (a + i × (b | 1)) mod bits, a and b the halves of the key, i from 0; all arithmetic
//!          modulo 2^64, numbers little endian, bit n in byte n / 8 at value 1 << (n mod 8)
//! ```
//!
//! One question in 320 is answered with a false "perhaps" (0.31 %; `summary::tests` measures it). A block whose logs have more
//! than 43,690 distinct keys has a fuller filter, up to one that says "perhaps" to everything.

use std::collections::BTreeSet;

use millrace_types::hash::Domain;
use millrace_types::{Address, Hash, TransactionReceipt};

const KEYS: Domain = Domain::new("millrace/log-summary/1");
/// First byte of a record. One of another format counts as absent: its block is read.
const FORMAT: u8 = 1;
const BITS_PER_KEY: usize = 12;
const PROBES: u64 = 8;
const WORD_BYTES: usize = 8;
/// Of a filter.
const MOST_BYTES: usize = 64 << 10;

/// A contract or a topic, as a summary knows it. Made once for many questions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogKey {
    start: u64,
    step: u64,
}

impl LogKey {
    /// Of the contract that emits a log.
    #[must_use]
    pub fn contract(contract: &Address) -> Self {
        Self::of(0, &contract.0)
    }

    /// Of a topic at a position, counted from 0.
    #[must_use]
    pub fn topic(position: u8, topic: &Hash) -> Self {
        Self::of(position.saturating_add(1), &topic.0)
    }

    fn of(kind: u8, value: &[u8; 32]) -> Self {
        let Hash(hash) = KEYS.hash(&[&[kind], value]);
        let half = |at: usize| {
            let bytes = hash[at..].first_chunk().expect("a hash has four words");
            u64::from_le_bytes(*bytes)
        };
        Self {
            start: half(0),
            step: half(8) | 1,
        }
    }

    /// The bits that stand for it in a filter of so many.
    fn bits(self, bits: u64) -> impl Iterator<Item = (usize, u8)> {
        (0..PROBES).map(move |probe| {
            let bit = self.start.wrapping_add(probe.wrapping_mul(self.step)) % bits;
            let byte = usize::try_from(bit / 8).expect("a filter has few bytes");
            (byte, 1 << (bit % 8))
        })
    }
}

/// What the logs of one block may be about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSummary {
    filter: Vec<u8>,
}

impl LogSummary {
    /// Of the receipts of a block.
    #[must_use]
    pub fn of(receipts: &[TransactionReceipt]) -> Self {
        let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
        let keys: BTreeSet<LogKey> = logs
            .flat_map(|log| {
                let topics = (0..).zip(&log.topics);
                let topics = topics.map(|(position, topic)| LogKey::topic(position, topic));
                std::iter::once(LogKey::contract(&log.address)).chain(topics)
            })
            .collect();
        let words = (keys.len() * BITS_PER_KEY).div_ceil(WORD_BYTES * 8);
        let mut filter = vec![0; (words * WORD_BYTES).min(MOST_BYTES)];
        let bits = filter.len() as u64 * 8;
        for (byte, bit) in keys.iter().flat_map(|key| key.bits(bits)) {
            filter[byte] |= bit;
        }
        Self { filter }
    }

    /// Whether a log of the block may be about this. Without logs none is.
    #[must_use]
    pub fn may_have(&self, key: LogKey) -> bool {
        let bits = self.filter.len() as u64 * 8;
        bits > 0 && key.bits(bits).all(|(byte, bit)| self.filter[byte] & bit != 0)
    }

    /// Whether the block has no logs at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty()
    }

    pub(crate) fn to_record(&self) -> Vec<u8> {
        [&[FORMAT][..], &self.filter].concat()
    }

    /// `None` for a record of another format.
    pub(crate) fn from_record(record: &[u8]) -> Option<Self> {
        let (format, filter) = record.split_first()?;
        let is_known = *format == FORMAT && filter.len() % WORD_BYTES == 0 && filter.len() <= MOST_BYTES;
        is_known.then(|| Self {
            filter: filter.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use millrace_types::{Log, Outcome};

    use super::*;

    fn word(kind: u8, number: u64) -> [u8; 32] {
        let mut word = [kind; 32];
        word[..8].copy_from_slice(&number.to_le_bytes());
        word
    }

    /// One log: contract and topics of these numbers.
    fn log(contract: u64, topics: &[u64]) -> Log {
        Log {
            address: Address(word(0xaa, contract)),
            topics: topics.iter().map(|topic| Hash(word(0xbb, *topic))).collect(),
            data: vec![1],
        }
    }

    fn receipt(logs: Vec<Log>) -> TransactionReceipt {
        TransactionReceipt {
            transaction_hash: Hash::ZERO,
            index: 0,
            outcome: Outcome::Success,
            gas_used: 1,
            gas_charged: 1,
            output: Vec::new(),
            logs,
            created: None,
        }
    }

    fn contract(number: u64) -> LogKey {
        LogKey::contract(&Address(word(0xaa, number)))
    }

    fn topic(position: u8, number: u64) -> LogKey {
        LogKey::topic(position, &Hash(word(0xbb, number)))
    }

    #[test]
    fn everything_that_happened_is_known_and_survives_the_record() {
        for logs in [1, 2, 17, 300] {
            let receipts = [receipt((0..logs).map(|n| log(n, &[n, n + 1, n + 2])).collect())];
            let summary = LogSummary::of(&receipts);
            let summary = LogSummary::from_record(&summary.to_record()).unwrap();
            for n in 0..logs {
                assert!(summary.may_have(contract(n)));
                assert!((0..3).all(|position| summary.may_have(topic(position, n + u64::from(position)))));
            }
        }
    }

    #[test]
    fn a_block_without_logs_takes_one_byte_and_knows_nothing() {
        let summary = LogSummary::of(&[receipt(Vec::new())]);
        assert!(summary.is_empty() && !summary.may_have(contract(0)));
        assert_eq!(summary.to_record(), [FORMAT]);
    }

    #[test]
    fn a_topic_at_another_position_is_another_one() {
        let summary = LogSummary::of(&[receipt(vec![log(0, &[5])])]);
        assert!(summary.may_have(topic(0, 5)));
        assert!(!summary.may_have(topic(1, 5)) && !summary.may_have(contract(5)));
    }

    /// Documented as 0.31 %. The keys are fixed, so this is no chance: 40,000 questions to filters of every size.
    #[test]
    fn one_question_in_three_hundred_is_answered_perhaps_without_reason() {
        let (mut asked, mut perhaps) = (0u32, 0u32);
        for logs in [1, 3, 10, 100, 1_000] {
            let summary = LogSummary::of(&[receipt((0..logs).map(|n| log(n, &[n])).collect())]);
            let bytes = summary.to_record().len() as u64;
            assert!(
                bytes <= 1 + (2 * logs * 12).div_ceil(64) * 8,
                "{bytes} bytes of {logs} logs"
            );
            for number in 1_000_000..1_004_000 {
                asked += 2;
                perhaps += u32::from(summary.may_have(contract(number)));
                perhaps += u32::from(summary.may_have(topic(0, number)));
            }
        }
        assert!(perhaps * 1_000 < asked * 4, "{perhaps} of {asked}");
        assert!(
            perhaps * 1_000 > asked,
            "{perhaps} of {asked}: the filter is larger than it need be"
        );
    }

    #[test]
    fn a_summary_has_a_bound_and_then_says_perhaps_more_often() {
        let receipts = [receipt((0..60_000).map(|n| log(n, &[])).collect())];
        let summary = LogSummary::of(&receipts);
        assert_eq!(summary.to_record().len(), 1 + MOST_BYTES);
        assert!((0..60_000).all(|n| summary.may_have(contract(n))));
    }

    #[test]
    fn a_record_of_another_format_or_of_no_format_counts_as_absent() {
        for record in [&[][..], &[2], &[1, 0, 0], &vec![1; 2 + MOST_BYTES]] {
            assert_eq!(LogSummary::from_record(record), None);
        }
    }
}
