//! In a process of its own: loads the consensus plugin, starts it as a node would, and stops it at once.
//!
//! The engine that it gets takes what it is given and answers nothing: no block is built, no value of the store is read,
//! nothing that the plugin hands over is taken, nothing is written. So a plugin that keeps the rule to sign and send nothing
//! before the engine has answered (`docs/spec/plugin-abi.md`, section 6) does neither.

use std::fmt::Display;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use millrace_pipeline::genesis_block;
use millrace_plugin_host::{
    BuildAnswer, BuildRequest, Engine, FailureKind, ForkChoice, HeadAnswer, PluginFailure, PluginHandle,
    PluginSpec, Reply, StartError, StopError, Submitted, Verdict,
};
use millrace_types::{Hash, codec};
use serde_json::json;

use crate::commands::print_json;
use crate::failure::Failure;
use crate::node::chain_state;
use crate::node::settings::{Flags, Settings};
use crate::output::outln;

/// Loads the plugin and says what it is; then, if that is wanted, starts and stops it and says so.
///
/// # Errors
/// Whatever is wrong with it.
pub(super) fn run(config: &Path, starts: bool) -> Result<(), Failure> {
    let settings = Settings::read(config, Flags::default()).map_err(|error| failed(&error))?;
    let plugin = PluginHandle::load(PluginSpec {
        path: settings.plugin.clone(),
        pin: settings.plugin_pin,
        consensus_id: Some(settings.spec.consensus.id.clone()),
        patience: settings.plugin_patience,
    })
    .map_err(|error| failed(&error))?;
    let info = plugin.info();
    // The plugin may have printed half a line.
    outln!("");
    print_json(&json!({
        "consensus_id": info.consensus_id,
        "version": info.version,
        "abi": format!("{}.{}", info.abi.0, info.abi.1),
        "blake3": Hash(info.blake3),
    }));
    if starts {
        start(plugin, &settings)?;
        outln!("");
        print_json(&json!({ "started": true }));
    }
    Ok(())
}

fn failed(error: &dyn Display) -> Failure {
    Failure::new(error.to_string())
}

/// Starts it at the genesis block, which needs no ledger, and stops it.
fn start(plugin: PluginHandle, settings: &Settings) -> Result<(), Failure> {
    let genesis = genesis_block(&settings.spec).map_err(|error| failed(&error))?;
    let (hash, bytes) = (genesis.hash(), codec::encode(&genesis));
    let chain = chain_state(settings, (hash, bytes.clone()), (hash, 0, bytes), Vec::new());
    let engine = Arc::new(Silent {
        max_unfinalized_blocks: u32::try_from(settings.engine.max_unfinalized_blocks).unwrap_or(u32::MAX),
        owed: Mutex::default(),
    });
    let patience = settings.plugin_patience;
    let (done, answer) = mpsc::channel::<Result<(), StartError>>();
    thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || {
            // Whoever asked may have lost patience.
            let _ = done.send(plugin.start(engine, chain));
        })
        .map_err(|error| failed(&format!("starting a thread: {error}")))?;
    match answer.recv_timeout(patience) {
        Ok(started) => started.map_err(|error| refusal(&error))?,
        Err(RecvTimeoutError::Timeout) => {
            return Err(Failure::new(format!(
                "its start has not returned in {} ms, and a node would wait for it without end; raise plugin.patience_ms if it \
                 needs longer, or ask its author",
                patience.as_millis()
            )));
        }
        Err(RecvTimeoutError::Disconnected) => {
            return Err(Failure::new(
                "the host panicked in its start; this is a bug of the node",
            ));
        }
    }
    // One that failed meanwhile says so here.
    plugin.stop(patience).map_err(|error| match error {
        StopError::Failed(failure) => failure_of(&failure),
        _ => Failure::new(format!(
            "its stop has not returned in {} ms; ask its author: a node that is stopped would leave without it",
            patience.as_millis()
        )),
    })
}

/// The plugin's own words, with what to do about them.
fn refusal(error: &StartError) -> Failure {
    match error {
        StartError::Configuration { .. } => Failure::new(format!(
            "{error}; mend plugin.config, or the chain spec's consensus.parameters, as it says"
        )),
        StartError::Failed(failure) => failure_of(failure),
        error => failed(error),
    }
}

fn failure_of(failure: &PluginFailure) -> Failure {
    let what = match failure.kind {
        FailureKind::Panic => "panicked",
        FailureKind::Fatal => "gave up",
        _ => "failed",
    };
    Failure::new(format!(
        "the consensus plugin {} ({}) {what} in {}: {}; mend what it says, or ask its author: a node would have no consensus",
        failure.plugin,
        failure.path.display(),
        failure.call,
        failure.reason
    ))
}

/// An engine that owes every answer until the plugin is stopped.
struct Silent {
    max_unfinalized_blocks: u32,
    /// Replies that are dropped would be answered at once. The host lets a plugin have 1,024 under way.
    owed: Mutex<Vec<Box<dyn Send>>>,
}

impl Silent {
    fn owe<T: 'static>(&self, reply: Reply<T>) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.push(Box::new(reply));
    }
}

impl Engine for Silent {
    fn request_block(&self, _request: BuildRequest, reply: Reply<BuildAnswer>) {
        self.owe(reply);
    }

    fn validate(&self, _block: Vec<u8>, reply: Reply<Verdict>) {
        self.owe(reply);
    }

    fn announce_proposal(&self, _block: Vec<u8>) {}

    fn submit_finalized(&self, _block: Vec<u8>, _certificate: Vec<u8>) -> Submitted {
        Submitted::Again
    }

    fn kv_get(&self, _key: Vec<u8>, reply: Reply<Option<Vec<u8>>>) {
        self.owe(reply);
    }

    fn kv_put(&self, _key: Vec<u8>, _value: Option<Vec<u8>>, reply: Reply<Result<(), String>>) {
        self.owe(reply);
    }

    fn plugin_failed(&self, _failure: &PluginFailure) {}

    fn fork_choice(&self) -> Option<&dyn ForkChoice> {
        Some(self)
    }
}

impl ForkChoice for Silent {
    fn max_unfinalized_blocks(&self) -> u32 {
        self.max_unfinalized_blocks
    }

    fn import_block(&self, _block: Vec<u8>) -> Submitted {
        Submitted::Again
    }

    fn set_head(&self, _hash: [u8; 32], reply: Reply<HeadAnswer>) {
        self.owe(reply);
    }

    fn finalize(&self, _hash: [u8; 32], _certificate: Vec<u8>) -> Submitted {
        Submitted::Again
    }
}
