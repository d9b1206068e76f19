//! From a [`Delivery`] to the record that `deliver` is lent, and back: what the plugin did not take is freed.

use core::ffi::c_void;

use millrace_plugin_abi::event::{
    BlockData, BlockMark, Credit, EVENT_BLOCK_BUILT, EVENT_CREDIT, EVENT_FINALIZED, EVENT_HEAD_MOVED,
    EVENT_KV_STORED, EVENT_KV_VALUE, EVENT_PROPOSAL, EVENT_SETTLED, EVENT_TIMER, EVENT_VERDICT, EVENT_WORK,
};
use millrace_plugin_abi::status::{ABORTED, INVALID, NOT_FOUND, OK, STOPPED, TRANSIENT, UNKNOWN_PARENT};
use millrace_plugin_abi::{Buffer, Bytes, Event, EventData, Hash, Status};

use crate::engine::{BlockBytes, BuildAnswer, HashBytes, HeadAnswer, Verdict};
use crate::inbox::Delivery;

/// An event with all that it points to.
pub struct OwnedEvent {
    event: Event,
    /// Keeps the bytes of `event.reason`.
    _reason: String,
    /// The buffer as handed over, if there is one.
    buffer: Option<Buffer>,
    name: &'static str,
}

impl OwnedEvent {
    /// Prepares a delivery.
    pub fn new(delivery: Delivery, now_ms: u64) -> Self {
        let parts = Parts::of(delivery);
        let event = Event {
            size: size_of::<Event>() as u32,
            kind: parts.kind,
            token: parts.token,
            now_ms,
            status: parts.status,
            reserved: 0,
            reason: Bytes::lend(parts.reason.as_bytes()),
            data: parts.data,
        };
        Self {
            event,
            _reason: parts.reason,
            buffer: parts.buffer,
            name: call_name(parts.kind),
        }
    }

    /// The call, for reports: `deliver(block built)`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The record to lend.
    pub fn as_mut_ptr(&mut self) -> *mut Event {
        &raw mut self.event
    }

    fn buffer_was_taken(&self) -> bool {
        // SAFETY: every member of the union with a buffer begins with it, and every bit pattern is a `Buffer`.
        let buffer = unsafe { self.event.data.value };
        buffer.release.is_none()
    }
}

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        if let Some(mut buffer) = self.buffer.take()
            && !self.buffer_was_taken()
        {
            // SAFETY: made by `own`, and the plugin left it in the event.
            unsafe { release(&raw mut buffer) };
        }
    }
}

struct Parts {
    kind: u32,
    token: u64,
    status: Status,
    reason: String,
    data: EventData,
    buffer: Option<Buffer>,
}

impl Parts {
    fn new(kind: u32, token: u64, status: Status) -> Self {
        Self {
            kind,
            token,
            status,
            reason: String::new(),
            data: EventData::NONE,
            buffer: None,
        }
    }

    fn because(mut self, reason: String) -> Self {
        self.reason = reason;
        self
    }

    fn with_mark(mut self, hash: HashBytes, height: u64) -> Self {
        self.data.mark = BlockMark {
            hash: Hash { bytes: hash },
            height,
        };
        self
    }

    fn with_block(mut self, block: BlockBytes) -> Self {
        let bytes = own(block.bytes);
        self.buffer = Some(bytes);
        let (hash, parent_hash) = (
            Hash { bytes: block.hash },
            Hash {
                bytes: block.parent_hash,
            },
        );
        self.data.block = BlockData {
            bytes,
            hash,
            parent_hash,
            height: block.height,
        };
        self
    }

