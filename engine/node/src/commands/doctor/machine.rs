//! What the system allows: files, address space, memory, cores, clock, perf.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::{Finding, Subject};
use crate::node::settings::default_workers;

/// Files beside connections: ledger, segments of states, the plugin, logs.
const OWN_FILES: u64 = 256;
/// Address space that one guest's memory reserves, whatever it uses of it.
const GUEST_BYTES: u64 = 4 << 30;
/// What the system gives by default: enough for segments of states and native code.
const USUAL_MAPS: u64 = 65_530;
const GOOD_MEMORY_BYTES: u64 = 2 << 30;
const LEAST_MEMORY_BYTES: u64 = 512 << 20;

/// Everything about the machine.
pub(super) fn look(subject: &Subject) -> Vec<Finding> {
    let mut findings = vec![
        open_files(getrlimit(Resource::Nofile).current, subject.max_connections),
        address_space(getrlimit(Resource::As).current, subject),
        overcommit(number("/proc/sys/vm/overcommit_memory")),
        maps(number("/proc/sys/vm/max_map_count")),
        memory(available_memory()),
        cores(subject.workers, default_workers()),
        clock(milliseconds_now(), subject),
    ];
    findings.extend(clock_source(&text(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    )));
    if subject.profiles_with_perf {
        findings.push(perf(text("/proc/sys/kernel/perf_event_paranoid").parse().ok()));
    }
    findings
}

fn text(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    text(path).parse().ok()
}

/// `None`: no limit.
fn open_files(limit: Option<u64>, connections: u32) -> Finding {
    const CHECK: &str = "open files";
    let needed = u64::from(connections) + OWN_FILES;
    match limit {
        None => Finding::ok(CHECK, "no limit"),
        Some(limit) if limit >= needed => Finding::ok(CHECK, format!("{limit} may be open")),
        Some(limit) => Finding::warning(
            CHECK,
            format!("{limit} may be open; {connections} connections and the node's own files are {needed}"),
            format!(
                "raise it (LimitNOFILE={needed} in a unit, `ulimit -n {needed}`), or lower rpc.max_connections"
            ),
        ),
    }
}

fn address_space(limit: Option<u64>, subject: &Subject) -> Finding {
    const CHECK: &str = "address space";
    let guests = subject.workers as u64 + u64::from(subject.max_concurrent_calls);
    let needed = guests.saturating_add(1).saturating_mul(GUEST_BYTES);
    match limit {
        None => Finding::ok(CHECK, "no limit"),
        Some(limit) if limit >= needed => Finding::ok(CHECK, format!("{} GiB", limit >> 30)),
        Some(limit) => Finding::failure(
            CHECK,
            format!(
                "limited to {} GiB; each of {guests} guests that run at once reserves 4 GiB, though it uses little of them",
                limit >> 30
            ),
            "remove the limit (`ulimit -v unlimited`, LimitAS=infinity): limit memory with MemoryMax instead",
        ),
    }
}

fn overcommit(mode: Option<u64>) -> Finding {
    const CHECK: &str = "overcommit";
    match mode {
        Some(2) => Finding::warning(
            CHECK,
            "vm.overcommit_memory is 2: reservations count as memory, and a guest reserves 4 GiB",
            "sysctl vm.overcommit_memory=0, or see that CommitLimit in /proc/meminfo has room for them",
        ),
        Some(mode) => Finding::ok(CHECK, format!("vm.overcommit_memory is {mode}")),
        None => Finding::ok(CHECK, "not known here"),
    }
}

fn maps(most: Option<u64>) -> Finding {
    const CHECK: &str = "memory maps";
    match most {
        Some(most) if most < USUAL_MAPS => Finding::warning(
            CHECK,
            format!("vm.max_map_count is {most}"),
            format!("sysctl vm.max_map_count={USUAL_MAPS}: states and native code are mapped"),
        ),
        Some(most) => Finding::ok(CHECK, format!("vm.max_map_count is {most}")),
        None => Finding::ok(CHECK, "not known here"),
    }
}

/// What the machine has free, or the control group lets this process have, whichever is less.
fn available_memory() -> Option<u64> {
    let meminfo = text("/proc/meminfo");
    let free = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    });
    let group = text("/proc/self/cgroup");
    let group = group
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned);
    let limit = group.and_then(|path| number(&format!("/sys/fs/cgroup{path}/memory.max")));
    match (free, limit) {
        (Some(free), Some(limit)) => Some(free.min(limit)),
        (free, limit) => free.or(limit),
    }
}

