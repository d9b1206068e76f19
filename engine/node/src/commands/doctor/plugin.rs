//! The consensus plugin, tried in a process of its own ([`super::trial`]): whatever it does there, the doctor goes on.

use std::fmt::Display;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Finding, Verdict};
use crate::node::settings::Settings;

const CHECK: &str = "plugin";
const START: &str = "plugin start";
/// Constructors of a shared object are done at once, or never.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Most bytes that are read of what it says.
const MOST_SAID: u64 = 64 << 10;

/// Why the plugin is not to be started: two with the same key must never run beside each other.
pub(super) fn why_not_to_start<'a>(
    is_running: bool,
    mut others: impl Iterator<Item = &'a Finding>,
) -> Option<Finding> {
    if is_running {
        let found = "not tried, since the node seems to run, which has started it";
        return Some(Finding::ok(START, found));
    }
    // As another user one does not even see that the files are in use.
    let unclear = others.find(|finding| {
        finding.status == Verdict::Failure
            && matches!(finding.check, "data directory" | "ledger" | "states" | "port")
    })?;
    let found = format!(
        "not tried: a node may run with the same key, which cannot be told while the check {:?} fails",
        unclear.check
    );
    let advice = "mend that, and run this again";
    Some(Finding::warning(START, found, advice))
}

/// What became of it in another process, where it is loaded and, unless there is a reason why not, started.
pub(super) fn look(config: &Path, settings: &Settings, why_not: Option<Finding>) -> Vec<Finding> {
    let patience = if why_not.is_some() {
        PATIENCE
    } else {
        // Its start and its stop have as long as the configuration says.
        PATIENCE.saturating_add(settings.plugin_patience.saturating_mul(2))
    };
    let said = match try_elsewhere(config, why_not.is_none(), patience) {
        Ok(said) => said,
        Err(error) => {
            return vec![Finding::failure(
                CHECK,
                format!("loading it: {error}"),
                "run this again",
            )];
        }
    };
    let path = settings.plugin.display();
    let Some(info) = lines_of(&said.output).find(|line| line["blake3"].is_string()) else {
        return vec![fault(CHECK, &path, &said, "loads", "loading", patience)];
    };
    let mut findings = vec![loaded(&path, &info, settings)];
    if let Some(why_not) = why_not {
        findings.push(why_not);
    } else if lines_of(&said.output).any(|line| line["started"] == true)
        && said.status.is_some_and(|status| status.success())
    {
        let found = "it takes plugin.config, starts at the genesis block of this chain, and stops";
        findings.push(Finding::ok(START, found));
    } else {
        findings.push(fault(START, &path, &said, "starts", "start and stop", patience));
    }
    findings
}

/// How it ended that should have gone on. `does` is what the process did, `doing` the same as a noun.
fn fault(
    check: &'static str,
    path: &dyn Display,
    said: &Said,
    does: &str,
    doing: &str,
    patience: Duration,
) -> Finding {
    let Some(status) = said.status else {
        return Finding::failure(
            check,
            format!(
                "{path} does not come back from {doing} in {} s",
                patience.as_secs()
            ),
            "ask its author; a node that starts it would wait without end",
        );
    };
    let advice = "ask its author; a node that loads it would end too";
    if status.success() {
        let found = format!("{path} ends the process that {does} it, in order ({status})");
        return Finding::failure(check, found, advice);
    }
    // The last words are the command's own; what comes before may be the plugin's.
    let errors = format!("\n{}", said.errors);
    match errors
        .rsplit_once("\nmillrace: ")
        .map(|(_, message)| message.trim())
    {
        Some(message) if status.code() == Some(1) => Finding::of_error(check, &message),
        _ => Finding::failure(
            check,
            format!(
                "{path} ends the process that {does} it ({status}): {}",
                said.errors.trim()
            ),
            advice,
        ),
    }
}

/// What [`super::trial`] said, among what the plugin itself printed before and after.
fn lines_of(output: &str) -> impl Iterator<Item = Value> {
    output
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn loaded(path: &dyn Display, info: &Value, settings: &Settings) -> Finding {
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

fn try_elsewhere(config: &Path, starts: bool, patience: Duration) -> std::io::Result<Said> {
    // Files, which take all that it says, read or not.
    let (output, errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "doctor",
            if starts { "--start-plugin" } else { "--load-plugin" },
            "--config",
        ])
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
        if waited >= patience {
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
