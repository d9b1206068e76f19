//! Where the ABI is met: what [`crate::export_plugin!`] puts into a shared object.

use core::any::Any;
use core::ffi::{c_char, c_void};
use core::time::Duration;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use millrace_plugin_abi as abi;
use millrace_plugin_abi::status::{E_ABI, E_CONFIG, E_FATAL, E_PANIC, OK};
use millrace_types::Hash;

use crate::host::{Host, Level};
use crate::plugin::{ChainState, Plugin, StartError};

/// Exports a plugin from a crate of type `cdylib`: `export_plugin!(stepped MyPlugin)` for a [`crate::Stepped`] one,
/// `export_plugin!(threaded MyPlugin)` for a [`Plugin`]. Once per crate.
#[macro_export]
macro_rules! export_plugin {
    (stepped $plugin:ty) => {
        $crate::export_plugin!(threaded $crate::Driver<$plugin>);
    };
    (threaded $plugin:ty) => {
        #[cfg(panic = "abort")]
        compile_error!(
            "a Millrace plugin is built with panic = \"unwind\": with \"abort\" a panic of the plugin would end the node; remove `panic = \"abort\"` from the profile"
        );

        const _: () = {
            const ID: &str = <$plugin as $crate::Plugin>::CONSENSUS_ID;
            const VERSION: &str = <$plugin as $crate::Plugin>::VERSION;
            static ID_TEXT: [u8; ID.len() + 1] = $crate::export::terminated(ID);
            static VERSION_TEXT: [u8; VERSION.len() + 1] = $crate::export::terminated(VERSION);

            #[used]
            #[unsafe(link_section = ".note.millrace")]
            static NOTE: $crate::abi::Note = $crate::abi::Note::new(ID);

            #[unsafe(export_name = "millrace_plugin")]
            static TABLE: $crate::abi::Plugin = $crate::export::table::<$plugin>(&ID_TEXT, &VERSION_TEXT);
        };
    };
}

/// A table's text: terminated by zero.
///
/// # Panics
/// At compile time, if `N` is not the text's length and one, or the text holds a zero.
#[must_use]
pub const fn terminated<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    assert!(text.len() + 1 == N, "room for the text and its terminator");
    let mut bytes = [0; N];
    let mut i = 0;
    while i < text.len() {
        assert!(text[i] != 0, "no zero inside the text");
        bytes[i] = text[i];
        i += 1;
    }
    bytes
}

/// The table of a plugin. Its texts come from [`terminated`].
#[must_use]
pub const fn table<P: Plugin>(consensus_id: &'static [u8], version: &'static [u8]) -> abi::Plugin {
    abi::Plugin {
        magic: abi::PLUGIN_MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        size: size_of::<abi::Plugin>() as u32,
        consensus_id: consensus_id.as_ptr().cast::<c_char>(),
        version: version.as_ptr().cast::<c_char>(),
        start: Some(start::<P>),
        deliver: Some(deliver::<P>),
        stop: Some(stop::<P>),
    }
}

/// A running plugin, behind the ABI's instance pointer.
struct Instance<P> {
    plugin: P,
    host: Host,
}

unsafe extern "C" fn start<P: Plugin>(
    host: *const abi::Host,
    chain: *const abi::ChainState,
    instance: *mut *mut c_void,
) -> abi::Status {
    let Ok(entered) = catch_unwind(|| {
        // SAFETY: by the ABI the argument is null or a table that lives as long as the process.
        unsafe { Host::check(host) }
    }) else {
        return E_PANIC;
    };
    let Ok(host) = entered else { return E_ABI };
    report_panics(host);
    let started = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: by the ABI the record is null or readable for the call.
        let mut chain = unsafe { read_chain(chain) }.map_err(|what| StartError::Host(what.to_owned()))?;
        chain.max_unfinalized_blocks = host.max_unfinalized_blocks();
        P::start(host, chain)
    }));
    match started {
        Ok(Ok(plugin)) => {
            let running = Box::into_raw(Box::new(Instance { plugin, host }));
            // SAFETY: by the ABI the pointer is writable for the call.
            unsafe { instance.write(running.cast()) };
            OK
        }
        Ok(Err(error)) => {
            let status = match error {
                StartError::Configuration(_) => E_CONFIG,
                StartError::Host(_) => E_ABI,
                StartError::Fatal(_) => E_FATAL,
            };
            host.fail(status, &error.to_string());
            status
        }
        Err(panic) => panicked(host, panic.as_ref()),
    }
}

