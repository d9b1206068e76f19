//! The values in force, each with its origin.

use std::path::{Path, PathBuf};

use millrace_types::Hash;
use serde::Serialize;
use serde_json::{Value, json};

use super::sources::{self, KEYS, PLUGIN_CONFIG, leaves, variable};
use super::{CONFIG_VERSION, File, Flags, Settings, SettingsError, TierName};
use crate::commands::code_cache;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody says otherwise.
    Default,
    /// The configuration file.
    File,
    /// A variable of the environment.
    Variable,
    /// An option of the command line.
    Flag,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// The key, dotted.
    pub key: String,
    /// What is in force; null where there is nothing. Texts of the plugin's own configuration are hidden.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
    /// The variable or the option.
    pub source: Option<String>,
}

/// What the keys of the plugin's own configuration begin with.
const BELOW_PLUGIN_CONFIG: &str = "plugin.config.";

/// Shown instead of what may be a secret.
pub const HIDDEN: &str = "(hidden)";

/// Every key of the file at `path` with what is in force.
///
/// # Errors
/// As [`Settings::read`].
pub fn read(path: &Path, flags: Flags) -> Result<(Vec<Effective>, Settings), SettingsError> {
    let (file, figment) = sources::read(path)?;
    let given = flags.clone();
    let settings = file.clone().resolve(path, flags)?;
    let mut found = Vec::new();
    for key in KEYS.iter() {
        if key == PLUGIN_CONFIG {
            let mut below = Vec::new();
            leaves(PLUGIN_CONFIG, &file.plugin.config, &mut below);
            found.extend(below.into_iter().map(|(key, value)| (key, hide(value))));
        } else {
            found.push((key.clone(), value_of(key, path, &file, &settings)));
        }
    }
    let origin = |key: &str| match flag_for(key, &given) {
        Some(flag) => (Origin::Flag, Some(flag.to_owned())),
        // What is in a plugin's configuration was put there. A variable cannot, where the key's name needs quotes, and where
        // it does not, the lookup finds it.
        None if !figment.contains(key) && key.starts_with(BELOW_PLUGIN_CONFIG) => (Origin::File, None),
        None if !figment.contains(key) => (Origin::Default, None),
        None if sources::is_variable(figment.find_metadata(key)) => (Origin::Variable, Some(variable(key))),
        None => (Origin::File, None),
    };
    let effective = found.into_iter().map(|(key, value)| {
        let (origin, source) = origin(&key);
        Effective {
            key,
            value,
            origin,
            source,
        }
    });
    Ok((effective.collect(), settings))
}

/// The option that decides a key's value.
fn flag_for(key: &str, flags: &Flags) -> Option<&'static str> {
    match key {
        "execution.profile" if flags.profile.is_some() => Some("--profile"),
        "execution.profile_directory" if flags.profile.is_some() => Some("--profile-dir"),
        "execution.profile_symbols" if flags.profile.is_some() => Some("--profile-symbols"),
        "execution.code_cache" | "execution.code_cache_directory" if flags.code_cache.is_some() => {
            Some("--code-cache")
        }
        _ => None,
    }
}

/// What the plugin reads is its own affair: any text may be a key. Numbers, truth values and names of keys are shown.
fn hide(value: Value) -> Value {
    match value {
        Value::String(_) => json!(HIDDEN),
        Value::Array(items) => Value::Array(items.into_iter().map(hide).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, hide(value)))
                .collect(),
        ),
        other => other,
    }
}

fn value_of(key: &str, path: &Path, file: &File, settings: &Settings) -> Value {
    match key {
        "version" => json!(CONFIG_VERSION),
        "chain_spec" => shown(&path.parent().unwrap_or(Path::new(".")).join(&file.chain_spec)),
        "data_directory" => json!(settings.data_directory.as_deref().map(shown)),
        "plugin.path" => shown(&settings.plugin),
        "plugin.blake3" => json!(settings.plugin_pin.map(|pin| Hash(pin).to_string())),
        "plugin.patience_ms" => json!(file.plugin.patience_ms),
        _ => {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            match section {
                "rpc" => of_rpc(name, settings),
                "engine" => of_engine(name, settings),
                _ => of_execution(name, path, file, settings),
            }
        }
    }
}

