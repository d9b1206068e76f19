//! What comes in.

use core::num::NonZeroU64;

use millrace_plugin_abi as abi;
use millrace_plugin_abi::event as kind;
use millrace_plugin_abi::status;
use millrace_types::{Hash, Height};

use crate::Bytes;

/// Names a request. Each request completes by exactly one event with its token, unless the plugin fails before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token(pub NonZeroU64);

/// A block by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockMark {
    /// Its hash.
    pub hash: Hash,
    /// Its height.
    pub height: Height,
}

/// A block with its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockBytes {
    /// Its canonical bytes.
    pub bytes: Bytes,
    /// Its hash.
    pub hash: Hash,
    /// Its parent's hash.
    pub parent_hash: Hash,
    /// Its height.
    pub height: Height,
}

/// Why a request brought nothing. "Not now" is never "no".
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Declined {
    /// Not now; it resolves by itself. After a build, [`Event::Work`] follows.
    #[error("not now: {0}")]
    NotNow(String),
    /// The parent, or an ancestor, is not known here.
    #[error("the parent is not known here")]
    UnknownParent,
    /// Refused for ever.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Cancelled, superseded, or cut short by stop.
    #[error("aborted: {0}")]
    Aborted(String),
    /// The plugin is being stopped, or has failed; nothing more is taken.
    #[error("the plugin is being stopped")]
    Stopped,
}

/// Why a head did not move.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadDeclined {
    /// The target, or an ancestor of it, is invalid for ever; so are the descendants.
    #[error("block {block} is invalid: {reason}")]
    Invalid {
        /// Which block.
        block: Hash,
        /// Why, for people.
        reason: String,
    },
    /// As any request; [`Declined::Aborted`] when a later `set_head` took its place.
    #[error("{0}")]
    Declined(Declined),
}

/// What became of a finalized block that was handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// Taken over. [`Event::Finalized`] tells when it is durable.
    Accepted,
    /// No room: keep the block, and hand it over again at [`Event::Credit`].
    Again,
    /// Refused for ever. The engine has stopped: the plugin broke its duty.
    Invalid,
    /// Its parent was never handed over. The engine has stopped: the plugin broke its duty.
    UnknownParent,
    /// The engine or the plugin is being stopped.
    Stopped,
}

/// What comes in.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Completes a request for a block.
    BlockBuilt {
        /// The request.
        token: Token,
        /// The block, or why there is none.
        result: Result<BlockBytes, Declined>,
    },
    /// Completes a validation.
    Verdict {
        /// The request.
        token: Token,
        /// The valid block's name, or why not.
        result: Result<BlockMark, Declined>,
    },
    /// There is room for finalized blocks. Follows every [`Submitted::Again`].
    Credit {
        /// How many.
        blocks: u64,
        /// How much gas they may have together.
        gas: u64,
    },
    /// A proposal reached this node: validate it and vote.
    Proposal(BlockBytes),
    /// The head moved; completes a `set_head` if there is a token.
    HeadMoved {
        /// The request, if it was asked for.
        token: Option<Token>,
        /// The head, or why it did not move.
        result: Result<BlockMark, HeadDeclined>,
    },
    /// A timer is due. Cancelled timers say nothing.
    Timer {
        /// The timer.
        token: Token,
    },
    /// The newest finalized block settles up to this one.
    Settled(BlockMark),
    /// Every finalized block up to this one is durable here, with its certificate.
    Finalized(BlockMark),
    /// A build that was declined by "not now" may succeed.
    Work,
    /// Completes a read of the store.
    KvValue {
        /// The request.
        token: Token,
        /// The value, `None` if the key holds nothing, or why it could not be read.
        result: Result<Option<Bytes>, Declined>,
    },
    /// Completes a write of the store.
    KvStored {
        /// The request.
        token: Token,
        /// It is durable, or why it never will be.
        result: Result<(), Declined>,
    },
    /// Stepped mode only: what became of a finalized block.
    Submitted {
        /// The submission.
        token: Token,
        /// What became of it.
        outcome: Submitted,
    },
}