unsafe extern "C" fn deliver<P: Plugin>(instance: *mut c_void, event: *mut abi::Event) -> abi::Status {
    // SAFETY: by the ABI this is what `start` wrote, and no other call is under way.
    let Some(running) = (unsafe { instance.cast::<Instance<P>>().as_mut() }) else {
        return E_ABI;
    };
    // SAFETY: by the ABI the event is ours for the call.
    let Some(event) = (unsafe { event.as_mut() }) else {
        return E_ABI;
    };
    if (event.size as usize) < size_of::<abi::Event>() {
        return E_ABI;
    }
    let host = running.host;
    let delivered = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the argument of `deliver`, whole by its size.
        if let Some((now_ms, event)) = unsafe { crate::event::read(event) } {
            running.plugin.deliver(event, now_ms);
        }
    }));
    match delivered {
        Ok(()) => OK,
        Err(panic) => panicked(host, panic.as_ref()),
    }
}

unsafe extern "C" fn stop<P: Plugin>(instance: *mut c_void, deadline_ms: u64) -> abi::Status {
    if instance.is_null() {
        return E_ABI;
    }
    // SAFETY: by the ABI this is what `start` wrote, and it is never used again.
    let running = unsafe { Box::from_raw(instance.cast::<Instance<P>>()) };
    let host = running.host;
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        running.plugin.stop(Duration::from_millis(deadline_ms))
    }));
    match stopped {
        Ok(()) => OK,
        Err(panic) => panicked(host, panic.as_ref()),
    }
}

fn panicked(host: Host, panic: &(dyn Any + Send)) -> abi::Status {
    // A payload whose own formatting panics would end the process: there is none, only its text is looked at.
    host.fail(E_PANIC, &panic_message(panic));
    E_PANIC
}

/// Copies the chain state.
///
/// # Safety
/// `chain` is null, or a record that is readable for the call with the bytes that it names.
unsafe fn read_chain(chain: *const abi::ChainState) -> Result<ChainState, &'static str> {
    // SAFETY: by the caller's promise; the size comes first in every version.
    let size = unsafe { chain.cast::<u32>().as_ref() }.ok_or("the chain state is null")?;
    if (*size as usize) < size_of::<abi::ChainState>() {
        return Err("the chain state is cut short");
    }
    // SAFETY: its size says that the whole record is there.
    let chain = unsafe { &*chain };
    let bytes = |bytes: abi::Bytes| {
        // SAFETY: by the caller's promise.
        unsafe { bytes.as_slice() }
            .map(<[u8]>::to_vec)
            .ok_or("bytes of the chain state are null")
    };
    Ok(ChainState {
        chain_id: chain.chain_id,
        consensus_id: String::from_utf8(bytes(chain.consensus_id)?)
            .map_err(|_| "the consensus id is not UTF-8")?,
        parameters: bytes(chain.parameters)?,
        config: bytes(chain.config)?,
        chain_spec_hash: Hash(chain.chain_spec_hash.bytes),
        genesis_hash: Hash(chain.genesis_hash.bytes),
        genesis_block: bytes(chain.genesis_block)?,
        finalized_hash: Hash(chain.finalized_hash.bytes),
        finalized_height: chain.finalized_height,
        finalized_block: bytes(chain.finalized_block)?,
        finalized_certificate: bytes(chain.finalized_certificate)?,
        max_receipt_lag: chain.max_receipt_lag,
        block_gas: chain.block_gas,
        block_bytes: chain.block_bytes,
        max_unfinalized_blocks: None,
        now_ms: chain.now_ms,
    })
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sends the message and place of every panic to the node's log, also of threads that nobody watches, and keeps it for
/// [`panic_message`]. A shared object has its own standard library, so this is the plugin's hook and not the node's.
fn report_panics(host: Host) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(|at| format!(" at {}:{}", at.file(), at.line()))
            .unwrap_or_default();
        let message = format!("{}{place}", payload_text(panic.payload()));
        host.log(Level::Error, &format!("panicked: {message}"));
        LAST_PANIC.with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = Some(message);
            }
        });
    }));
}

/// What a caught panic of this thread said, and where.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    LAST_PANIC
        .with(|last| last.try_borrow_mut().ok().and_then(|mut last| last.take()))
        .unwrap_or_else(|| payload_text(payload).to_owned())
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}
