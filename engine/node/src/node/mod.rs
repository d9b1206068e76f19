//! A running node, put together from its parts, and taken apart in the right order.
//!
//! [`settings`] (what it runs with), [`consensus`] (plugin to pipeline and back), `metrics`, [`RunningNode`] (start,
//! stop).

pub mod consensus;
mod metrics;
pub mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use millrace_jit::CodeCache;
use millrace_ledger::Ledger;
use millrace_pipeline::{Engine, EngineStatus};
use millrace_plugin_host::{ChainState, PluginHandle, PluginSpec, PluginStatus};
use millrace_rpc::shapes::PluginView;
use millrace_rpc::{Methods, NodeFacts, Pages, RpcServer};
use millrace_types::{Hash, codec};

use crate::commands::profile;
use crate::failure::Failure;
use consensus::Bridge;
use settings::Settings;

/// How long the plugin may take to stop, then the engine to execute what is finalized, then the server to answer what
/// it was asked.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Name of the ledger's file in the data directory.
pub const LEDGER_FILE: &str = "ledger.redb";
/// In the data directory too: what states are kept in.
pub const STATE_DIRECTORY: &str = "state";

/// A node that runs.
pub struct RunningNode {
    /// The engine.
    pub engine: Engine,
    /// The plugin.
    pub plugin: PluginHandle,
    /// The RPC server.
    pub rpc: RpcServer,
    /// What the engine, and the plugin that is never unloaded, hold until the process ends.
    ledger: Ledger,
}

impl RunningNode {
    /// Opens the ledger, recovers, loads the plugin, serves RPC, and lets consensus begin, in this order.
    ///
    /// # Errors
    /// Whatever part refuses, by its own message.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        // Before anything is executed, or read for it.
        if let Some(profile) = &settings.profile {
            profile.start()?;
        }
        let metrics = metrics::install()?;
        let ledger = open_ledger(&settings)?;
        let spec = settings.spec.clone();
        let consensus_id = spec.consensus.id.clone();
        let plugin = PluginHandle::load(PluginSpec {
            path: settings.plugin.clone(),
            pin: settings.plugin_pin,
            consensus_id: Some(consensus_id.clone()),
            patience: settings.plugin_patience,
        })
        .map_err(|error| Failure::new(error.to_string()))?;
        keep_fault_handlers()?;
        let mut config = settings.engine.clone();
        let directory = settings.data_directory.as_deref();
        config.state_directory = directory.map(|directory| directory.join(STATE_DIRECTORY));
        config.code_cache = settings.code_cache.as_ref().map(|plan| plan.open()).transpose()?;
        let code_cache = config.code_cache.clone();
        // Recovery may execute the ledger again, which is no work for a thread of the runtime.
        let of_engine = ledger.clone();
        let engine = tokio::task::spawn_blocking(move || Engine::open(spec, of_engine, config))
            .await
            .map_err(|error| Failure::new(format!("opening the engine ended: {error}")))?
            .map_err(|error| Failure::new(error.to_string()))?;
        let rpc = start_rpc(&settings, &engine, plugin, code_cache, metrics).await?;
        start_plugin(&settings, &engine, plugin, &consensus_id)?;
        Ok(Self {
            engine,
            plugin,
            rpc,
            ledger,
        })
    }

    /// Stops consensus, finishes what is finalized as far as that is soon done, stops serving. Finalized blocks are
    /// durable: those left are executed at the next start.
    ///
    /// # Errors
    /// When the plugin does not come back in time; everything else has been stopped then.
    pub async fn stop(self) -> Result<(), Failure> {
        let Self {
            engine,
            plugin,
            rpc,
            ledger,
        } = self;
        let stopping = tokio::task::spawn_blocking(move || plugin.stop(STOP_DEADLINE));
        let plugin_stopped = stopping
            .await
            .map_err(|error| Failure::new(format!("stopping ended: {error}")))?;
        finish(&engine).await?;
        rpc.stop(STOP_DEADLINE).await;
        settle(ledger).await;
        let profiled = profile::finish();
        plugin_stopped.map_err(|error| Failure::new(error.to_string()))?;
        profiled
    }
}

/// Stops the engine; after [`STOP_DEADLINE`] it is left behind, to end with the process.
async fn finish(engine: &Engine) -> Result<(), Failure> {
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let stopping = engine.clone();
    // No thread of the runtime: that would be waited for.
    std::thread::Builder::new()
        .name("engine-stop".to_owned())
        .spawn(move || {
            stopping.stop();
            // Whoever waited has left.
            let _ = stopped.send(());
        })
        .map_err(|error| Failure::new(format!("starting a thread: {error}")))?;
    if tokio::time::timeout(STOP_DEADLINE, is_stopped).await.is_err() {
        let heights = engine.heights();
        let (finalized, executed) = (heights.finalized.height, heights.executed.height);
        tracing::warn!(
            finalized,
            executed,
            "finalized blocks are left unexecuted; the next start executes them"
        );
    }
    Ok(())
}

/// Spares the next start a walk over the whole ledger.
async fn settle(ledger: Ledger) {
    let settled = tokio::task::spawn_blocking(move || ledger.settle()).await;
    if let Ok(Err(error)) = settled {
        tracing::warn!(%error, "the next start will take longer: it reads the whole ledger");
    }
}

fn open_ledger(settings: &Settings) -> Result<Ledger, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    match &settings.data_directory {
        None => Ledger::in_memory(&settings.spec).map_err(|error| failed(&error)),
        Some(directory) => {
            create_data_directory(directory)?;
            Ledger::open(&directory.join(LEDGER_FILE), &settings.spec).map_err(|error| failed(&error))
        }
    }
}

