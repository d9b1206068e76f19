//! The functions that the plugin calls.
//!
//! Each checks its arguments, copies them, and only then touches anything. None lets a panic out, none waits.

use core::ffi::c_void;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use millrace_plugin_abi::host::{
    BUILD_EMPTY, BuildRequest, FORK_CHOICE_1, Host, LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_TRACE, LOG_WARN,
};
use millrace_plugin_abi::status::{AGAIN, E_FATAL, INVALID, OK, STOPPED, UNKNOWN_PARENT};
use millrace_plugin_abi::{ABI_MAJOR, ABI_MINOR, Bytes, ForkChoice, HOST_MAGIC, Hash, Status};

use crate::engine::{self, Engine, Reply, Submitted};
use crate::inbox::{Delivery, RequestKind};
use crate::metric::record;
use crate::shared::{GATE_OPEN, GATE_STOPPING, Phase, Shared};
use crate::status::FailureKind;

/// Bytes of a block at most: far above any chain's limit, which the engine checks.
const MAX_BLOCK_BYTES: usize = 256 << 20;
const MAX_CERTIFICATE_BYTES: usize = 1 << 20;
const MAX_KEY_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 1 << 20;
const MAX_TEXT_BYTES: usize = 16 << 10;
const MAX_CONSENSUS_DATA_BYTES: usize = 1 << 20;

/// The table for a plugin.
pub fn table(shared: &'static Shared) -> Host {
    Host {
        magic: HOST_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        size: size_of::<Host>() as u32,
        context: core::ptr::from_ref(shared).cast_mut().cast(),
        pressure: &raw const shared.pressure,
        request_block,
        validate,
        announce_proposal,
        submit_finalized,
        kv_get,
        kv_put,
        kv_remove,
        timer_set,
        timer_cancel,
        now_ms,
        log,
        metric,
        fatal,
        extension,
    }
}

fn fork_choice_table(engine: &dyn engine::ForkChoice) -> ForkChoice {
    ForkChoice {
        size: size_of::<ForkChoice>() as u32,
        max_unfinalized_blocks: engine.max_unfinalized_blocks(),
        import_block,
        set_head,
        finalize,
    }
}

/// Why a call is refused: the status, and words for the log.
struct Refused(Status, &'static str);

type Outcome = Result<Status, Refused>;

/// Runs a host function. `last_gate` is the last gate at which it still works.
///
/// # Safety
/// `context` is null or the one of a table that [`table`] made.
unsafe fn enter(
    context: *mut c_void,
    call: &'static str,
    last_gate: u8,
    body: impl FnOnce(&'static Shared) -> Outcome,
) -> Status {
    if context.is_null() {
        return INVALID;
    }
    // SAFETY: not null, so by the contract the context of a table, which is a leaked `Shared`.
    let shared: &'static Shared = unsafe { &*context.cast::<Shared>() };
    if shared.gate.load(Ordering::Acquire) > last_gate {
        return STOPPED;
    }
    match catch_unwind(AssertUnwindSafe(|| body(shared))) {
        Ok(Ok(status)) => status,
        Ok(Err(Refused(status, why))) => {
            tracing::warn!(plugin = %shared.info().consensus_id, call, why, "a call of the consensus plugin is refused");
            status
        }
        Err(_) => {
            shared.fail(
                FailureKind::Host,
                &format!("the host function {call} panicked; please report it"),
            );
            E_FATAL
        }
    }
}

fn engine(shared: &'static Shared) -> Result<&'static dyn Engine, Refused> {
    let engine = shared
        .engine
        .get()
        .ok_or(Refused(STOPPED, "the plugin was not started"))?;
    Ok(engine.as_ref())
}

/// Copies borrowed bytes of at most `limit`.
///
/// # Safety
/// The bytes are readable for the call, as the ABI demands of every argument.
unsafe fn copy(bytes: Bytes, limit: usize, too_long: &'static str) -> Result<Vec<u8>, Refused> {
    // SAFETY: by the caller's promise.
    let slice = unsafe { bytes.as_slice() }.ok_or(Refused(INVALID, "a null pointer with a length"))?;
    if slice.len() > limit {
        Err(Refused(INVALID, too_long))
    } else {
        Ok(slice.to_vec())
    }
}

fn begin(shared: &Shared, token: u64, kind: RequestKind) -> Result<(), Refused> {
    match shared.inbox.begin(token, kind) {
        OK => Ok(()),
        INVALID => Err(Refused(INVALID, "the token is 0 or in use")),
        STOPPED => Err(Refused(STOPPED, "stopping")),
        status => Err(Refused(status, "1,024 requests are under way")),
    }
}

/// The reply to a request: delivers its answer by way of the inbox.
fn reply<T: 'static>(shared: &'static Shared, token: u64, wrap: fn(u64, Option<T>) -> Delivery) -> Reply<T> {
    Reply::new(move |answer| shared.inbox.complete(token, wrap(token, answer)))
}

fn submitted(shared: &Shared, answer: Submitted) -> Status {
    match answer {
        Submitted::Accepted => OK,
        Submitted::Again => AGAIN,
        Submitted::UnknownParent => UNKNOWN_PARENT,
        Submitted::Stopped => STOPPED,
        Submitted::Invalid(reason) => {
            tracing::error!(plugin = %shared.info().consensus_id, reason, "a finalized block is refused for ever");
            INVALID
        }
    }
}

unsafe extern "C" fn request_block(context: *mut c_void, token: u64, request: *const BuildRequest) -> Status {
    let body = |shared: &'static Shared| {
        if request.is_null() || !request.is_aligned() {
            return Err(Refused(INVALID, "the request is null or not aligned"));
        }
        // SAFETY: by the ABI the record is readable for the call and begins with its size.
        if (unsafe { (*request).size } as usize) < size_of::<BuildRequest>() {
            return Err(Refused(INVALID, "the request is smaller than ABI 1.0 has it"));
        }
        // SAFETY: its size says that the whole record is there.
        let request = unsafe { &*request };
        // SAFETY: an argument, readable for the call.
        let consensus_data = unsafe {
            copy(
                request.consensus_data,
                MAX_CONSENSUS_DATA_BYTES,
                "consensus data above 1 MiB",
            )
        }?;
        let engine = engine(shared)?;
        begin(shared, token, RequestKind::Build)?;
        let some = |value: u64| (value != 0).then_some(value);
        let request = engine::BuildRequest {
            parent_hash: request.parent_hash.bytes,
            proposer: request.proposer.bytes,
            max_gas: some(request.max_gas),
            max_bytes: some(request.max_bytes),
            timestamp_ms: some(request.timestamp_ms),
            consensus_data,
            allow_empty: request.flags & BUILD_EMPTY != 0,
        };
        engine.request_block(request, reply(shared, token, Delivery::Built));
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "request_block", GATE_OPEN, body) }
}

