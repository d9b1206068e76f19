//! The configuration file of `millrace node`: raw text in, checked settings out.
//!
//! [`File`] is what an operator writes (TOML, with `MILLRACE_` environment variables over it: [`sources`]); [`Settings`] is
//! what the node runs with. Between them every value is checked, and an error names the key, the value and what is
//! allowed. [`effective`] shows each value with its origin.

mod chain_spec;
pub mod effective;
mod sources;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace_pipeline::EngineConfig;
use millrace_rpc::{RateLimit, RpcConfig};
use millrace_types::chain_spec::Limits;
use millrace_types::{ChainSpec, hex};
use serde::{Deserialize, Serialize};

use crate::commands::code_cache::{self, CodeCachePlan};
use crate::commands::profile::{ProfileName, ProfilePlan, TierName, choose_tier};

pub use chain_spec::{chain_spec_text, read_chain_spec};

/// The file's format, to be raised when a key changes its meaning.
pub const CONFIG_VERSION: u32 = 1;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or a variable does not parse.
    #[error("configuration {path}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        reason: String,
    },
    /// A newer file.
    #[error(
        "configuration {path}: version = {found}, this build reads up to {CONFIG_VERSION}; use the newer build, or write the file for this one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// A variable of the environment that sets nothing.
    #[error(
        "{name}: there is no key `{key}` that it could set; docs/configuration.md lists them, and `millrace config show` shows what is in force"
    )]
    Variable {
        /// The variable.
        name: String,
        /// The key that it would be.
        key: String,
    },
    /// A value outside its range.
    #[error("configuration {path}: {key} = {value}: allowed is {allowed}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        allowed: String,
    },
    /// The chain spec cannot be used.
    #[error("chain spec {path}: {reason}")]
    ChainSpec {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// [`CONFIG_VERSION`] of the file.
    pub version: u32,
    /// Path of the chain spec (JSON).
    pub chain_spec: PathBuf,
    /// Directory of the ledger.
    pub data_directory: PathBuf,
    /// The consensus plugin.
    pub plugin: PluginFile,
    /// The RPC server.
    #[serde(default)]
    pub rpc: RpcFile,
    /// The engine.
    #[serde(default)]
    pub engine: EngineFile,
    /// How contracts are executed.
    #[serde(default)]
    pub execution: ExecutionFile,
}

/// `[plugin]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PluginFile {
    /// The shared object.
    pub path: PathBuf,
    /// BLAKE3 of the file, hex; the node refuses another file.
    pub blake3: Option<String>,
    /// Passed to the plugin as JSON.
    #[serde(default)]
    pub config: serde_json::Value,
    /// Milliseconds that a call may take before the plugin counts as unhealthy.
    #[serde(default = "default_patience_ms")]
    pub patience_ms: u64,
}

fn default_patience_ms() -> u64 {
    5_000
}

/// `[rpc]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcFile {
    /// Address and port.
    pub listen: Option<String>,
    /// Connections at once.
    pub max_connections: Option<u64>,
    /// Bytes of one request.
    pub max_request_bytes: Option<u64>,
    /// Bytes of one answer.
    pub max_response_bytes: Option<u64>,
    /// Calls in one batch.
    pub max_batch: Option<u64>,
    /// Subscriptions of one connection.
    pub max_subscriptions: Option<u64>,
    /// Read-only calls at once.
    pub max_concurrent_calls: Option<u64>,
    /// Gas of a read-only call.
    pub call_gas_limit: Option<u64>,
    /// Blocks that one search for logs looks at.
    pub max_log_blocks: Option<u64>,
    /// Logs in one answer.
    pub max_logs: Option<u64>,
    /// Requests a second of one address; 0 for no limit.
    pub requests_per_second: Option<u64>,
    /// Requests of one address that may come at once.
    pub request_burst: Option<u64>,
    /// Calls of one connection that are under way at once.
    pub max_calls_per_connection: Option<u64>,
}

/// `[engine]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineFile {
    /// `false`: consensus and execution strictly in turn.
    pub pipelining: Option<bool>,
    /// Threads that execute blocks.
    pub workers: Option<usize>,
    /// Finalized blocks that may wait for execution.
    pub queue_blocks: Option<usize>,
    /// States kept, in blocks.
    pub retention_blocks: Option<u64>,
    /// Executes proposals ahead of their turn.
    pub speculation: Option<bool>,
    /// Such proposals at once.
    pub max_speculative_blocks: Option<usize>,
    /// Unfinalized blocks kept at once.
    pub max_unfinalized_blocks: Option<usize>,
}

