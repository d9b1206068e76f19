//! The computer that figures belong to, by model, never by name.

use serde_json::{Value, json};

fn cpu_info(key: &str) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// CPU model, cores, kernel.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a description for people")]
pub fn describe() -> Value {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpu": cpu_info("model name"),
        "cpu_family": cpu_info("cpu family"),
        "cpu_model": cpu_info("model\t"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "virtual": cpu_info("flags").split(' ').any(|flag| flag == "hypervisor"),
    })
}
