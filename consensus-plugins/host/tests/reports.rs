//! What operators see: a plugin's log lines and metrics, refused calls, and calls that do not return.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder as MetricsRecorder, SharedString,
    Unit,
};
use millrace_plugin_host::{PluginHandle, PluginSpec};
use support::{Recorder, cdylib, chain, eventually, spec};

/// The text of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn has(&self, parts: &[&str]) -> bool {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

/// Counters by key.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<Vec<String>>>);

struct Counting(Counters, String);

impl CounterFn for Counting {
    fn increment(&self, value: u64) {
        self.0.0.lock().unwrap().push(format!("{} +{value}", self.1));
    }
    fn absolute(&self, _value: u64) {}
}

impl MetricsRecorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: String = key
            .labels()
            .map(|label| format!("{{{}={}}}", label.key(), label.value()))
            .collect();
        Counter::from_arc(Arc::new(Counting(
            self.clone(),
            format!("{}{labels}", key.name()),
        )))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn logs_metrics_and_hangs_reach_the_operator() {
    let (log, counters) = (Log::default(), Counters::default());
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    metrics::set_global_recorder(counters.clone()).unwrap();

    let path = cdylib("millrace-plugin-misbehaving");
    let handle = PluginHandle::load(PluginSpec {
        patience: Duration::from_millis(40),
        ..spec(&path)
    })
    .unwrap();
    let engine = Arc::new(Recorder::default());
    handle.start(engine.clone(), chain("sleep")).unwrap();
    assert_eq!(
        *counters.0.lock().unwrap(),
        ["millrace_plugin_starts{plugin=misbehaving/1} +1"]
    );
    handle.credit(1, 1);
    eventually("the hang is reported", || {
        log.has(&[
            "ERROR",
            "the consensus plugin does not return",
            "misbehaving/1",
            "deliver(credit)",
        ])
    });
    eventually("its end is reported", || {
        log.has(&["WARN", "the consensus plugin has returned", "deliver(credit)"])
    });
    handle.stop(Duration::from_secs(10)).unwrap();
    assert!(
        log.has(&[
            "INFO",
            "millrace_plugin",
            "stopping within",
            "plugin=misbehaving/1"
        ]),
        "the plugin's own words"
    );

    let failing = PluginHandle::load(spec(&path)).unwrap();
    failing.start(engine, chain("panic in deliver(work)")).unwrap();
    failing.work();
    eventually("the panic is reported", || {
        log.has(&[
            "ERROR",
            "panicked in deliver(work): told to panic in deliver(work)",
            "until the node is restarted",
        ])
    });
}
