//! A host of functions that note what they are told, and the calls of a host, for the tests of what is exported.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: each test uses a part of it"
)]

use core::ffi::c_void;
use core::ptr::{null, null_mut};
use std::sync::Mutex;

use millrace_plugin_sdk::abi::status::{AGAIN, OK};
use millrace_plugin_sdk::abi::{
    self, ABI_MAJOR, BuildRequest, Bytes, HOST_MAGIC, Hash, Host, Pressure, Status,
};

/// What the plugins of these tests were told, and what the host was told.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The tests share `TOLD`.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub fn tell(what: impl Into<String>) {
    TOLD.lock().unwrap().push(what.into());
}

pub fn told() -> Vec<String> {
    std::mem::take(&mut TOLD.lock().unwrap())
}

static PRESSURE: Pressure = Pressure::new();

extern "C" fn no_block(_: *mut c_void, _: u64, _: *const BuildRequest) -> Status {
    OK
}
extern "C" fn token_and_bytes(_: *mut c_void, _: u64, _: Bytes) -> Status {
    OK
}
extern "C" fn bytes(_: *mut c_void, _: Bytes) -> Status {
    OK
}
extern "C" fn full(_: *mut c_void, _: Bytes, _: Bytes) -> Status {
    AGAIN
}
extern "C" fn put(_: *mut c_void, _: u64, _: Bytes, _: Bytes) -> Status {
    OK
}
extern "C" fn timer(_: *mut c_void, token: u64, delay_ms: u64) -> Status {
    tell(format!("timer {token} in {delay_ms}"));
    OK
}
extern "C" fn cancel(_: *mut c_void, _: u64) -> Status {
    OK
}
extern "C" fn now(_: *mut c_void) -> u64 {
    1
}
unsafe extern "C" fn log(_: *mut c_void, _: u32, message: Bytes) -> Status {
    // SAFETY: by the ABI a plugin lends the bytes of an argument until the call returns.
    let message = unsafe { message.as_slice() }.unwrap();
    tell(format!("log {}", String::from_utf8_lossy(message)));
    OK
}
extern "C" fn metric(_: *mut c_void, _: u32, _: Bytes, _: f64) -> Status {
    OK
}
unsafe extern "C" fn fatal(_: *mut c_void, status: Status, reason: Bytes) -> Status {
    // SAFETY: as for `log`.
    let reason = unsafe { reason.as_slice() }.unwrap();
    tell(format!("fatal {status} {}", String::from_utf8_lossy(reason)));
    OK
}
extern "C" fn extension(_: *mut c_void, _: Bytes) -> *const c_void {
    null()
}

pub fn host() -> &'static mut Host {
    Box::leak(Box::new(Host {
        magic: HOST_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: 0,
        size: size_of::<Host>() as u32,
        context: null_mut(),
        pressure: &raw const PRESSURE,
        request_block: no_block,
        validate: token_and_bytes,
        announce_proposal: bytes,
        submit_finalized: full,
        kv_get: token_and_bytes,
        kv_put: put,
        kv_remove: token_and_bytes,
        timer_set: timer,
        timer_cancel: cancel,
        now_ms: now,
        log,
        metric,
        fatal,
        extension,
    }))
}

pub fn chain(config: &'static str) -> abi::ChainState {
    let zero = Hash { bytes: [0; 32] };
    abi::ChainState {
        size: size_of::<abi::ChainState>() as u32,
        reserved: 0,
        chain_id: 1,
        consensus_id: Bytes::lend(b"probe/1"),
        parameters: Bytes::EMPTY,
        config: Bytes::lend(config.as_bytes()),
        chain_spec_hash: zero,
        genesis_hash: zero,
        genesis_block: Bytes::EMPTY,
        finalized_hash: zero,
        finalized_height: 0,
        finalized_block: Bytes::EMPTY,
        finalized_certificate: Bytes::EMPTY,
        max_receipt_lag: 4,
        block_gas: 1,
        block_bytes: 1,
        now_ms: 100,
    }
}

/// `host` is null or comes from [`host`]; `chain` is null or [`chain`]'s, whatever their sizes say.
pub fn start(
    plugin: &abi::Plugin,
    host: *const Host,
    chain: *const abi::ChainState,
) -> (Status, *mut c_void) {
    let mut instance = null_mut();
    // SAFETY: a host from `host` is never freed; the chain state, whose bytes are static, lives in the caller until
    // this returns, and so does `instance` here.
    let status = unsafe { (plugin.start.unwrap())(host, chain, &raw mut instance) };
    // The plugin's hook, which in a shared object would not be ours.
    drop(std::panic::take_hook());
    (status, instance)
}

pub fn event(kind: u32, token: u64, status: Status) -> abi::Event {
    abi::Event {
        size: size_of::<abi::Event>() as u32,
        kind,
        token,
        now_ms: 200,
        status,
        reserved: 0,
        reason: Bytes::lend(b"because"),
        data: abi::EventData::NONE,
    }
}

/// `instance` is null or what [`start`] gave and [`stop`] has not taken.
pub fn deliver(plugin: &abi::Plugin, instance: *mut c_void, mut event: abi::Event) -> Status {
    // SAFETY: the instance by the above, entered by one test at a time; the event is a whole record of this frame,
    // and its bytes are static.
    unsafe { (plugin.deliver.unwrap())(instance, &raw mut event) }
}

/// Frees `instance`, which is null or what [`start`] gave.
pub fn stop(plugin: &abi::Plugin, instance: *mut c_void) -> Status {
    // SAFETY: each test stops what it started once at most, and does not use it after.
    unsafe { (plugin.stop.unwrap())(instance, 5) }
}