/// Makes sure that the data directory is there.
///
/// # Errors
/// When it is something else, or cannot be made.
pub fn create_data_directory(directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).map_err(|error| {
        Failure::new(format!(
            "data directory {}: {error}; name a directory that this user may make and write to",
            directory.display()
        ))
    })
}

async fn start_rpc(
    settings: &Settings,
    engine: &Engine,
    plugin: PluginHandle,
    code_cache: Option<Arc<CodeCache>>,
    handle: PrometheusHandle,
) -> Result<RpcServer, Failure> {
    let methods = Methods::new(engine.clone(), Arc::new(Facts { plugin }), &settings.rpc)
        .map_err(|error| Failure::new(format!("rpc: {error}")))?;
    let (health_engine, metrics_engine) = (engine.clone(), engine.clone());
    metrics::keep_up(handle.clone());
    let pages = Pages {
        health: Box::new(move || health(&health_engine, plugin)),
        metrics: Box::new(move || metrics::page(&handle, &metrics_engine, code_cache.as_deref())),
    };
    RpcServer::start(&settings.rpc, methods, pages)
        .await
        .map_err(|error| Failure::new(error.to_string()))
}

fn start_plugin(settings: &Settings, engine: &Engine, plugin: PluginHandle, id: &str) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let bridge = Bridge::new(engine.clone(), id).map_err(|error| failed(&error))?;
    let chain = present_state(settings, engine)?;
    bridge.feed(plugin).map_err(|error| failed(&error))?;
    plugin.start(bridge, chain).map_err(|error| failed(&error))?;
    keep_fault_handlers()
}

/// A plugin may have put handlers of its own where native code has its. Plugins run in this process, so this is all that
/// can be done: ours go in front again, and hand on to theirs what is not of native code.
fn keep_fault_handlers() -> Result<(), Failure> {
    match millrace_jit::restore_fault_handlers() {
        Ok(false) => Ok(()),
        Ok(true) => {
            tracing::warn!(
                "the plugin replaced handlers of SIGSEGV, SIGBUS or SIGILL; those of native code are in front again"
            );
            Ok(())
        }
        Err(error) => Err(Failure::new(format!(
            "the plugin replaced handlers of signals that native code needs, and they cannot be put back: {error}; use \
             execution.tier = \"interpreter\", or another plugin"
        ))),
    }
}

/// The chain as it is here.
fn present_state(settings: &Settings, engine: &Engine) -> Result<ChainState, Failure> {
    let (genesis, last) = (engine.genesis(), engine.last_finalized());
    let block = |hash| match engine.block(&hash) {
        Ok(Some(block)) => Ok(codec::encode(&block)),
        Ok(None) => Err(Failure::new(format!(
            "ledger: block {hash} is missing; restore the ledger from a backup"
        ))),
        Err(error) => Err(Failure::new(error.to_string())),
    };
    let certificate = engine
        .certificate(&last.hash)
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(chain_state(
        settings,
        (genesis.hash, block(genesis.hash)?),
        (last.hash, last.height, block(last.hash)?),
        certificate.unwrap_or_default(),
    ))
}

/// What a plugin learns when it starts: of the settings, and of two blocks by their canonical bytes, the genesis block and
/// the last finalized one with its certificate.
pub fn chain_state(
    settings: &Settings,
    (genesis_hash, genesis_block): (Hash, Vec<u8>),
    (finalized_hash, finalized_height, finalized_block): (Hash, u64, Vec<u8>),
    finalized_certificate: Vec<u8>,
) -> ChainState {
    let spec = &settings.spec;
    ChainState {
        chain_id: spec.chain_id,
        consensus_id: spec.consensus.id.clone(),
        parameters: spec.consensus.parameters.clone(),
        config: settings.plugin_config.clone(),
        chain_spec_hash: spec.hash().0,
        genesis_hash: genesis_hash.0,
        genesis_block,
        finalized_hash: finalized_hash.0,
        finalized_height,
        finalized_block,
        finalized_certificate,
        max_receipt_lag: spec.max_receipt_lag,
        block_gas: spec.limits.block_gas,
        block_bytes: u64::from(spec.limits.block_bytes),
    }
}

/// What RPC shows of the plugin.
struct Facts {
    plugin: PluginHandle,
}

impl NodeFacts for Facts {
    fn plugin(&self) -> PluginView {
        let info = self.plugin.info();
        PluginView {
            name: format!("{} {}", info.consensus_id, info.version),
            state: state_text(&self.plugin.status()),
        }
    }
}

fn state_text(status: &PluginStatus) -> String {
    match status {
        PluginStatus::Loaded => "loaded".to_owned(),
        PluginStatus::Healthy => "healthy".to_owned(),
        PluginStatus::Unhealthy { call, for_how_long } => {
            format!(
                "unhealthy: {call} has not returned for {} ms",
                for_how_long.as_millis()
            )
        }
        PluginStatus::Failed(failure) => failure.to_string(),
        PluginStatus::Stopping => "stopping".to_owned(),
        PluginStatus::Stopped => "stopped".to_owned(),
    }
}

fn health(engine: &Engine, plugin: PluginHandle) -> Result<String, String> {
    let status = match engine.status() {
        EngineStatus::Stopped { reason } => Err(format!("engine stopped: {reason}")),
        EngineStatus::Running => match plugin.status() {
            PluginStatus::Healthy | PluginStatus::Loaded => Ok(()),
            other => Err(format!("plugin {}", state_text(&other))),
        },
    };
    match status {
        Ok(()) => Ok(serde_json::json!({ "status": "ok" }).to_string()),
        Err(reason) => Err(serde_json::json!({ "status": "unavailable", "reason": reason }).to_string()),
    }
}
