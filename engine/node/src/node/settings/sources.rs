//! Where values come from: the file, and the environment over it.
//!
//! Every key can be set as `MILLRACE_SECTION__KEY`. The variables of the command line (`MILLRACE_RPC`, `MILLRACE_LOG`, ...)
//! have no `__` and are no keys, so that neither is taken for the other.

use std::path::Path;
use std::sync::LazyLock;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use serde_json::Value;

use super::{CONFIG_VERSION, EngineFile, ExecutionFile, File, PluginFile, RpcFile, SettingsError};

const A_MINIMAL_ONE: &str = "docs/configuration.md shows a minimal one";
/// What the names of variables begin with.
const PREFIX: &str = "MILLRACE_";
/// The key whose value is the plugin's own: whatever is below it is a key too.
pub(super) const PLUGIN_CONFIG: &str = "plugin.config";

/// Reads the file, and the environment over it.
///
/// # Errors
/// [`SettingsError`]: what does not parse, a newer version, a variable that sets nothing.
pub(super) fn read(path: &Path) -> Result<(File, Figment), SettingsError> {
    let parse = |reason: String| SettingsError::Parse {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| parse(format!("{error}; {A_MINIMAL_ONE}")))?;
    refuse_unknown_variables()?;
    let variables = Env::prefixed(PREFIX)
        .split("__")
        .filter(|key| is_key(&key.as_str().to_lowercase()));
    let figment = Figment::new().merge(Toml::string(&text)).merge(variables);
    // Before anything else is looked at: a newer file may have keys that this build does not know.
    if let Ok(found) = figment.extract_inner::<u32>("version")
        && found > CONFIG_VERSION
    {
        return Err(SettingsError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    let file: File = figment.extract().map_err(|error| parse(describe(&error)))?;
    Ok((file, figment))
}

/// Who misspells a variable must not run a node without it.
fn refuse_unknown_variables() -> Result<(), SettingsError> {
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let key = rest.replace("__", ".").to_lowercase();
        if rest.contains("__") && !is_key(&key) {
            return Err(SettingsError::Variable {
                name: name.to_owned(),
                key,
            });
        }
    }
    Ok(())
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn is_key(key: &str) -> bool {
    let below = key.strip_prefix(PLUGIN_CONFIG);
    KEYS.iter().any(|known| known == key) || below.is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
}

/// Every key of the file, by name; `plugin.config` is one.
pub(super) static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let file = File {
        version: CONFIG_VERSION,
        chain_spec: "".into(),
        data_directory: "".into(),
        plugin: PluginFile {
            path: "".into(),
            blake3: None,
            config: Value::Null,
            patience_ms: 0,
        },
        rpc: RpcFile::default(),
        engine: EngineFile::default(),
        execution: ExecutionFile::default(),
    };
    let mut keys = Vec::new();
    leaves("", &serde_json::to_value(&file).unwrap_or(Value::Null), &mut keys);
    keys.into_iter().map(|(key, _)| key).collect()
});

/// What there is below a value, by dotted keys.
pub(super) fn leaves(key: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                leaves(&key, member, into);
            }
        }
        leaf => into.push((key.to_owned(), leaf.clone())),
    }
}

/// What is wrong with which key, and where it comes from if not from the file.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let what = match &error.kind {
        Kind::MissingField(name) => {
            let place = error.path.iter().map(String::as_str).chain([name.as_ref()]);
            let key = place.collect::<Vec<_>>().join(".");
            format!("`{key}` is missing; {A_MINIMAL_ONE}")
        }
        Kind::UnknownField(_, known) => format!("there is no key `{key}`; there are {}", known.join(", ")),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let expected = match expected.as_str() {
                "u32" | "u64" | "usize" => "a whole number that is not negative",
                "a boolean" => "true or false",
                other => other,
            };
            format!("`{key}` is {found}: allowed is {expected}")
        }
        Kind::UnknownVariant(found, known) => {
            format!("`{key}` is {found:?}: allowed is one of {}", known.join(", "))
        }
        other if key.is_empty() => other.to_string(),
        other => format!("`{key}`: {other}"),
    };
    if is_variable(error.metadata.as_ref()) {
        format!("{what} (from the environment, which goes before the file)")
    } else {
        what
    }
}

/// Whether a value comes from the environment.
pub(super) fn is_variable(metadata: Option<&figment::Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.name.contains("environment"))
}
