//! Clocks: time, and the processor's time of a thread or of all of them.

use std::num::NonZeroUsize;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Time since some moment before this process.
pub fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// Processor time of all threads together.
pub fn cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// Keeps the processor busy until this thread has had so much of its time, however long that takes.
pub fn burn(time: Duration) {
    let end = read(ClockId::ThreadCPUTime) + time;
    while read(ClockId::ThreadCPUTime) < end {
        // Asking for the time is a call of the system: not more often than every few microseconds.
        (0..500).for_each(|_| std::hint::spin_loop());
    }
}

/// Cores that this process may use.
#[expect(
    clippy::disallowed_methods,
    reason = "figures are told beside the number of cores; no result depends on it"
)]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The processor by name, as far as the system tells.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("an unnamed processor", |name| {
        name.trim_start_matches([' ', '\t', ':'])
    })
    .to_owned()
}

/// Memory of this process that is in use, in MiB.
pub fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * rustix::param::page_size() as f64 / f64::from(1 << 20)
}
