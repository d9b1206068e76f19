//! One storage slot or code blob during a transaction, and the counters that slots may hold.

use std::sync::Arc;

/// A counter's value: 16 bytes, little endian.
pub(crate) type Count = u128;

/// A value by path that was read or written.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) value: SlotValue,
    pub(super) written: bool,
}

#[derive(Clone)]
pub(super) enum SlotValue {
    /// What is there now.
    Known(Option<Arc<[u8]>>),
    /// So much more than was there before the transaction, whatever that was.
    Added(Count),
}

/// Why nothing can be added to a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoCounter {
    /// It holds bytes that are no counter.
    OtherValue,
    /// The sum would not fit.
    Overflow,
}

/// What a slot counts: an absent one nothing.
fn count(value: Option<&[u8]>) -> Result<Count, NoCounter> {
    match value {
        None => Ok(0),
        Some(bytes) => bytes
            .try_into()
            .map(Count::from_le_bytes)
            .map_err(|_| NoCounter::OtherValue),
    }
}

/// A slot's value once `more` was added.
pub(crate) fn added(value: Option<&[u8]>, more: Count) -> Result<Arc<[u8]>, NoCounter> {
    let sum = count(value)?.checked_add(more).ok_or(NoCounter::Overflow)?;
    Ok(Arc::from(sum.to_le_bytes()))
}