unsafe extern "C" fn validate(context: *mut c_void, token: u64, block: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let block = unsafe { copy(block, MAX_BLOCK_BYTES, "a block above 256 MiB") }?;
        let engine = engine(shared)?;
        begin(shared, token, RequestKind::Validate)?;
        engine.validate(block, reply(shared, token, Delivery::Verdict));
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "validate", GATE_OPEN, body) }
}

unsafe extern "C" fn announce_proposal(context: *mut c_void, block: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let block = unsafe { copy(block, MAX_BLOCK_BYTES, "a block above 256 MiB") }?;
        engine(shared)?.announce_proposal(block);
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "announce_proposal", GATE_OPEN, body) }
}

unsafe extern "C" fn submit_finalized(context: *mut c_void, block: Bytes, certificate: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let block = unsafe { copy(block, MAX_BLOCK_BYTES, "a block above 256 MiB") }?;
        // SAFETY: as above.
        let certificate = unsafe { copy(certificate, MAX_CERTIFICATE_BYTES, "a certificate above 1 MiB") }?;
        Ok(submitted(
            shared,
            engine(shared)?.submit_finalized(block, certificate),
        ))
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "submit_finalized", GATE_OPEN, body) }
}

/// # Safety
/// As [`copy`].
unsafe fn copy_key(key: Bytes) -> Result<Vec<u8>, Refused> {
    const RANGE: &str = "a key has 1 to 256 bytes";
    // SAFETY: by the caller's promise.
    let key = unsafe { copy(key, MAX_KEY_BYTES, RANGE) }?;
    if key.is_empty() {
        Err(Refused(INVALID, RANGE))
    } else {
        Ok(key)
    }
}

unsafe extern "C" fn kv_get(context: *mut c_void, token: u64, key: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let key = unsafe { copy_key(key) }?;
        let engine = engine(shared)?;
        begin(shared, token, RequestKind::Get)?;
        engine.kv_get(key, reply(shared, token, Delivery::Value));
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "kv_get", GATE_OPEN, body) }
}

fn kv_write(shared: &'static Shared, token: u64, key: Vec<u8>, value: Option<Vec<u8>>) -> Outcome {
    let engine = engine(shared)?;
    begin(shared, token, RequestKind::Put)?;
    engine.kv_put(key, value, reply(shared, token, Delivery::Stored));
    Ok(OK)
}

unsafe extern "C" fn kv_put(context: *mut c_void, token: u64, key: Bytes, value: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let key = unsafe { copy_key(key) }?;
        // SAFETY: as above.
        let value = unsafe { copy(value, MAX_VALUE_BYTES, "a value above 1 MiB") }?;
        kv_write(shared, token, key, Some(value))
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "kv_put", GATE_OPEN, body) }
}

unsafe extern "C" fn kv_remove(context: *mut c_void, token: u64, key: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let key = unsafe { copy_key(key) }?;
        kv_write(shared, token, key, None)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "kv_remove", GATE_OPEN, body) }
}

unsafe extern "C" fn timer_set(context: *mut c_void, token: u64, delay_ms: u64) -> Status {
    let body = |shared: &'static Shared| match shared.inbox.timer_set(token, Duration::from_millis(delay_ms))
    {
        INVALID => Err(Refused(
            INVALID,
            "the token is 0 or in use, or the delay is beyond all time",
        )),
        status => Ok(status),
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "timer_set", GATE_OPEN, body) }
}

