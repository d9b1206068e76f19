//! A plugin's thread: it loads the library, and is the only one that ever enters it.

use core::ffi::c_void;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::Builder;

use millrace_plugin_abi::status::{E_ABI, E_FATAL, E_PANIC, OK, name};
use millrace_plugin_abi::{Bytes, Hash, Status};

use crate::calls;
use crate::engine::Engine;
use crate::error::{LoadError, StartError, StopError};
use crate::event::OwnedEvent;
use crate::handle::{ChainState, PluginSpec};
use crate::inbox::{Delivery, Next};
use crate::library::{self, Callbacks};
use crate::shared::{GATE_CLOSED, GATE_STOPPING, Phase, Shared, instant_now};
use crate::status::{FailureKind, PluginFailure};

/// Asks the thread to start the plugin.
pub struct StartCommand {
    engine: Arc<dyn Engine>,
    chain: ChainState,
    done: SyncSender<Result<(), StartError>>,
}

/// Loads a plugin on a thread of its own.
pub fn spawn(spec: PluginSpec) -> Result<&'static Shared, LoadError> {
    let path = spec.path.clone();
    let (loaded, ready) = sync_channel(1);
    let thread = Builder::new()
        .name("plugin".into())
        .spawn(move || run(&spec, &loaded));
    thread.map_err(|source| LoadError::Thread {
        path: path.clone(),
        source,
    })?;
    ready.recv().unwrap_or_else(|_| {
        let what = "its loading panicked; this is a bug of the node".to_owned();
        Err(LoadError::BadTable { path, what })
    })
}

/// Starts the plugin and waits for its answer.
pub fn start(shared: &'static Shared, engine: Arc<dyn Engine>, chain: ChainState) -> Result<(), StartError> {
    let before = || StartError::StartedBefore {
        plugin: shared.info().consensus_id.clone(),
    };
    let command = shared.take_start().ok_or_else(before)?;
    let (done, answer) = sync_channel(1);
    command
        .send(StartCommand { engine, chain, done })
        .map_err(|_| before())?;
    answer.recv().map_err(|_| before())?
}

/// Stops the plugin and waits for it.
pub fn stop(shared: &'static Shared, deadline: Duration) -> Result<(), StopError> {
    let begun = instant_now();
    let until = begun.checked_add(deadline).unwrap_or(begun);
    let never_started = shared.take_start().is_some();
    let mut life = shared.life();
    match life.phase {
        Phase::Loaded if never_started => life.phase = Phase::Stopped,
        Phase::Loaded | Phase::Starting | Phase::Running => life.phase = Phase::Stopping,
        Phase::Stopping | Phase::Stopped | Phase::Failed(_) => {}
    }
    life.stop_by = life.stop_by.or(Some(until));
    shared.gate.fetch_max(GATE_STOPPING, Ordering::AcqRel);
    shared.inbox.stop();
    loop {
        match &life.phase {
            Phase::Stopped => return Ok(()),
            Phase::Failed(failure) => return Err(StopError::Failed(failure.clone())),
            _ if instant_now() >= until => {
                let call = life.call.map_or("the host's queue", |(call, _)| call).to_owned();
                let waited_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                return Err(StopError::Deadline {
                    plugin: shared.info().consensus_id.clone(),
                    call,
                    waited_ms,
                });
            }
            _ => life = shared.wait(life, until),
        }
    }
}

fn run(spec: &PluginSpec, loaded: &SyncSender<Result<&'static Shared, LoadError>>) {
    let (start, commands) = channel();
    let (info, callbacks) = match library::load(spec) {
        Ok(library) => library,
        Err(error) => {
            // The loader may have gone; then nobody wants to know.
            let _ = loaded.send(Err(error));
            return;
        }
    };
    let shared: &'static Shared = Box::leak(Box::new(Shared::new(info, spec.patience, start)));
    if loaded.send(Ok(shared)).is_ok() {
        serve(shared, callbacks, &commands);
    }
}