    fn of(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Built(token, answer) => Self::built(token, answer),
            Delivery::Verdict(token, answer) => Self::verdict(token, answer),
            Delivery::Head(token, answer) => Self::head(token, answer),
            Delivery::Value(token, None) => Self::new(EVENT_KV_VALUE, token, ABORTED),
            Delivery::Value(token, Some(None)) => Self::new(EVENT_KV_VALUE, token, NOT_FOUND),
            Delivery::Value(token, Some(Some(value))) => {
                let mut parts = Self::new(EVENT_KV_VALUE, token, OK);
                let value = own(value);
                parts.buffer = Some(value);
                parts.data.value = value;
                parts
            }
            Delivery::Stored(token, None) => Self::new(EVENT_KV_STORED, token, ABORTED),
            Delivery::Stored(token, Some(Ok(()))) => Self::new(EVENT_KV_STORED, token, OK),
            Delivery::Stored(token, Some(Err(why))) => {
                Self::new(EVENT_KV_STORED, token, INVALID).because(why)
            }
            Delivery::Timer(token, due) => Self::new(EVENT_TIMER, token, due.map_or(ABORTED, |()| OK)),
            Delivery::Proposal(block) => Self::new(EVENT_PROPOSAL, 0, OK).with_block(block),
            Delivery::Credit(blocks, gas) => {
                let mut parts = Self::new(EVENT_CREDIT, 0, OK);
                parts.data.credit = Credit { blocks, gas };
                parts
            }
            Delivery::Settled(hash, height) => Self::new(EVENT_SETTLED, 0, OK).with_mark(hash, height),
            Delivery::Finalized(hash, height) => Self::new(EVENT_FINALIZED, 0, OK).with_mark(hash, height),
            Delivery::HeadMoved(hash, height) => Self::new(EVENT_HEAD_MOVED, 0, OK).with_mark(hash, height),
            Delivery::Work => Self::new(EVENT_WORK, 0, OK),
        }
    }

    fn built(token: u64, answer: Option<BuildAnswer>) -> Self {
        let with = |status| Self::new(EVENT_BLOCK_BUILT, token, status);
        match answer {
            None => with(ABORTED),
            Some(BuildAnswer::Built(block)) => with(OK).with_block(block),
            Some(BuildAnswer::NotNow(why)) => with(TRANSIENT).because(why),
            Some(BuildAnswer::UnknownParent) => with(UNKNOWN_PARENT),
            Some(BuildAnswer::Invalid(why)) => with(INVALID).because(why),
            Some(BuildAnswer::Stopped) => with(STOPPED),
        }
    }

    fn verdict(token: u64, answer: Option<Verdict>) -> Self {
        let with = |status| Self::new(EVENT_VERDICT, token, status);
        match answer {
            None => with(ABORTED),
            Some(Verdict::Valid { hash, height }) => with(OK).with_mark(hash, height),
            Some(Verdict::Invalid(why)) => with(INVALID).because(why),
            Some(Verdict::UnknownParent) => with(UNKNOWN_PARENT),
            Some(Verdict::NotYet(why)) => with(TRANSIENT).because(why),
        }
    }

    fn head(token: u64, answer: Option<HeadAnswer>) -> Self {
        let with = |status| Self::new(EVENT_HEAD_MOVED, token, status);
        match answer {
            None => with(ABORTED),
            Some(HeadAnswer::Superseded) => with(ABORTED).because("superseded by a later set_head".into()),
            Some(HeadAnswer::Moved { hash, height }) => with(OK).with_mark(hash, height),
            Some(HeadAnswer::Invalid { hash, reason }) => with(INVALID).because(reason).with_mark(hash, 0),
        }
    }
}

fn call_name(kind: u32) -> &'static str {
    match kind {
        EVENT_BLOCK_BUILT => "deliver(block built)",
        EVENT_VERDICT => "deliver(verdict)",
        EVENT_CREDIT => "deliver(credit)",
        EVENT_PROPOSAL => "deliver(proposal)",
        EVENT_HEAD_MOVED => "deliver(head moved)",
        EVENT_TIMER => "deliver(timer)",
        EVENT_SETTLED => "deliver(settled)",
        EVENT_FINALIZED => "deliver(finalized)",
        EVENT_WORK => "deliver(work)",
        EVENT_KV_VALUE => "deliver(kv value)",
        _ => "deliver(kv stored)",
    }
}

/// Gives bytes away, to be freed by [`release`].
fn own(bytes: Vec<u8>) -> Buffer {
    let owner = Box::into_raw(Box::new(bytes));
    // SAFETY: just made by `Box::into_raw`; nobody else has it yet.
    let (data, len) = unsafe { ((*owner).as_ptr(), (*owner).len() as u64) };
    Buffer {
        data,
        len,
        owner: owner.cast::<c_void>(),
        release: Some(release),
    }
}

/// Frees what [`own`] gave away, once: the struct is emptied.
unsafe extern "C" fn release(buffer: *mut Buffer) {
    if buffer.is_null() {
        return;
    }
    // SAFETY: not null, and by the ABI a buffer struct that the caller may write.
    let given = unsafe { core::mem::replace(&mut *buffer, Buffer::EMPTY) };
    if !given.owner.is_null() {
        // SAFETY: by the ABI `owner` is what `own` made, and this is the one call that releases it.
        drop(unsafe { Box::from_raw(given.owner.cast::<Vec<u8>>()) });
    }
}