unsafe extern "C" fn timer_cancel(context: *mut c_void, token: u64) -> Status {
    let body = |shared: &'static Shared| Ok(shared.inbox.timer_cancel(token));
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "timer_cancel", GATE_OPEN, body) }
}

unsafe extern "C" fn now_ms(context: *mut c_void) -> u64 {
    if context.is_null() {
        return 0;
    }
    // SAFETY: called through the table, so with its context, a leaked `Shared`.
    let shared: &'static Shared = unsafe { &*context.cast::<Shared>() };
    shared.now_ms()
}

/// Text for people: cut to a bound, and never refused for its encoding.
///
/// # Safety
/// The bytes are readable for the call.
unsafe fn text(bytes: Bytes) -> Result<String, Refused> {
    // SAFETY: by the caller's promise.
    let slice = unsafe { bytes.as_slice() }.ok_or(Refused(INVALID, "a null pointer with a length"))?;
    Ok(String::from_utf8_lossy(&slice[..slice.len().min(MAX_TEXT_BYTES)]).into_owned())
}

unsafe extern "C" fn log(context: *mut c_void, level: u32, message: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let message = unsafe { text(message) }?;
        let plugin = &shared.info().consensus_id;
        match level {
            LOG_ERROR => tracing::error!(target: "millrace_plugin", %plugin, "{message}"),
            LOG_WARN => tracing::warn!(target: "millrace_plugin", %plugin, "{message}"),
            LOG_INFO => tracing::info!(target: "millrace_plugin", %plugin, "{message}"),
            LOG_DEBUG => tracing::debug!(target: "millrace_plugin", %plugin, "{message}"),
            LOG_TRACE => tracing::trace!(target: "millrace_plugin", %plugin, "{message}"),
            _ => return Err(Refused(INVALID, "no such log level")),
        }
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "log", GATE_STOPPING, body) }
}

unsafe extern "C" fn metric(context: *mut c_void, kind: u32, name: Bytes, value: f64) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let name = unsafe { text(name) }?;
        record(shared, kind, name, value)
            .map(|()| OK)
            .map_err(|why| Refused(INVALID, why))
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "metric", GATE_STOPPING, body) }
}

unsafe extern "C" fn fatal(context: *mut c_void, status: Status, reason: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let reason = unsafe { text(reason) }?;
        let kind = FailureKind::of(status).ok_or(Refused(INVALID, "fatal takes one of the E_ codes"))?;
        let mut life = shared.life();
        if life.phase == Phase::Starting {
            life.start_reason.get_or_insert((kind, reason));
            return Ok(OK);
        }
        drop(life);
        shared.fail(kind, &reason);
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "fatal", GATE_STOPPING, body) }
}

unsafe extern "C" fn extension(context: *mut c_void, name: Bytes) -> *const c_void {
    let mut table = core::ptr::null();
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let name = unsafe { text(name) }?;
        if let (FORK_CHOICE_1, Some(engine)) = (name.as_str(), engine(shared)?.fork_choice()) {
            table = core::ptr::from_ref(shared.fork_choice.get_or_init(|| fork_choice_table(engine))).cast();
        }
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "extension", GATE_OPEN, body) };
    table
}

fn fork_choice(shared: &'static Shared) -> Result<&'static dyn engine::ForkChoice, Refused> {
    engine(shared)?
        .fork_choice()
        .ok_or(Refused(INVALID, "this engine does not offer fork-choice/1"))
}

unsafe extern "C" fn import_block(context: *mut c_void, block: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: an argument, readable for the call.
        let block = unsafe { copy(block, MAX_BLOCK_BYTES, "a block above 256 MiB") }?;
        Ok(submitted(shared, fork_choice(shared)?.import_block(block)))
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "import_block", GATE_OPEN, body) }
}

unsafe extern "C" fn set_head(context: *mut c_void, token: u64, hash: *const Hash) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: null, or readable for the call as every argument.
        let hash = unsafe { hash.as_ref() }
            .ok_or(Refused(INVALID, "the hash is null"))?
            .bytes;
        let fork_choice = fork_choice(shared)?;
        begin(shared, token, RequestKind::SetHead)?;
        fork_choice.set_head(hash, reply(shared, token, Delivery::Head));
        Ok(OK)
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "set_head", GATE_OPEN, body) }
}

unsafe extern "C" fn finalize(context: *mut c_void, hash: *const Hash, certificate: Bytes) -> Status {
    let body = |shared: &'static Shared| {
        // SAFETY: null, or readable for the call as every argument.
        let hash = unsafe { hash.as_ref() }
            .ok_or(Refused(INVALID, "the hash is null"))?
            .bytes;
        // SAFETY: an argument, readable for the call.
        let certificate = unsafe { copy(certificate, MAX_CERTIFICATE_BYTES, "a certificate above 1 MiB") }?;
        Ok(submitted(
            shared,
            fork_choice(shared)?.finalize(hash, certificate),
        ))
    };
    // SAFETY: called through the table, so with its context.
    unsafe { enter(context, "finalize", GATE_OPEN, body) }
}
