//! What the handle, the plugin's thread and the host functions share. One per plugin, never freed.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millrace_plugin_abi::{ForkChoice, Pressure};

use crate::engine::Engine;
use crate::handle::PluginInfo;
use crate::inbox::Inbox;
use crate::status::{FailureKind, PluginFailure, PluginStatus};
use crate::thread::StartCommand;

/// Host functions take everything.
pub const GATE_OPEN: u8 = 0;
/// Stopping: log, metric and fatal still work.
pub const GATE_STOPPING: u8 = 1;
/// Stopped or failed: everything answers `STOPPED`.
pub const GATE_CLOSED: u8 = 2;

/// See the module.
pub struct Shared {
    /// What waits to be delivered.
    pub inbox: Inbox,
    /// The record that the plugin reads.
    pub pressure: Pressure,
    /// One of the `GATE_` constants; never falls.
    pub gate: AtomicU8,
    /// Names of the plugin's metrics so far.
    pub metric_names: Mutex<BTreeSet<String>>,
    /// Set by `start`.
    pub engine: OnceLock<Arc<dyn Engine>>,
    /// The table of the capability, once it was asked for.
    pub fork_choice: OnceLock<ForkChoice>,
    /// How long a call may take before the plugin counts as unhealthy.
    pub patience: Duration,
    info: PluginInfo,
    thread: ThreadId,
    start: Mutex<Option<Sender<StartCommand>>>,
    pressure_writer_taken: AtomicBool,
    last_now_ms: AtomicU64,
    life: Mutex<Life>,
    changed: Condvar,
}

/// Where the plugin is, and in which call.
pub struct Life {
    /// Where.
    pub phase: Phase,
    /// The call that its thread is in, and since when.
    pub call: Option<(&'static str, Instant)>,
    /// What the plugin told `fatal` during `start`.
    pub start_reason: Option<(FailureKind, String)>,
    /// When stop has to be over.
    pub stop_by: Option<Instant>,
}

/// ```text
/// Loaded ─ start ─▶ Starting ─▶ Running ─ stop ─▶ Stopping ─▶ Stopped
///    │                 └───────────┴────────────────┴─ fail ─▶ Failed
///    └─ stop ─▶ Stopped
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Phase {
    /// Checked, not entered yet.
    Loaded,
    /// In `start`.
    Starting,
    /// Takes events.
    Running,
    /// `stop` was asked for.
    Stopping,
    /// `stop` returned.
    Stopped,
    /// Never entered again.
    Failed(PluginFailure),
}

impl Shared {
    /// For a plugin that was just loaded by the current thread.
    pub fn new(info: PluginInfo, patience: Duration, start: Sender<StartCommand>) -> Self {
        Self {
            inbox: Inbox::default(),
            pressure: Pressure::new(),
            gate: AtomicU8::new(GATE_OPEN),
            metric_names: Mutex::default(),
            engine: OnceLock::new(),
            fork_choice: OnceLock::new(),
            patience,
            info,
            thread: std::thread::current().id(),
            start: Mutex::new(Some(start)),
            pressure_writer_taken: AtomicBool::new(false),
            last_now_ms: AtomicU64::new(0),
            life: Mutex::new(Life {
                phase: Phase::Loaded,
                call: None,
                start_reason: None,
                stop_by: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// What the plugin says of itself.
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// The way to start the plugin: given away once.
    pub fn take_start(&self) -> Option<Sender<StartCommand>> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// True once.
    pub fn take_pressure_writer(&self) -> bool {
        !self.pressure_writer_taken.swap(true, Ordering::Relaxed)
    }

    /// Milliseconds since the epoch; never falls.
    pub fn now_ms(&self) -> u64 {
        let now = unix_now_ms();
        self.last_now_ms.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// The life, to read or to change; after a change call [`Shared::notify`].
    pub fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a change of life.
    pub fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until the life changes or `until` has come.
    pub fn wait<'a>(&self, life: MutexGuard<'a, Life>, until: Instant) -> MutexGuard<'a, Life> {
        let left = until.saturating_duration_since(instant_now());
        self.changed
            .wait_timeout(life, left)
            .map_or_else(|e| e.into_inner().0, |(guard, _)| guard)
    }

    /// Runs a call into the plugin, so that the watchdog sees it.
    pub fn in_call<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        self.life().call = Some((name, instant_now()));
        let result = call();
        self.life().call = None;
        result
    }

    /// How the plugin is.
    pub fn status(&self) -> PluginStatus {
        let life = self.life();
        if let Some((call, for_how_long)) = self.overdue(&life) {
            return PluginStatus::Unhealthy { call, for_how_long };
        }
        match &life.phase {
            Phase::Loaded => PluginStatus::Loaded,
            Phase::Starting | Phase::Running => PluginStatus::Healthy,
            Phase::Stopping => PluginStatus::Stopping,
            Phase::Stopped => PluginStatus::Stopped,
            Phase::Failed(failure) => PluginStatus::Failed(failure.clone()),
        }
    }

    /// The call that takes too long, and for how long.
    pub fn overdue(&self, life: &Life) -> Option<(&'static str, Duration)> {
        let (call, since) = life.call?;
        let taken = instant_now().saturating_duration_since(since);
        let counts = matches!(life.phase, Phase::Starting | Phase::Running | Phase::Stopping);
        (counts && taken > self.patience).then_some((call, taken))
    }

    /// The plugin failed: it is never entered again, its calls answer `STOPPED`, the engine is told once.
    pub fn fail(&self, kind: FailureKind, reason: &str) {
        let Some(failure) = self.note_failure(kind, reason) else {
            return;
        };
        tracing::error!(plugin = %failure.plugin, "{failure}");
        if let Some(engine) = self.engine.get()
            && catch_unwind(AssertUnwindSafe(|| engine.plugin_failed(&failure))).is_err()
        {
            tracing::error!(plugin = %failure.plugin, "the engine panicked while it was told of the plugin's failure");
        }
    }

    /// As [`Shared::fail`], without telling anyone. `None` if the plugin is past failing.
    pub fn note_failure(&self, kind: FailureKind, reason: &str) -> Option<PluginFailure> {
        let mut life = self.life();
        if matches!(life.phase, Phase::Stopped | Phase::Failed(_)) {
            return None;
        }
        let on_its_thread = std::thread::current().id() == self.thread;
        let call = life
            .call
            .filter(|_| on_its_thread)
            .map_or("a thread of its own", |(call, _)| call);
        let failure = PluginFailure {
            plugin: self.info.consensus_id.clone(),
            path: self.info.path.clone(),
            call: call.to_owned(),
            kind,
            reason: reason.to_owned(),
        };
        self.gate.store(GATE_CLOSED, Ordering::Release);
        life.phase = Phase::Failed(failure.clone());
        drop(life);
        self.inbox.close();
        self.notify();
        Some(failure)
    }
}

/// The monotonic clock: timers and patience.
#[expect(
    clippy::disallowed_methods,
    reason = "timers and the watchdog measure time; no result depends on it"
)]
pub fn instant_now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "consensus is told the time; validity rechecks what depends on it"
)]
fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
