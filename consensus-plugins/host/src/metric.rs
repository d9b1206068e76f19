//! A plugin's metrics, on their way to the node's recorder.

use std::sync::PoisonError;

use millrace_plugin_abi::host::{METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM};

use crate::shared::Shared;

/// Different names per plugin at most: every one costs the node memory for ever.
const MAX_NAMES: usize = 128;
const MAX_NAME_BYTES: usize = 64;

/// Records a value under `millrace_plugin_NAME`, labelled with the plugin's id, or says why not.
pub fn record(shared: &Shared, kind: u32, name: String, value: f64) -> Result<(), &'static str> {
    let well_formed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(well_formed) {
        return Err("a metric's name has 1 to 64 bytes of a-z, 0-9 and _");
    }
    if !value.is_finite() {
        return Err("a metric's value is finite");
    }
    match kind {
        METRIC_COUNTER if value < 0.0 => return Err("a counter only grows"),
        METRIC_COUNTER | METRIC_GAUGE | METRIC_HISTOGRAM => {}
        _ => return Err("no such kind of metric"),
    }
    let full_name = format!("millrace_plugin_{name}");
    count_name(shared, name)?;
    let plugin = shared.info().consensus_id.clone();
    match kind {
        METRIC_COUNTER => metrics::counter!(full_name, "plugin" => plugin).increment(value as u64),
        METRIC_GAUGE => metrics::gauge!(full_name, "plugin" => plugin).set(value),
        _ => metrics::histogram!(full_name, "plugin" => plugin).record(value),
    }
    Ok(())
}

fn count_name(shared: &Shared, name: String) -> Result<(), &'static str> {
    let mut names = shared.metric_names.lock().unwrap_or_else(PoisonError::into_inner);
    if names.len() == MAX_NAMES && !names.contains(&name) {
        return Err("the plugin has 128 metrics already");
    }
    names.insert(name);
    Ok(())
}