/// `[execution]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutionFile {
    /// The tier.
    pub tier: Option<TierName>,
    /// Whether native code is kept.
    pub code_cache: Option<bool>,
    /// Where it is kept.
    pub code_cache_directory: Option<PathBuf>,
    /// Most MiB of it.
    pub code_cache_mib: Option<u64>,
    /// Whom guests are shown to.
    pub profile: Option<ProfileName>,
    /// Where a jitdump goes.
    pub profile_directory: Option<PathBuf>,
    /// ELF files with the symbols of programs that were stripped of theirs.
    pub profile_symbols: Option<Vec<PathBuf>>,
}

/// What the node runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The chain.
    pub spec: ChainSpec,
    /// Directory of the ledger; `None` for a chain that lives in memory.
    pub data_directory: Option<PathBuf>,
    /// The shared object.
    pub plugin: PathBuf,
    /// The hash that it must have.
    pub plugin_pin: Option<[u8; 32]>,
    /// Its configuration.
    pub plugin_config: Vec<u8>,
    /// How long its calls may take.
    pub plugin_patience: Duration,
    /// The RPC server.
    pub rpc: RpcConfig,
    /// The engine.
    pub engine: EngineConfig,
    /// The profile to be made.
    pub profile: Option<ProfilePlan>,
    /// Where native code is kept.
    pub code_cache: Option<CodeCachePlan>,
}

impl Settings {
    /// Reads and checks the file at `path`; relative paths in it start from its directory. `flags` go before it.
    ///
    /// # Errors
    /// [`SettingsError`], naming key, value and what is allowed.
    pub fn read(path: &Path, flags: Flags) -> Result<Self, SettingsError> {
        let (file, _) = sources::read(path)?;
        file.resolve(path, flags)
    }
}

/// What the command line says over file and environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--profile` and what belongs to it.
    pub profile: Option<ProfilePlan>,
    /// `--code-cache`.
    pub code_cache: Option<PathBuf>,
}

impl File {
    fn resolve(self, path: &Path, Flags { profile, code_cache }: Flags) -> Result<Settings, SettingsError> {
        let base = path.parent().unwrap_or(Path::new("."));
        let value = |key, value: String, allowed: &str| SettingsError::Value {
            path: path.to_owned(),
            key,
            value,
            allowed: allowed.to_owned(),
        };
        if self.version == 0 {
            return Err(value("version", "0".to_owned(), "1"));
        }
        if !(100..=600_000).contains(&self.plugin.patience_ms) {
            return Err(value(
                "plugin.patience_ms",
                self.plugin.patience_ms.to_string(),
                "from 100 to 600000",
            ));
        }
        let plugin_pin = match &self.plugin.blake3 {
            None => None,
            Some(text) => Some(hex::parse_array(text).map_err(|error| {
                let allowed = format!("the BLAKE3 hash of the plugin's file: {error}");
                value("plugin.blake3", format!("{text:?}"), &allowed)
            })?),
        };
        let spec = read_chain_spec(&base.join(&self.chain_spec))?;
        let mut engine = self.engine.resolve(&spec, &value)?;
        let rpc = self.rpc.resolve(&spec.limits, &value)?;
        let profile = profile.or_else(|| self.execution.profile_plan(base));
        let kind = profile.as_ref().map(|plan| plan.kind);
        let tier = choose_tier(self.execution.tier, kind, TierName::Auto).map_err(|_| {
            value(
                "execution.tier",
                "\"interpreter\"".to_owned(),
                "\"jit\" or \"auto\" with a profile, which shows native code",
            )
        })?;
        engine.tier = tier.tier();
        let data_directory = base.join(&self.data_directory);
        let own = match &self.execution.code_cache_directory {
            Some(directory) => base.join(directory),
            None => data_directory.join(code_cache::DIRECTORY_NAME),
        };
        let code_cache = self.execution.code_cache_plan(code_cache, own, tier, &value)?;
        Ok(Settings {
            profile,
            code_cache,
            spec,
            data_directory: Some(data_directory),
            plugin: base.join(&self.plugin.path),
            plugin_pin,
            plugin_config: self.plugin.config.to_string().into_bytes(),
            plugin_patience: Duration::from_millis(self.plugin.patience_ms),
            rpc,
            engine,
        })
    }
}

/// Workers at most: beyond that they only wait for each other.
pub const MAX_WORKERS: usize = 64;
/// Workers at most where nobody says how many: transactions run no further ahead for more.
const MOST_BY_DEFAULT: usize = 16;

