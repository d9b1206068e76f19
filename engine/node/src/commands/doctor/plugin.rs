//! The consensus plugin, loaded in a process of its own: whatever it does there, the doctor goes on.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use millrace_plugin_host::{PluginHandle, PluginSpec};
use millrace_types::Hash;
use serde_json::{Value, json};

use super::Finding;
use crate::commands::print_json;
use crate::failure::Failure;
use crate::node::settings::{Flags, Settings};

const CHECK: &str = "plugin";
/// Constructors of a shared object are done at once, or never.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Most bytes that are read of what it says.
const MOST_SAID: u64 = 64 << 10;

/// In the process that the plugin is loaded in: loads it and says what it is.
///
/// # Errors
/// Whatever is wrong with it.
pub(super) fn load(config: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let settings = Settings::read(config, Flags::default()).map_err(|error| failed(&error))?;
    let plugin = PluginHandle::load(PluginSpec {
        path: settings.plugin,
        pin: settings.plugin_pin,
        consensus_id: Some(settings.spec.consensus.id),
        patience: settings.plugin_patience,
    })
    .map_err(|error| failed(&error))?;
    let info = plugin.info();
    // The plugin may have printed half a line.
    println!();
    print_json(&json!({
        "consensus_id": info.consensus_id,
        "version": info.version,
        "abi": format!("{}.{}", info.abi.0, info.abi.1),
        "blake3": Hash(info.blake3),
    }));
    Ok(())
}

/// Loads it in another process.
pub(super) fn look(config: &Path, settings: &Settings) -> Finding {
    let said = match load_elsewhere(config) {
        Ok(said) => said,
        Err(error) => return Finding::failure(CHECK, format!("loading it: {error}"), "run this again"),
    };
    let path = settings.plugin.display();
    match said {
        Said {
            status: Some(status),
            output,
            ..
        } if status.success() => match description(&output) {
            Some(info) => loaded(&path, &info, settings),
            None => Finding::failure(
                CHECK,
                format!("{path} ends the process that loads it, in order ({status}), before it is loaded"),
                "ask its author; a node that loads it would end too",
            ),
        },
        Said { status: None, .. } => Finding::failure(
            CHECK,
            format!(
                "{path} was not loaded in {} s: it does not return from loading",
                PATIENCE.as_secs()
            ),
            "ask its author; a constructor of a shared object must not wait",
        ),
        Said {
            errors,
            status: Some(status),
            ..
        } => match errors.lines().find_map(|line| line.strip_prefix("millrace: ")) {
            Some(message) => Finding::of_error(CHECK, &message),
            None => Finding::failure(
                CHECK,
                format!(
                    "{path} ends the process that loads it ({status}): {}",
                    errors.trim()
                ),
                "ask its author; a node that loads it would end too",
            ),
        },
    }
}

/// What [`load`] said, among what the plugin itself printed before and after.
fn description(output: &str) -> Option<Value> {
    let mut lines = output.lines().rev().map(serde_json::from_str::<Value>);
    lines.find_map(|line| line.ok().filter(|line| line["blake3"].is_string()))
}

fn loaded(path: &dyn std::fmt::Display, info: &Value, settings: &Settings) -> Finding {
    let field = |name: &str| info[name].as_str().unwrap_or("?").to_owned();
    let found = format!(
        "{path} loads: {} {}, ABI {}",
        field("consensus_id"),
        field("version"),
        field("abi")
    );
    if settings.plugin_pin.is_some() {
        return Finding::ok(CHECK, format!("{found}, and is the pinned file"));
    }
    Finding::ok(
        CHECK,
        format!("{found}; to pin it: blake3 = \"{}\"", field("blake3")),
    )
}

struct Said {
    /// `None`: it had to be ended.
    status: Option<ExitStatus>,
    output: String,
    errors: String,
}

fn load_elsewhere(config: &Path) -> std::io::Result<Said> {
    // Files, which take all that it says, read or not.
    let (output, errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = Command::new(std::env::current_exe()?)
        .args(["doctor", "--load-plugin", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?)
        .spawn()?;
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if waited >= PATIENCE {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(POLL);
        waited += POLL;
    };
    Ok(Said {
        status,
        output: said(output)?,
        errors: said(errors)?,
    })
}

fn said(mut file: std::fs::File) -> std::io::Result<String> {
    // The end is what says how it ended.
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_SAID)))?;
    let mut text = Vec::new();
    file.take(MOST_SAID).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
