//! The computer that figures belong to, by model, never by name; and its clock.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

fn cpu_info(key: &str) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Time that this thread has spent on a CPU: other work on the machine disturbs it less than it disturbs a clock.
///
/// # Panics
/// Never: the kernel's answer is not negative.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("CPU time is not negative")
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