/// A worker for each core.
#[expect(
    clippy::disallowed_methods,
    reason = "it decides how many threads execute blocks, and nothing else"
)]
#[must_use]
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_BY_DEFAULT))
}

impl EngineFile {
    fn resolve(
        &self,
        spec: &ChainSpec,
        value: &dyn Fn(&'static str, String, &str) -> SettingsError,
    ) -> Result<EngineConfig, SettingsError> {
        let mut engine = EngineConfig {
            workers: default_workers(),
            ..EngineConfig::default()
        };
        if let Some(workers) = self.workers {
            if !(1..=MAX_WORKERS).contains(&workers) {
                return Err(value("engine.workers", workers.to_string(), "from 1 to 64"));
            }
            engine.workers = workers;
        }
        if let Some(pipelining) = self.pipelining {
            engine.pipelining = pipelining;
        }
        if let Some(blocks) = self.queue_blocks {
            if !(1..=4096).contains(&blocks) {
                return Err(value("engine.queue_blocks", blocks.to_string(), "from 1 to 4096"));
            }
            engine.queue_blocks = blocks;
        }
        if let Some(blocks) = self.retention_blocks {
            if !(16..=1_000_000).contains(&blocks) {
                return Err(value(
                    "engine.retention_blocks",
                    blocks.to_string(),
                    "from 16 to 1000000",
                ));
            }
            engine.retention_blocks = blocks;
        }
        let least = spec.max_receipt_lag + 2;
        if engine.retention_blocks < least {
            let allowed = format!("at least {least}: the chain spec's max_receipt_lag and 2");
            return Err(value(
                "engine.retention_blocks",
                engine.retention_blocks.to_string(),
                &allowed,
            ));
        }
        if let Some(speculation) = self.speculation {
            engine.speculation = speculation;
        }
        if let Some(blocks) = self.max_speculative_blocks {
            if !(1..=64).contains(&blocks) {
                let found = blocks.to_string();
                return Err(value("engine.max_speculative_blocks", found, "from 1 to 64"));
            }
            engine.max_speculative_blocks = blocks;
        }
        if let Some(blocks) = self.max_unfinalized_blocks {
            if !(16..=4096).contains(&blocks) {
                let found = blocks.to_string();
                return Err(value("engine.max_unfinalized_blocks", found, "from 16 to 4096"));
            }
            engine.max_unfinalized_blocks = blocks;
        }
        Ok(engine)
    }
}

impl ExecutionFile {
    fn profile_plan(&self, base: &Path) -> Option<ProfilePlan> {
        let symbols = self.profile_symbols.iter().flatten();
        Some(ProfilePlan {
            kind: self.profile?,
            directory: base.join(self.profile_directory.as_deref().unwrap_or(Path::new("."))),
            symbols: symbols.map(|path| base.join(path)).collect(),
        })
    }
}

impl ExecutionFile {
    /// The cache in `given`, which the command line says, or in `own`, unless the file wants none.
    fn code_cache_plan(
        &self,
        given: Option<PathBuf>,
        own: PathBuf,
        tier: TierName,
        value: &dyn Fn(&'static str, String, &str) -> SettingsError,
    ) -> Result<Option<CodeCachePlan>, SettingsError> {
        let mib = self.code_cache_mib.unwrap_or(code_cache::DEFAULT_MIB);
        if !(1..=1 << 20).contains(&mib) {
            return Err(value(
                "execution.code_cache_mib",
                mib.to_string(),
                "from 1 to 1048576",
            ));
        }
        if tier == TierName::Interpreter {
            let wanted = match (&given, self.code_cache) {
                (Some(_), _) => "--code-cache",
                (None, Some(true)) => "execution.code_cache",
                (None, _) => return Ok(None),
            };
            let allowed = format!("\"jit\" or \"auto\" with {wanted}, which keeps native code");
            return Err(value("execution.tier", "\"interpreter\"".to_owned(), &allowed));
        }
        let own = (self.code_cache != Some(false)).then_some(own);
        Ok(given.or(own).map(|directory| CodeCachePlan { directory, mib }))
    }
}

impl RpcFile {
    fn resolve(
        self,
        limits: &Limits,
        value: &dyn Fn(&'static str, String, &str) -> SettingsError,
    ) -> Result<RpcConfig, SettingsError> {
        let mut rpc = RpcConfig::default().fitting(limits);
        let within = |key, given: Option<u64>, least: u32, most: u32, into: &mut u32| {
            let Some(given) = given else { return Ok(()) };
            match u32::try_from(given) {
                Ok(allowed) if (least..=most).contains(&allowed) => {
                    *into = allowed;
                    Ok(())
                }
                _ => Err(value(key, given.to_string(), &format!("from {least} to {most}"))),
            }
        };
        within(
            "rpc.max_connections",
            self.max_connections,
            1,
            100_000,
            &mut rpc.max_connections,
        )?;
        within(
            "rpc.max_request_bytes",
            self.max_request_bytes,
            1 << 10,
            1 << 30,
            &mut rpc.max_request_bytes,
        )?;
        let least = RpcConfig::request_bytes_for(limits);
        if rpc.max_request_bytes < least {
            let allowed = format!("at least {least}: the chain's longest transaction, in hex");
            let found = rpc.max_request_bytes.to_string();
            return Err(value("rpc.max_request_bytes", found, &allowed));
        }
        within(
            "rpc.max_response_bytes",
            self.max_response_bytes,
            1 << 10,
            1 << 30,
            &mut rpc.max_response_bytes,
        )?;
        within("rpc.max_batch", self.max_batch, 1, 10_000, &mut rpc.max_batch)?;
        within(
            "rpc.max_subscriptions",
            self.max_subscriptions,
            1,
            10_000,
            &mut rpc.max_subscriptions,
        )?;
        within(
            "rpc.max_concurrent_calls",
            self.max_concurrent_calls,
            1,
            1_024,
            &mut rpc.max_concurrent_calls,
        )?;
        if let Some(listen) = self.listen {
            rpc.listen = listen.parse().map_err(|_| {
                let allowed = "an IP address and a port, such as 127.0.0.1:4860";
                value("rpc.listen", format!("{listen:?}"), allowed)
            })?;
        }
        if let Some(gas) = self.call_gas_limit {
            if gas == 0 || gas > 1 << 62 {
                return Err(value("rpc.call_gas_limit", gas.to_string(), "from 1 to 2^62"));
            }
            rpc.call_gas_limit = gas;
        }
        let range = |key, given: Option<u64>, most: u64, into: &mut u64| match given {
            Some(given) if given == 0 || given > most => {
                Err(value(key, given.to_string(), &format!("from 1 to {most}")))
            }
            given => {
                *into = given.unwrap_or(*into);
                Ok(())
            }
        };
        let blocks = &mut rpc.max_log_blocks;
        range("rpc.max_log_blocks", self.max_log_blocks, 1_000_000, blocks)?;
        range("rpc.max_logs", self.max_logs, 1_000_000, &mut rpc.max_logs)?;
        within(
            "rpc.max_calls_per_connection",
            self.max_calls_per_connection,
            1,
            1_000_000,
            &mut rpc.max_calls_per_connection,
        )?;
        rpc.rate_limit = rate_limit(self.requests_per_second, self.request_burst, rpc.listen, value)?;
        Ok(rpc)
    }
}

/// Requests a second of one address where nobody says how many and others than this machine can call.
const REQUESTS_PER_SECOND: u64 = 1_000;

/// How often an address may call. Without a word of it: as often as it likes while the node listens on this machine alone, where
/// everybody has the same address.
fn rate_limit(
    per_second: Option<u64>,
    burst: Option<u64>,
    listen: SocketAddr,
    value: &dyn Fn(&'static str, String, &str) -> SettingsError,
) -> Result<Option<RateLimit>, SettingsError> {
    const MOST: u64 = 1_000_000;
    let default = if listen.ip().is_loopback() {
        0
    } else {
        REQUESTS_PER_SECOND
    };
    let per_second = per_second.unwrap_or(default);
    if per_second > MOST {
        let found = per_second.to_string();
        return Err(value(
            "rpc.requests_per_second",
            found,
            "from 0 (no limit) to 1000000",
        ));
    }
    let given = burst.unwrap_or(2 * per_second.max(1));
    let number = |given: u64| u32::try_from(given).ok().and_then(NonZeroU32::new);
    match (number(per_second), number(given)) {
        (Some(per_second), Some(burst)) if given <= 2 * MOST => Ok(Some(RateLimit { per_second, burst })),
        (None, Some(_)) if burst.is_some() => {
            let allowed = "nothing while rpc.requests_per_second is 0, which is no limit";
            Err(value("rpc.request_burst", given.to_string(), allowed))
        }
        (None, Some(_)) => Ok(None),
        _ => Err(value("rpc.request_burst", given.to_string(), "from 1 to 2000000")),
    }
}
