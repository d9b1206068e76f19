//! The engine, as a plugin calls it: safe, from any thread, at any time.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use millrace_plugin_abi as abi;
use millrace_plugin_abi::status;
use millrace_types::Hash;

use crate::event::{Declined, Submitted, Token};
use crate::stepped::BuildRequest;

/// The engine. Copies are the same; it lives as long as the process. After stop every call answers
/// [`Declined::Stopped`].
#[derive(Clone, Copy)]
pub struct Host {
    inner: &'static Inner,
}

struct Inner {
    table: &'static abi::Host,
    pressure: &'static abi::Pressure,
    fork_choice: Option<&'static abi::ForkChoice>,
    next_token: AtomicU64,
}

/// How much a log line matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is wrong, and the plugin goes on.
    Warn,
    /// An operator wants to know.
    Info,
    /// An author wants to know.
    Debug,
    /// Every step.
    Trace,
}

/// What a metric's value means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metric {
    /// Adds to a counter.
    Counter,
    /// Sets a gauge.
    Gauge,
    /// Recorded in a histogram.
    Histogram,
}

impl Host {
    /// Checks the host's table. `Err` says what is wrong with it.
    ///
    /// # Safety
    /// `table` is the argument of `start`: null, or a table and context that live as long as the process.
    pub(crate) unsafe fn check(table: *const abi::Host) -> Result<Self, String> {
        if table.is_null() {
            return Err("the host's table is null".into());
        }
        // SAFETY: every host table has these 16 bytes.
        let (magic, major, minor, size) = unsafe {
            (
                (*table).magic,
                (*table).abi_major,
                (*table).abi_minor,
                (*table).size as usize,
            )
        };
        if magic != abi::HOST_MAGIC {
            return Err(format!(
                "the host's magic is {magic:#018x}, not {:#018x}",
                abi::HOST_MAGIC
            ));
        }
        if major != abi::ABI_MAJOR || size < size_of::<abi::Host>() {
            return Err(format!(
                "the host speaks ABI {major}.{minor} with a table of {size} bytes; the plugin was built for {}.{} with {} bytes",
                abi::ABI_MAJOR,
                abi::ABI_MINOR,
                size_of::<abi::Host>()
            ));
        }
        // SAFETY: magic, version and size say that the whole table is there; it lives as long as the process.
        let table: &'static abi::Host = unsafe { &*table };
        // SAFETY: by the ABI the record lives as long as the process; all its words but the constant size are atomics.
        let pressure = unsafe { table.pressure.as_ref() }.ok_or("the host's pressure record is null")?;
        if pressure.size < size_of::<abi::Pressure>() as u64 {
            return Err(format!(
                "the host's pressure record is cut short: {} bytes",
                pressure.size
            ));
        }
        // SAFETY: the table's own context; the name is lent for the call.
        let extension =
            unsafe { (table.extension)(table.context, lend(abi::host::FORK_CHOICE_1.as_bytes())) };
        // SAFETY: null, or by the ABI the table of this capability, which lives as long as the process.
        let fork_choice = unsafe { extension.cast::<abi::ForkChoice>().as_ref() }
            .filter(|table| table.size as usize >= size_of::<abi::ForkChoice>());
        let inner = Inner {
            table,
            pressure,
            fork_choice,
            next_token: AtomicU64::new(1),
        };
        Ok(Self {
            inner: Box::leak(Box::new(inner)),
        })
    }