fn of_rpc(name: &str, settings: &Settings) -> Value {
    let rpc = &settings.rpc;
    match name {
        "listen" => json!(rpc.listen.to_string()),
        "max_connections" => json!(rpc.max_connections),
        "max_request_bytes" => json!(rpc.max_request_bytes),
        "max_response_bytes" => json!(rpc.max_response_bytes),
        "max_batch" => json!(rpc.max_batch),
        "max_subscriptions" => json!(rpc.max_subscriptions),
        "max_concurrent_calls" => json!(rpc.max_concurrent_calls),
        "call_gas_limit" => json!(rpc.call_gas_limit),
        "max_log_blocks" => json!(rpc.max_log_blocks),
        "max_logs" => json!(rpc.max_logs),
        "requests_per_second" => json!(rpc.rate_limit.map_or(0, |rate| rate.per_second.get())),
        "request_burst" => json!(rpc.rate_limit.map(|rate| rate.burst)),
        "max_calls_per_connection" => json!(rpc.max_calls_per_connection),
        _ => Value::Null,
    }
}

fn of_engine(name: &str, settings: &Settings) -> Value {
    let engine = &settings.engine;
    match name {
        "pipelining" => json!(engine.pipelining),
        "workers" => json!(engine.workers),
        // What the engine makes of less.
        "queue_blocks" => {
            let least = usize::try_from(settings.spec.max_receipt_lag)
                .unwrap_or(usize::MAX)
                .saturating_add(2);
            json!(engine.queue_blocks.max(least))
        }
        "retention_blocks" => json!(engine.retention_blocks),
        "speculation" => json!(engine.speculation && engine.pipelining),
        "max_speculative_blocks" => json!(engine.max_speculative_blocks),
        "max_unfinalized_blocks" => json!(engine.max_unfinalized_blocks),
        _ => Value::Null,
    }
}

fn of_execution(name: &str, path: &Path, file: &File, settings: &Settings) -> Value {
    let cache = settings.code_cache.as_ref();
    let profile = settings.profile.as_ref();
    let tiers = [TierName::Interpreter, TierName::Jit, TierName::Auto];
    match name {
        "tier" => json!(tiers.into_iter().find(|name| name.tier() == settings.engine.tier)),
        "code_cache" => json!(cache.is_some()),
        "code_cache_directory" => json!(cache.map(|plan| shown(&plan.directory))),
        "code_cache_mib" => json!(cache.map_or(
            file.execution.code_cache_mib.unwrap_or(code_cache::DEFAULT_MIB),
            |plan| plan.mib
        )),
        "profile" => json!(profile.map(|plan| plan.kind)),
        "profile_directory" => {
            shown(&profile.map_or_else(|| base_of(path, file), |plan| plan.directory.clone()))
        }
        "profile_symbols" => {
            let symbols = profile.map(|plan| plan.symbols.as_slice()).unwrap_or_default();
            symbols.iter().map(|path| shown(path)).collect()
        }
        _ => Value::Null,
    }
}

/// A path as text, from the root, so that it means the same in a file that lies elsewhere. What is no text in it becomes a
/// replacement character.
fn shown(path: &Path) -> Value {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    json!(path.display().to_string())
}

/// A value as a file has it.
#[must_use]
pub fn toml_of(value: &Value) -> String {
    match value {
        Value::String(text) => sources::quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{} = {}", sources::key_part(name), toml_of(value))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{ {} }}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// Where a jitdump would go, were one made.
fn base_of(path: &Path, file: &File) -> PathBuf {
    let given = file.execution.profile_directory.as_deref();
    path.parent()
        .unwrap_or(Path::new("."))
        .join(given.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_a_plugins_configuration_is_hidden_wherever_it_is() {
        let value = json!({ "a": "x", "b": { "c": ["y", 1, { "d": "z" }] }, "e": true });
        let text = hide(value).to_string();
        assert!(!text.contains(['x', 'y', 'z']), "{text}");
        assert_eq!(
            text,
            r#"{"a":"(hidden)","b":{"c":["(hidden)",1,{"d":"(hidden)"}]},"e":true}"#
        );
    }

    #[test]
    fn a_key_and_its_variable_are_told_from_each_other() {
        assert_eq!(
            variable("engine.max_speculative_blocks"),
            "MILLRACE_ENGINE__MAX_SPECULATIVE_BLOCKS"
        );
        for key in [
            "version",
            "plugin.path",
            "rpc.listen",
            "engine.workers",
            "execution.tier",
        ] {
            assert!(KEYS.iter().any(|known| known == key), "{key} in {KEYS:?}");
        }
    }
}
