//! Where values come from: the file, and the environment over it.
//!
//! Every key can be set as `MILLRACE_SECTION__KEY`. The variables of the command line (`MILLRACE_RPC`, `MILLRACE_LOG`, ...)
//! have no `__` and are no keys, so that neither is taken for the other.

use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use serde_json::Value;

use super::{CONFIG_VERSION, EngineFile, ExecutionFile, File, PluginFile, RpcFile, SettingsError};

const A_MINIMAL_ONE: &str = "docs/configuration.md shows a minimal one";
/// Most bytes of a file; a long one has some 2 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;
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
    let text = read_bounded(path).map_err(|error| parse(format!("{error}; {A_MINIMAL_ONE}")))?;
    refuse_unknown_variables()?;
    let variables = Env::prefixed(PREFIX)
        .split("__")
        .filter(|key| is_key(&key.as_str().to_lowercase()));
    let figment = Figment::new().merge(Toml::string(&text)).merge(variables);
    // Before anything else is looked at: a newer file may have keys that this build does not know.
    if let Ok(found) = figment.extract_inner::<u64>("version")
        && found > u64::from(CONFIG_VERSION)
    {
        return Err(SettingsError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    let file: File = figment.extract().map_err(|error| parse(describe(&error)))?;
    Ok((file, figment))
}

/// A path may name what has no end.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let what = format!("it has more than {MAX_FILE_BYTES} bytes, and is no configuration");
        return Err(std::io::Error::other(what));
    }
    Ok(text)
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
                let name = key_part(name);
                let key = if key.is_empty() {
                    name
                } else {
                    format!("{key}.{name}")
                };
                leaves(&key, member, into);
            }
        }
        leaf => into.push((key.to_owned(), leaf.clone())),
    }
}

/// A part of a dotted key as a file has it: in quotes, unless it is a plain word.
pub(super) fn key_part(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A text as a file has it.
pub(super) fn quoted(text: &str) -> String {
    // TOML's escapes are those of JSON; one more character has to be escaped.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// The parser's message without the lines of the file that it quotes: these may hold a secret, and messages end in logs.
fn without_quotations(message: &str) -> String {
    let is_quotation = |line: &str| {
        let number = line.split_once('|').map(|(number, _)| number.trim());
        number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    };
    let said: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_quotation(line))
        .collect();
    match said.split_first() {
        Some((place, what)) if !what.is_empty() => format!("{place}: {}", what.join(", ")),
        _ => said.concat(),
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
        other if key.is_empty() => without_quotations(&other.to_string()),
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