impl Declined {
    /// What a request's status says, if it is not `OK`.
    pub(crate) fn of(status: abi::Status, reason: String) -> Option<Self> {
        match status {
            status::OK => None,
            status::AGAIN | status::TRANSIENT => Some(Self::NotNow(reason)),
            status::UNKNOWN_PARENT => Some(Self::UnknownParent),
            status::STOPPED => Some(Self::Stopped),
            status::ABORTED => Some(Self::Aborted(reason)),
            _ => Some(Self::Invalid(reason)),
        }
    }
}

/// An event of the host, and its time. `None` for kinds that this version does not know and for cancelled timers.
///
/// # Safety
/// `event` is the argument of `deliver`, for the duration of which all that it points to is readable.
pub(crate) unsafe fn read(event: &mut abi::Event) -> Option<(u64, Event)> {
    // SAFETY: readable by the caller's promise.
    let reason = unsafe { event.reason.as_slice() }.unwrap_or_default();
    let declined = Declined::of(event.status, String::from_utf8_lossy(reason).into_owned());
    let token = NonZeroU64::new(event.token).map(Token);
    let result = match event.kind {
        kind::EVENT_BLOCK_BUILT => {
            let result = match declined {
                Some(declined) => Err(declined),
                // SAFETY: with status `OK` the host wrote `block` for this kind.
                None => Ok(unsafe { block(event) }?),
            };
            Event::BlockBuilt {
                token: token?,
                result,
            }
        }
        kind::EVENT_VERDICT => {
            // SAFETY: the host wrote `mark` for this kind.
            let mark = unsafe { mark(event) };
            Event::Verdict {
                token: token?,
                result: declined.map_or(Ok(mark), Err),
            }
        }
        kind::EVENT_CREDIT => {
            // SAFETY: the host wrote `credit` for this kind.
            let credit = unsafe { event.data.credit };
            Event::Credit {
                blocks: credit.blocks,
                gas: credit.gas,
            }
        }
        // SAFETY: the host wrote `block` for this kind.
        kind::EVENT_PROPOSAL => Event::Proposal(unsafe { block(event) }?),
        kind::EVENT_HEAD_MOVED => {
            // SAFETY: the host wrote `mark` for this kind.
            let mark = unsafe { mark(event) };
            let result = match declined {
                None => Ok(mark),
                Some(Declined::Invalid(reason)) => Err(HeadDeclined::Invalid {
                    block: mark.hash,
                    reason,
                }),
                Some(declined) => Err(HeadDeclined::Declined(declined)),
            };
            Event::HeadMoved { token, result }
        }
        kind::EVENT_TIMER if declined.is_none() => Event::Timer { token: token? },
        // SAFETY: the host wrote `mark` for this kind.
        kind::EVENT_SETTLED => Event::Settled(unsafe { mark(event) }),
        // SAFETY: the host wrote `mark` for this kind.
        kind::EVENT_FINALIZED => Event::Finalized(unsafe { mark(event) }),
        kind::EVENT_WORK => Event::Work,
        kind::EVENT_KV_VALUE => {
            let result = match (event.status, declined) {
                (status::NOT_FOUND, _) => Ok(None),
                (_, Some(declined)) => Err(declined),
                // SAFETY: with status `OK` the host wrote `value` for this kind, and the event is being delivered.
                (_, None) => Ok(Some(unsafe { Bytes::take(&mut event.data.value) }?)),
            };
            Event::KvValue {
                token: token?,
                result,
            }
        }
        kind::EVENT_KV_STORED => Event::KvStored {
            token: token?,
            result: declined.map_or(Ok(()), Err),
        },
        _ => return None,
    };
    Some((event.now_ms, result))
}

/// # Safety
/// The host wrote `block`, and the event is being delivered.
unsafe fn block(event: &mut abi::Event) -> Option<BlockBytes> {
    // SAFETY: by the caller's promise.
    let data = unsafe { &mut event.data.block };
    let (hash, parent_hash, height) = (Hash(data.hash.bytes), Hash(data.parent_hash.bytes), data.height);
    // SAFETY: by the caller's promise.
    let bytes = unsafe { Bytes::take(&mut data.bytes) }?;
    Some(BlockBytes {
        bytes,
        hash,
        parent_hash,
        height,
    })
}

/// # Safety
/// The host wrote `mark`.
unsafe fn mark(event: &abi::Event) -> BlockMark {
    // SAFETY: by the caller's promise.
    let mark = unsafe { event.data.mark };
    BlockMark {
        hash: Hash(mark.hash.bytes),
        height: mark.height,
    }
}
