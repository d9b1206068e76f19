//! A consensus plugin that fails as its configuration tells it to. The host's tests load it as a shared object.
//!
//! The configuration is text, or a JSON string of it: `record`, `panic in start`, `panic in deliver(EVENT)`, `panic in stop`, `panic in thread`,
//! `panic in bare thread`, `panic with a number`, `hang in start`, `hang in stop`, `refuse`, `give up`, `sleep`, `hang`. Whatever it is, the plugin makes
//! one request of each kind when it starts, and writes every event it is delivered to the durable store under the key
//! `event`: that is how a test sees it.

use std::time::Duration;

use millrace_plugin_sdk::types::{Address, Hash};
use millrace_plugin_sdk::{
    BuildRequest, ChainState, Event, Host, Level, Metric, Plugin, StartError, export_plugin,
};

/// How long `sleep` keeps a call.
const SLEEP_MS: u64 = 400;

struct Misbehaving {
    host: Host,
    mode: String,
}

impl Plugin for Misbehaving {
    const CONSENSUS_ID: &'static str = "misbehaving/1";
    const VERSION: &'static str = "0.1.0-test";

    fn start(host: Host, chain: ChainState) -> Result<Self, StartError> {
        let mode = String::from_utf8_lossy(&chain.config)
            .trim_matches('"')
            .to_owned();
        match mode.as_str() {
            "panic in start" => panic!("told to panic in start"),
            "hang in start" => loop {
                std::thread::park();
            },
            "panic with a number" => std::panic::panic_any(7_u32),
            "refuse" => {
                return Err(StartError::Configuration(
                    "`refuse` is no mode to run in; choose another".into(),
                ));
            }
            "want too much" => {
                return Err(StartError::Host("the capability `telepathy/1` is missing".into()));
            }
            "panic in thread" => {
                host.spawn("worker", || panic!("told to panic in a thread"))
                    .map_err(|error| StartError::Fatal(error.to_string()))?;
            }
            "panic in bare thread" => {
                std::thread::spawn(|| panic!("told to panic where nobody catches"));
            }
            _ => {}
        }
        let plugin = Self { host, mode };
        plugin
            .ask_for_everything(&chain)
            .map_err(|error| StartError::Fatal(error.to_string()))?;
        Ok(plugin)
    }

    fn deliver(&mut self, event: Event, _now_ms: u64) {
        let name = name(&event);
        if self.mode == format!("panic in deliver({name})") {
            panic!("told to panic in deliver({name})");
        }
        match (self.mode.as_str(), name) {
            ("give up", "credit") => self.host.fatal("told to give up"),
            ("sleep", "credit") => std::thread::sleep(Duration::from_millis(SLEEP_MS)),
            ("hang", "credit") => loop {
                std::thread::park();
            },
            _ => {}
        }
        if !matches!(event, Event::KvStored { .. }) {
            // Refused when stopping, which is when a test no longer looks.
            let _refused =
                self.host
                    .kv_put(self.host.next_token(), b"event", format!("{event:?}").as_bytes());
        }
    }

    fn stop(self, deadline: Duration) {
        if self.mode == "panic in stop" {
            panic!("told to panic in stop");
        }
        if self.mode == "hang in stop" {
            loop {
                std::thread::park();
            }
        }
        self.host
            .log(Level::Info, &format!("stopping within {deadline:?}"));
    }
}

impl Misbehaving {
    fn ask_for_everything(&self, chain: &ChainState) -> Result<(), millrace_plugin_sdk::Declined> {
        let host = self.host;
        let request = BuildRequest {
            parent_hash: chain.finalized_hash,
            proposer: Address::default(),
            max_gas: Some(1_000),
            max_bytes: None,
            timestamp_ms: None,
            consensus_data: b"data".to_vec(),
            allow_empty: true,
        };
        host.request_block(host.next_token(), &request)?;
        host.validate(host.next_token(), b"a block")?;
        host.kv_get(host.next_token(), b"a key")?;
        host.kv_put(host.next_token(), b"a key", b"a value")?;
        host.kv_remove(host.next_token(), b"another key")?;
        host.set_timer(host.next_token(), Duration::from_millis(1))?;
        let cancelled = host.next_token();
        host.set_timer(cancelled, Duration::from_secs(3600))?;
        host.cancel_timer(cancelled);
        if host.offers_fork_choice() {
            host.set_head(host.next_token(), Hash([9; 32]))?;
        }
        host.announce_proposal(b"a proposal");
        host.metric(Metric::Counter, "starts", 1.0);
        Ok(())
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::BlockBuilt { .. } => "block built",
        Event::Verdict { .. } => "verdict",
        Event::Credit { .. } => "credit",
        Event::Proposal(_) => "proposal",
        Event::HeadMoved { .. } => "head moved",
        Event::Timer { .. } => "timer",
        Event::Settled(_) => "settled",
        Event::Finalized(_) => "finalized",
        Event::Work => "work",
        Event::KvValue { .. } => "kv value",
        Event::KvStored { .. } => "kv stored",
        _ => "something new",
    }
}

export_plugin!(threaded Misbehaving);
