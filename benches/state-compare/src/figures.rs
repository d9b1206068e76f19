//! Samples, what is printed of them, and the file that keeps them; the clock and the disk.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use millrace_benches::{host, report};
use rustix::fs::Advice;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Quantiles that are kept where there are too many samples to keep.
const QUANTILES: usize = 200;

/// Times of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds many.
    pub fn extend(&mut self, times: impl IntoIterator<Item = Duration>) {
        self.0.extend(times);
    }

    /// The sample below which this share of the others lies.
    ///
    /// # Panics
    /// If there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * share).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// The middle one.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// The median over another's.
    pub fn over(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }

    /// Median, 99th percentile and the samples, in their order; quantiles where those are too many.
    pub fn json(&self) -> Value {
        let nanoseconds = |time: &Duration| u64::try_from(time.as_nanos()).expect("nothing takes 500 years");
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let mut json = json!({
            "samples": self.0.len(),
            "median_ns": nanoseconds(&self.median()),
            "p99_ns": nanoseconds(&self.quantile(0.99)),
        });
        if self.0.len() <= QUANTILES {
            json["samples_ns"] = self.0.iter().map(nanoseconds).collect();
        } else {
            let ranks = (0..=QUANTILES).map(|i| i * (sorted.len() - 1) / QUANTILES);
            json["quantiles_ns"] = ranks.map(|rank| nanoseconds(&sorted[rank])).collect();
        }
        json
    }
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long something took, by the clock, and what it gave.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Time that all threads of this process have spent on a CPU: other work on the machine disturbs it less than the clock.
///
/// # Panics
/// Never: the kernel's answer is not negative.
pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("CPU time is not negative")
}

/// Bytes in a directory's files, as they take room on the disk.
pub fn directory_bytes(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}

/// Has the system forget what it holds in memory of a directory's files, which nobody may have mapped.
pub fn drop_cached(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        // Only what is on the disk already is dropped.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Bytes that this process had written to the disk so far.
pub fn written_bytes() -> Result<u64> {
    let counters = fs::read_to_string("/proc/self/io")?;
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("the kernel counts what processes write")?.parse()?)
}

/// Processes that wanted a core: in the last minute, the last five, the last fifteen.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Writes figures with the machine, and what was asked for, to `benches/results/NAME.json`.
pub fn save(name: &str, what: &str, load_before: &str, figures: &Value) {
    let everything = json!({
        "what": what,
        "machine": host::describe(),
        "load": { "before": load_before, "after": load() },
        "figures": figures,
    });
    let path = report::save_json(name, &everything);
    println!("written to {}", path.display());
}
