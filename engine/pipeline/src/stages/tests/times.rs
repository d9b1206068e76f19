//! What is told of how long stages took, with the test itself as worker, journal and keeper.

use std::sync::Mutex;

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use millrace_executor::on_large_stack;

use super::*;
use crate::keeper;
use crate::timing::TIMED_STAGES;

/// Seconds of each stage, in the order of [`TIMED_STAGES`].
#[derive(Clone, Default)]
struct Times([Arc<Seconds>; 4]);

#[derive(Default)]
struct Seconds(Mutex<Vec<f64>>);

impl HistogramFn for Seconds {
    fn record(&self, value: f64) {
        self.0.lock().expect("no panic").push(value);
    }
}

impl Times {
    fn of(&self, stage: &str) -> Vec<f64> {
        let at = TIMED_STAGES.iter().position(|name| *name == stage);
        self.0[at.expect("a stage")].0.lock().expect("no panic").clone()
    }

    fn counts(&self) -> [usize; 4] {
        TIMED_STAGES.map(|stage| self.of(stage).len())
    }
}

impl Recorder for Times {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        assert_eq!(key.name(), "millrace_stage_seconds");
        let label = key.labels().next().expect("one label");
        assert_eq!(label.key(), "stage");
        let at = TIMED_STAGES.iter().position(|name| *name == label.value());
        Histogram::from_arc(Arc::clone(&self.0[at.expect("a stage")]))
    }
}

impl Pool {
    /// Everything that waits, one part after the other, on this thread.
    fn work_and_keep(&mut self, worker: &Worker) {
        let ring = self.workshop.ring.clone();
        // A task comes to its last stage when the one before has left it.
        while ring.in_flight() > 0 {
            self.workshop.work_until(worker, &|| !ring.has_work(&Stage::ALL));
            self.workshop.journal.push(Entry::Close);
            let entries = self.entries.take().expect("once").open();
            let (keeper, claims) = Keeper::queue();
            journal::run(&self.ledger, &keeper, &entries, &self.workshop.inputs);
            drop(keeper);
            keeper::run(&self.workshop.store, &claims.open(), &self.workshop.inputs);
            let (journal, entries) = Journal::queue();
            (self.workshop.journal, self.entries) = (journal, Some(entries));
        }
    }
}

#[test]
fn each_stage_of_a_block_is_timed_once() {
    on_large_stack(&testing::spec(), || {
        const SLOW: Duration = Duration::from_millis(20);
        let mut pool = Pool::at_rest();
        pool.workshop.slow_execution = SLOW;
        let worker = pool.workshop.ring.register().expect("few workers");
        let times = Times::default();
        metrics::with_local_recorder(&times, || {
            let (_, first) = pool.publish(Purpose::Final);
            let (_, second) = pool.publish(Purpose::Final);
            pool.work_and_keep(&worker);
            assert!(first.is_durable() && second.is_durable());
            assert_eq!(times.counts(), [2; 4]);
            let executed = times.of("execute");
            assert!(executed.iter().all(|seconds| *seconds >= SLOW.as_secs_f64()));
            // Speculated on, then head, then final: what one task has done the next one passes by.
            let block = Arc::new(pool.next(Vec::new()));
            let written = pool.ledger.commit(Batch::new().block(Arc::clone(&block)));
            written.expect("bodies come first");
            let work = Arc::new(Work::default());
            for (purpose, counts) in [
                (Purpose::Speculation, [3, 3, 2, 2]),
                (Purpose::Head, [3, 3, 3, 2]),
                (Purpose::Final, [3, 3, 3, 3]),
            ] {
                let published = pool.publisher.publish(BlockTask {
                    hash: block.hash(),
                    block: Arc::clone(&block),
                    purpose,
                    work: Arc::clone(&work),
                });
                published.expect("the ring has room");
                pool.work_and_keep(&worker);
                assert_eq!(times.counts(), counts, "{purpose:?}");
            }
        });
        assert!(
            TIMED_STAGES
                .iter()
                .all(|stage| times.of(stage).iter().all(|seconds| *seconds >= 0.0))
        );
    })
    .expect("a thread");
}
