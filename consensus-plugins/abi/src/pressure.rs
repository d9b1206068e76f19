//! The pressure record: how busy the engine is, readable by the plugin at no cost and without a call.
//!
//! One writer, the host; any number of readers, on any thread. The writer makes `sequence` odd, stores the values and
//! makes it even again; a reader takes values only between two equal, even sequences. Every word is an aligned 64-bit
//! atomic, so a reader never sees a torn word, and with the check never a mixture of two records. Readers retry a
//! bounded number of times and then keep their last copy: they never wait for the writer.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// How often a reader tries before it keeps its last copy.
pub const PRESSURE_READ_ATTEMPTS: u32 = 16;

/// The record. `size` is constant; all else is written by the host alone.
#[repr(C)]
#[derive(Debug)]
pub struct Pressure {
    /// Size of this record, in bytes. Fields are appended by later minor versions.
    pub size: u64,
    /// Even when the values are whole; 0 before the first were written.
    pub sequence: AtomicU64,
    /// See [`PressureValues::credit_blocks`].
    pub credit_blocks: AtomicU64,
    /// See [`PressureValues::credit_gas`].
    pub credit_gas: AtomicU64,
    /// See [`PressureValues::max_gas`].
    pub max_gas: AtomicU64,
    /// See [`PressureValues::max_bytes`].
    pub max_bytes: AtomicU64,
    /// See [`PressureValues::min_interval_ms`].
    pub min_interval_ms: AtomicU64,
    /// See [`PressureValues::executed_height`].
    pub executed_height: AtomicU64,
    /// See [`PressureValues::persisted_height`].
    pub persisted_height: AtomicU64,
    /// See [`PressureValues::settled_height`].
    pub settled_height: AtomicU64,
    /// See [`PressureValues::finalized_height`].
    pub finalized_height: AtomicU64,
    /// See [`PressureValues::oldest_in_flight_ms`].
    pub oldest_in_flight_ms: AtomicU64,
    /// See [`PressureValues::rung`].
    pub rung: AtomicU64,
}

/// One whole reading of the record.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PressureValues {
    /// Finalized blocks that would be taken now. Hard: beyond it submitting answers `AGAIN`.
    pub credit_blocks: u64,
    /// Gas that they may have together.
    pub credit_gas: u64,
    /// Gas that the next proposal should have at most.
    pub max_gas: u64,
    /// Bytes that the next proposal should have at most.
    pub max_bytes: u64,
    /// Milliseconds that should pass between two proposals at least.
    pub min_interval_ms: u64,
    /// Newest head-chain block whose receipt is durable here.
    pub executed_height: u64,
    /// Newest block whose state record is durable here.
    pub persisted_height: u64,
    /// s(F): what the newest finalized block settles up to.
    pub settled_height: u64,
    /// Newest finalized block.
    pub finalized_height: u64,
    /// Milliseconds that the oldest block in flight has been waiting to be persisted; 0 with none.
    pub oldest_in_flight_ms: u64,
    /// Where the engine is on the ladder: 0 no pressure, 1 shrink, 2 delay, 3 empty blocks, 4 no block.
    pub rung: u64,
}

impl Pressure {
    /// A record that was not written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: size_of::<Self>() as u64,
            sequence: AtomicU64::new(0),
            credit_blocks: AtomicU64::new(0),
            credit_gas: AtomicU64::new(0),
            max_gas: AtomicU64::new(0),
            max_bytes: AtomicU64::new(0),
            min_interval_ms: AtomicU64::new(0),
            executed_height: AtomicU64::new(0),
            persisted_height: AtomicU64::new(0),
            settled_height: AtomicU64::new(0),
            finalized_height: AtomicU64::new(0),
            oldest_in_flight_ms: AtomicU64::new(0),
            rung: AtomicU64::new(0),
        }
    }

    /// Writes the values. For the record's one writer: with two at a time readers may take a mixture.
    pub fn publish(&self, values: &PressureValues) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.credit_blocks.store(values.credit_blocks, Ordering::Relaxed);
        self.credit_gas.store(values.credit_gas, Ordering::Relaxed);
        self.max_gas.store(values.max_gas, Ordering::Relaxed);
        self.max_bytes.store(values.max_bytes, Ordering::Relaxed);
        self.min_interval_ms
            .store(values.min_interval_ms, Ordering::Relaxed);
        self.executed_height
            .store(values.executed_height, Ordering::Relaxed);
        self.persisted_height
            .store(values.persisted_height, Ordering::Relaxed);
        self.settled_height
            .store(values.settled_height, Ordering::Relaxed);
        self.finalized_height
            .store(values.finalized_height, Ordering::Relaxed);
        self.oldest_in_flight_ms
            .store(values.oldest_in_flight_ms, Ordering::Relaxed);
        self.rung.store(values.rung, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// A whole reading, or `None`: nothing was written yet, or the writer was in the way at every one of
    /// [`PRESSURE_READ_ATTEMPTS`]; keep the last copy then.
    #[must_use]
    pub fn read(&self) -> Option<PressureValues> {
        for _ in 0..PRESSURE_READ_ATTEMPTS {
            let before = self.sequence.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            let values = self.load();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return Some(values);
            }
            core::hint::spin_loop();
        }
        None
    }

    fn load(&self) -> PressureValues {
        PressureValues {
            credit_blocks: self.credit_blocks.load(Ordering::Relaxed),
            credit_gas: self.credit_gas.load(Ordering::Relaxed),
            max_gas: self.max_gas.load(Ordering::Relaxed),
            max_bytes: self.max_bytes.load(Ordering::Relaxed),
            min_interval_ms: self.min_interval_ms.load(Ordering::Relaxed),
            executed_height: self.executed_height.load(Ordering::Relaxed),
            persisted_height: self.persisted_height.load(Ordering::Relaxed),
            settled_height: self.settled_height.load(Ordering::Relaxed),
            finalized_height: self.finalized_height.load(Ordering::Relaxed),
            oldest_in_flight_ms: self.oldest_in_flight_ms.load(Ordering::Relaxed),
            rung: self.rung.load(Ordering::Relaxed),
        }
    }
}

impl Default for Pressure {
    fn default() -> Self {
        Self::new()
    }
}