    /// A token that this function never gave out before. Do not mix with tokens of your own making.
    #[must_use]
    pub fn next_token(&self) -> Token {
        let number = self.inner.next_token.fetch_add(1, Ordering::Relaxed);
        Token(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }

    /// Requests a block. Completed by [`crate::Event::BlockBuilt`].
    ///
    /// # Errors
    /// If the request was not taken; then no event follows.
    pub fn request_block(&self, token: Token, request: &BuildRequest) -> Result<(), Declined> {
        let record = abi::BuildRequest {
            size: size_of::<abi::BuildRequest>() as u32,
            flags: if request.allow_empty {
                abi::host::BUILD_EMPTY
            } else {
                0
            },
            parent_hash: hash(request.parent_hash),
            proposer: abi::Hash {
                bytes: request.proposer.0,
            },
            max_gas: request.max_gas.unwrap_or(0),
            max_bytes: request.max_bytes.unwrap_or(0),
            timestamp_ms: request.timestamp_ms.unwrap_or(0),
            consensus_data: lend(&request.consensus_data),
        };
        // SAFETY: the table's own context; the record and its bytes live for the call.
        taken(unsafe { (self.table().request_block)(self.context(), token.0.get(), &raw const record) })
    }

    /// Requests the verdict on a block. Completed by [`crate::Event::Verdict`].
    ///
    /// # Errors
    /// If the request was not taken; then no event follows.
    pub fn validate(&self, token: Token, block: &[u8]) -> Result<(), Declined> {
        // SAFETY: the table's own context; the bytes are lent for the call.
        taken(unsafe { (self.table().validate)(self.context(), token.0.get(), lend(block)) })
    }

    /// Tells of a proposal that is being voted on, so that the engine may execute it ahead of its finalization.
    pub fn announce_proposal(&self, block: &[u8]) {
        // SAFETY: the table's own context; the bytes are lent for the call. There is nothing to do about a refusal.
        let _status = unsafe { (self.table().announce_proposal)(self.context(), lend(block)) };
    }

    /// Hands over a finalized block with its certificate.
    #[must_use]
    pub fn submit_finalized(&self, block: &[u8], certificate: &[u8]) -> Submitted {
        // SAFETY: the table's own context; the bytes are lent for the call.
        let status =
            unsafe { (self.table().submit_finalized)(self.context(), lend(block), lend(certificate)) };
        submitted(status)
    }

    /// Reads the durable store. Completed by [`crate::Event::KvValue`].
    ///
    /// # Errors
    /// If the request was not taken; then no event follows.
    pub fn kv_get(&self, token: Token, key: &[u8]) -> Result<(), Declined> {
        // SAFETY: the table's own context; the bytes are lent for the call.
        taken(unsafe { (self.table().kv_get)(self.context(), token.0.get(), lend(key)) })
    }

    /// Writes the durable store. Completed by [`crate::Event::KvStored`], once durable.
    ///
    /// # Errors
    /// If the request was not taken; then no event follows.
    pub fn kv_put(&self, token: Token, key: &[u8], value: &[u8]) -> Result<(), Declined> {
        // SAFETY: the table's own context; the bytes are lent for the call.
        taken(unsafe { (self.table().kv_put)(self.context(), token.0.get(), lend(key), lend(value)) })
    }

    /// Removes a key from the durable store. Completed by [`crate::Event::KvStored`], once durable.
    ///
    /// # Errors
    /// If the request was not taken; then no event follows.
    pub fn kv_remove(&self, token: Token, key: &[u8]) -> Result<(), Declined> {
        // SAFETY: the table's own context; the bytes are lent for the call.
        taken(unsafe { (self.table().kv_remove)(self.context(), token.0.get(), lend(key)) })
    }

    /// Sets a timer. Completed by [`crate::Event::Timer`].
    ///
    /// # Errors
    /// If the timer was not taken; then no event follows.
    pub fn set_timer(&self, token: Token, delay: Duration) -> Result<(), Declined> {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: the table's own context.
        taken(unsafe { (self.table().timer_set)(self.context(), token.0.get(), delay_ms) })
    }

    /// Cancels a timer. If it is due already its event still comes.
    pub fn cancel_timer(&self, token: Token) {
        // SAFETY: the table's own context. That it may be due already is in the contract.
        let _status = unsafe { (self.table().timer_cancel)(self.context(), token.0.get()) };
    }

    /// Milliseconds since the epoch by the host's clock; never falls.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        // SAFETY: the table's own context.
        unsafe { (self.table().now_ms)(self.context()) }
    }