fn memory(bytes: Option<u64>) -> Finding {
    const CHECK: &str = "memory";
    let Some(bytes) = bytes else {
        return Finding::ok(CHECK, "not known here");
    };
    let found = format!("{} MiB to be had", bytes >> 20);
    let advice =
        "give it more; engine.retention_blocks and engine.max_speculative_blocks are what can be lowered";
    match bytes {
        0..LEAST_MEMORY_BYTES => Finding::failure(CHECK, found, advice),
        LEAST_MEMORY_BYTES..GOOD_MEMORY_BYTES => Finding::warning(CHECK, found, advice),
        _ => Finding::ok(CHECK, found),
    }
}

fn cores(workers: usize, cores: usize) -> Finding {
    const CHECK: &str = "cores";
    if workers > cores {
        let found = format!("{workers} workers, and {cores} cores for them");
        return Finding::warning(
            CHECK,
            found,
            "lower engine.workers: more than one for each core wait for each other",
        );
    }
    Finding::ok(CHECK, format!("{workers} workers, {cores} cores"))
}

fn clock(now_ms: u64, subject: &Subject) -> Finding {
    const CHECK: &str = "clock";
    match &subject.spec {
        Some(spec) if now_ms < spec.genesis_timestamp_ms => Finding::failure(
            CHECK,
            format!(
                "it is {now_ms} ms since 1970 here, before the chain's genesis ({})",
                spec.genesis_timestamp_ms
            ),
            "set the clock (`timedatectl set-ntp true`): blocks of the future are refused",
        ),
        _ => Finding::ok(CHECK, "after the chain's genesis; keep it with NTP"),
    }
}

/// Nothing where the system does not say.
fn clock_source(name: &str) -> Option<Finding> {
    const CHECK: &str = "clock source";
    match name {
        "" => None,
        "hpet" | "acpi_pm" | "jiffies" => Some(Finding::warning(
            CHECK,
            format!("{name}: reading the time is a slow call of the system"),
            "boot with clocksource=tsc where the processor's is stable",
        )),
        name => Some(Finding::ok(CHECK, name)),
    }
}

fn perf(paranoid: Option<i64>) -> Finding {
    const CHECK: &str = "perf";
    match paranoid {
        Some(level) if level > 2 => Finding::warning(
            CHECK,
            format!("kernel.perf_event_paranoid is {level}: perf sees nothing without privileges"),
            "sysctl kernel.perf_event_paranoid=1 while you profile",
        ),
        Some(level) => Finding::ok(CHECK, format!("kernel.perf_event_paranoid is {level}")),
        None => Finding::ok(CHECK, "not known here"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock is what is looked at")]
fn milliseconds_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Verdict;
    use super::*;

    fn subject() -> Subject {
        Subject {
            data_directory: PathBuf::new(),
            spec: None,
            code_cache: None,
            workers: 2,
            max_connections: 256,
            max_concurrent_calls: 4,
            profiles_with_perf: false,
        }
    }

    #[test]
    fn each_limit_is_judged_by_what_the_node_needs() {
        let subject = subject();
        let judged = [
            (open_files(Some(511), 256), Verdict::Warning),
            (open_files(Some(512), 256), Verdict::Ok),
            (open_files(None, 256), Verdict::Ok),
            (address_space(Some((28 << 30) - 1), &subject), Verdict::Failure),
            (address_space(Some(28 << 30), &subject), Verdict::Ok),
            (address_space(None, &subject), Verdict::Ok),
            (overcommit(Some(2)), Verdict::Warning),
            (overcommit(Some(0)), Verdict::Ok),
            (maps(Some(1_024)), Verdict::Warning),
            (maps(Some(65_530)), Verdict::Ok),
            (memory(Some(1 << 20)), Verdict::Failure),
            (memory(Some(1 << 30)), Verdict::Warning),
            (memory(Some(1 << 34)), Verdict::Ok),
            (memory(None), Verdict::Ok),
            (cores(3, 2), Verdict::Warning),
            (cores(2, 2), Verdict::Ok),
            (perf(Some(3)), Verdict::Warning),
            (perf(Some(-1)), Verdict::Ok),
        ];
        for (finding, expected) in judged {
            assert_eq!(finding.status, expected, "{finding:?}");
            assert_eq!(finding.advice.is_some(), expected != Verdict::Ok, "{finding:?}");
        }
        assert_eq!(
            clock_source("hpet").map(|finding| finding.status),
            Some(Verdict::Warning)
        );
        assert_eq!(
            clock_source("tsc").map(|finding| finding.status),
            Some(Verdict::Ok)
        );
        assert!(clock_source("").is_none());
    }
}
