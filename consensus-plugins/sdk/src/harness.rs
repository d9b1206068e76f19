//! A stepped plugin in a test: events in by hand, timers by a simulated clock, actions out. No host, no shared object.

use core::num::NonZeroU64;
use std::collections::BTreeSet;

use millrace_plugin_abi::PressureValues;

use crate::event::{Event, Token};
use crate::plugin::{ChainState, StartError};
use crate::stepped::{Action, Step, Stepped};

/// Runs a stepped plugin. The same calls give the same actions.
#[derive(Debug)]
pub struct Harness<S> {
    /// The plugin, for looking at.
    pub plugin: S,
    /// What the plugin reads as the engine's pressure.
    pub pressure: Option<PressureValues>,
    now_ms: u64,
    next_token: NonZeroU64,
    timers: BTreeSet<(u64, Token)>,
    actions: Vec<Action>,
}

impl<S: Stepped> Harness<S> {
    /// Starts the plugin at `chain.now_ms`.
    ///
    /// # Errors
    /// If the plugin does not start.
    pub fn start(chain: &ChainState, pressure: Option<PressureValues>) -> Result<Self, StartError> {
        let mut step = Step::new(chain.now_ms, pressure, NonZeroU64::MIN);
        let plugin = S::start(chain, &mut step)?;
        let mut harness = Self {
            plugin,
            pressure,
            now_ms: chain.now_ms,
            next_token: NonZeroU64::MIN,
            timers: BTreeSet::new(),
            actions: Vec::new(),
        };
        harness.take(step);
        Ok(harness)
    }

    /// The simulated time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Delivers an event now.
    pub fn deliver(&mut self, event: Event) {
        let mut step = Step::new(self.now_ms, self.pressure, self.next_token);
        self.plugin.on_event(event, &mut step);
        self.take(step);
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_timer_ms(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Lets time pass up to `until_ms`, delivering the timers that become due, each at its time.
    pub fn advance_to(&mut self, until_ms: u64) {
        while let Some((due, token)) = self.timers.first().copied().filter(|(due, _)| *due <= until_ms) {
            self.timers.pop_first();
            self.now_ms = self.now_ms.max(due);
            self.deliver(Event::Timer { token });
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    /// What the plugin wanted done since the last call, in order; timers are handled here and not among them.
    pub fn take_actions(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    fn take(&mut self, step: Step) {
        let (next_token, actions) = step.finish();
        self.next_token = next_token;
        for action in actions {
            match action {
                Action::SetTimer(token, delay) => {
                    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    self.timers.insert((self.now_ms.saturating_add(delay_ms), token));
                }
                Action::CancelTimer(token) => self.timers.retain(|(_, timer)| *timer != token),
                action => self.actions.push(action),
            }
        }
    }
}