    /// Writes to the node's log.
    pub fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Error => abi::host::LOG_ERROR,
            Level::Warn => abi::host::LOG_WARN,
            Level::Info => abi::host::LOG_INFO,
            Level::Debug => abi::host::LOG_DEBUG,
            Level::Trace => abi::host::LOG_TRACE,
        };
        // SAFETY: the table's own context; the text is lent for the call. A log that is closed cannot be told of it.
        let _status = unsafe { (self.table().log)(self.context(), level, lend(message.as_bytes())) };
    }

    /// Reports a metric, for example `proposals`. Names have 1 to 64 bytes of `a-z`, `0-9` and `_`.
    pub fn metric(&self, kind: Metric, name: &str, value: f64) {
        let kind = match kind {
            Metric::Counter => abi::host::METRIC_COUNTER,
            Metric::Gauge => abi::host::METRIC_GAUGE,
            Metric::Histogram => abi::host::METRIC_HISTOGRAM,
        };
        // SAFETY: the table's own context; the name is lent for the call. The host logs what it refuses.
        let _status = unsafe { (self.table().metric)(self.context(), kind, lend(name.as_bytes()), value) };
    }

    /// The plugin cannot go on: it is not entered again and the engine drains.
    pub fn fatal(&self, reason: &str) {
        self.fail(status::E_FATAL, reason);
    }

    pub(crate) fn fail(&self, status: abi::Status, reason: &str) {
        // SAFETY: the table's own context; the text is lent for the call. After stop nobody wants to know.
        let _status = unsafe { (self.table().fatal)(self.context(), status, lend(reason.as_bytes())) };
    }

    /// How busy the engine is; `None` before it first said, and, rarely, when it is just being written.
    #[must_use]
    pub fn pressure(&self) -> Option<abi::PressureValues> {
        self.inner.pressure.read()
    }

    /// Whether this host offers `fork-choice/1`.
    #[must_use]
    pub fn offers_fork_choice(&self) -> bool {
        self.inner.fork_choice.is_some()
    }

    /// `fork-choice/1`: hands over a block that may become head.
    ///
    /// # Errors
    /// If this host does not offer the capability.
    pub fn import_block(&self, block: &[u8]) -> Result<Submitted, Declined> {
        let table = self.fork_choice()?;
        // SAFETY: the context of the host that gave the table; the bytes are lent for the call.
        Ok(submitted(unsafe {
            (table.import_block)(self.context(), lend(block))
        }))
    }

    /// `fork-choice/1`: makes a block the head, once valid. Completed by [`crate::Event::HeadMoved`].
    ///
    /// # Errors
    /// If this host does not offer the capability, or the request was not taken; then no event follows.
    pub fn set_head(&self, token: Token, head: Hash) -> Result<(), Declined> {
        let (table, head) = (self.fork_choice()?, hash(head));
        // SAFETY: the context of the host that gave the table; the hash lives for the call.
        taken(unsafe { (table.set_head)(self.context(), token.0.get(), &raw const head) })
    }

    /// `fork-choice/1`: finalizes a block and its ancestors.
    ///
    /// # Errors
    /// If this host does not offer the capability.
    pub fn finalize(&self, block: Hash, certificate: &[u8]) -> Result<Submitted, Declined> {
        let (table, block) = (self.fork_choice()?, hash(block));
        // SAFETY: the context of the host that gave the table; hash and bytes live for the call.
        Ok(submitted(unsafe {
            (table.finalize)(self.context(), &raw const block, lend(certificate))
        }))
    }

    /// Begins a thread whose panic ends the plugin and not the node.
    ///
    /// # Errors
    /// If the system has no thread.
    pub fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let host = *self;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
                host.fail(status::E_PANIC, &crate::export::panic_message(panic.as_ref()));
            }
        })
    }

    /// [`crate::ChainState::max_unfinalized_blocks`].
    pub(crate) fn max_unfinalized_blocks(&self) -> Option<u64> {
        let said = self.inner.fork_choice?.max_unfinalized_blocks;
        (said > 0).then_some(said.into())
    }

    fn fork_choice(&self) -> Result<&'static abi::ForkChoice, Declined> {
        self.inner
            .fork_choice
            .ok_or_else(|| Declined::Invalid("this host does not offer fork-choice/1".into()))
    }

    fn table(&self) -> &'static abi::Host {
        self.inner.table
    }

    fn context(&self) -> *mut core::ffi::c_void {
        self.inner.table.context
    }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Host")
    }
}

fn lend(bytes: &[u8]) -> abi::Bytes {
    abi::Bytes::lend(bytes)
}

fn hash(hash: Hash) -> abi::Hash {
    abi::Hash { bytes: hash.0 }
}

/// Whether a request was taken.
fn taken(code: abi::Status) -> Result<(), Declined> {
    let why = || match status::name(code) {
        Some(name) => format!("the host answered {name}; its log says why"),
        None => format!("the host answered {code}"),
    };
    if code == status::OK {
        Ok(())
    } else {
        Err(Declined::of(code, why()).unwrap_or(Declined::Stopped))
    }
}

fn submitted(code: abi::Status) -> Submitted {
    match code {
        status::OK => Submitted::Accepted,
        status::AGAIN => Submitted::Again,
        status::UNKNOWN_PARENT => Submitted::UnknownParent,
        status::INVALID => Submitted::Invalid,
        _ => Submitted::Stopped,
    }
}