/// From the start command to the end.
fn serve(shared: &'static Shared, callbacks: Callbacks, commands: &Receiver<StartCommand>) {
    let Ok(StartCommand { engine, chain, done }) = commands.recv() else {
        return;
    };
    // Set before the plugin is entered, so that its calls find it.
    let _first = shared.engine.set(engine);
    watch(shared);
    let started = enter_start(shared, callbacks, &chain);
    let (instance, answer) = match started {
        Ok(instance) => (Some(instance), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Whoever asked may have gone; the plugin runs all the same.
    let _ = done.send(answer);
    let Some(instance) = instance else { return };
    loop {
        match shared.inbox.next() {
            Next::Deliver(delivery) => deliver(shared, callbacks, instance, delivery),
            Next::Stop => return enter_stop(shared, callbacks, instance),
            Next::Closed => return,
        }
    }
}

fn enter_start(
    shared: &'static Shared,
    callbacks: Callbacks,
    chain: &ChainState,
) -> Result<*mut c_void, StartError> {
    {
        let mut life = shared.life();
        if life.phase == Phase::Loaded {
            life.phase = Phase::Starting;
        }
    }
    let host = Box::leak(Box::new(calls::table(shared)));
    let record = chain_record(chain, shared.now_ms());
    let mut instance = core::ptr::null_mut();
    let status = shared.in_call("start", || {
        // SAFETY: the table lives for ever, the record for the call, and `instance` is writable.
        unsafe { (callbacks.start)(host, &raw const record, &raw mut instance) }
    });
    let mut life = shared.life();
    let reason = life.start_reason.take();
    if status == OK && reason.is_none() {
        if let Phase::Failed(failure) = &life.phase {
            return Err(StartError::Failed(failure.clone()));
        }
        if life.phase == Phase::Starting {
            life.phase = Phase::Running;
        }
        return Ok(instance);
    }
    drop(life);
    Err(refusal(shared, status, reason))
}

/// Why `start` failed. Its status is the authority on the kind, unless it is `OK` after a call of `fatal`.
fn refusal(shared: &Shared, status: Status, told: Option<(FailureKind, String)>) -> StartError {
    let told_kind = told.as_ref().map_or(FailureKind::Fatal, |(kind, _)| *kind);
    let said = told.map_or_else(
        || "it gave no reason; see its log".to_owned(),
        |(_, reason)| reason,
    );
    let (kind, reason) = match FailureKind::of(status) {
        Some(kind) => (kind, said),
        None if status == OK => (told_kind, said),
        None => (FailureKind::Abi, not_a_status(status)),
    };
    let failure = shared.in_call("start", || shared.note_failure(kind, &reason));
    let (plugin, path) = (shared.info().consensus_id.clone(), shared.info().path.clone());
    match (kind, failure) {
        (FailureKind::Configuration, _) => StartError::Configuration { plugin, path, reason },
        (FailureKind::Abi, _) if status == E_ABI => StartError::Abi { plugin, path, reason },
        (_, Some(failure)) => StartError::Failed(failure),
        (_, None) => StartError::Failed(PluginFailure {
            plugin,
            path,
            call: "start".into(),
            kind,
            reason,
        }),
    }
}

fn deliver(shared: &Shared, callbacks: Callbacks, instance: *mut c_void, delivery: Delivery) {
    let mut event = OwnedEvent::new(delivery, shared.now_ms());
    let name = event.name();
    shared.in_call(name, || {
        // SAFETY: `instance` is what `start` wrote, this is its thread, and the event lives for the call.
        let status = unsafe { (callbacks.deliver)(instance, event.as_mut_ptr()) };
        judge(shared, status);
    });
}

fn enter_stop(shared: &Shared, callbacks: Callbacks, instance: *mut c_void) {
    let left = shared.life().stop_by.map_or(Duration::ZERO, |until| {
        until.saturating_duration_since(instant_now())
    });
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    shared.in_call("stop", || {
        // SAFETY: `instance` is what `start` wrote, this is its thread, and it is never used again.
        let status = unsafe { (callbacks.stop)(instance, left_ms) };
        judge(shared, status);
    });
    shared.gate.store(GATE_CLOSED, Ordering::Release);
    let mut life = shared.life();
    if !matches!(life.phase, Phase::Failed(_)) {
        life.phase = Phase::Stopped;
    }
    drop(life);
    shared.notify();
}

/// What a call's status says of the plugin's health. Its own words, if it had any, reached `fatal` before.
fn judge(shared: &Shared, status: Status) {
    match status {
        OK => {}
        E_PANIC => shared.fail(FailureKind::Panic, "it gave no reason; see its log"),
        E_FATAL => shared.fail(FailureKind::Fatal, "it gave no reason; see its log"),
        other => shared.fail(FailureKind::Abi, &not_a_status(other)),
    }
}

fn not_a_status(status: Status) -> String {
    name(status).map_or_else(
        || format!("it returned {status}, which is not a status code"),
        |name| format!("it returned {name} ({status}), which this call may not return"),
    )
}

fn chain_record(chain: &ChainState, now_ms: u64) -> millrace_plugin_abi::ChainState {
    let hash = |bytes| Hash { bytes };
    millrace_plugin_abi::ChainState {
        size: size_of::<millrace_plugin_abi::ChainState>() as u32,
        reserved: 0,
        chain_id: chain.chain_id,
        consensus_id: Bytes::lend(chain.consensus_id.as_bytes()),
        parameters: Bytes::lend(&chain.parameters),
        config: Bytes::lend(&chain.config),
        chain_spec_hash: hash(chain.chain_spec_hash),
        genesis_hash: hash(chain.genesis_hash),
        genesis_block: Bytes::lend(&chain.genesis_block),
        finalized_hash: hash(chain.finalized_hash),
        finalized_height: chain.finalized_height,
        finalized_block: Bytes::lend(&chain.finalized_block),
        finalized_certificate: Bytes::lend(&chain.finalized_certificate),
        max_receipt_lag: chain.max_receipt_lag,
        block_gas: chain.block_gas,
        block_bytes: chain.block_bytes,
        now_ms,
    }
}

/// Reports a call that takes too long, and its return, once each. Nothing is ever killed.
fn watch(shared: &'static Shared) {
    let patience = shared.patience;
    let period = (patience / 4).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let body = move || {
        let mut reported = None;
        let mut life = shared.life();
        while !matches!(life.phase, Phase::Stopped | Phase::Failed(_)) {
            let overdue = shared.overdue(&life).map(|(call, _)| call);
            let plugin = &shared.info().consensus_id;
            match (reported, overdue) {
                (None, Some(call)) => {
                    tracing::error!(%plugin, call, ?patience, "the consensus plugin does not return; reads go on without it");
                }
                (Some(call), None) => tracing::warn!(%plugin, call, "the consensus plugin has returned"),
                _ => {}
            }
            reported = overdue;
            life = shared.wait(life, instant_now() + period);
        }
    };
    if let Err(error) = Builder::new().name("plugin-watchdog".into()).spawn(body) {
        tracing::warn!(%error, "no thread for the plugin's watchdog: hangs are seen by status only");
    }
}
