use super::*;

/// For the model of `core/relief`.
impl Ladder {
    /// All that decides what comes next: the rung, the lag that entered it, empty blocks in vain, whether the newest block
    /// had transactions, what blocks take.
    pub(crate) fn memory(&self) -> (Rung, u64, u64, bool, u64) {
        let Self {
            bounds: _,
            rung,
            entered_at_lag,
            service_ms,
            empties,
            was_full,
        } = *self;
        (rung, entered_at_lag, empties, was_full, service_ms)
    }

    /// Blocks take so long, whatever they took.
    pub(crate) fn set_service_ms(&mut self, took_ms: u64) {
        self.service_ms = took_ms;
    }
}

fn bounds(k: u64, age: u64) -> Bounds {
    Bounds {
        max_receipt_lag: k,
        receipt_age: age,
        block_gas: 1 << 20,
        block_bytes: 1 << 16,
        block_transactions: 100,
        transaction_gas: 1 << 16,
        least_block_bytes: 1 << 13,
        delay_ms: 250,
    }
}

fn rungs(k: u64, age: u64, lags: &[u64]) -> Vec<Rung> {
    let mut ladder = Ladder::new(bounds(k, age));
    lags.iter().map(|lag| ladder.observe(0, *lag)).collect()
}

const ONE: Rung = Rung::Shrink { steps: 1 };

#[test]
fn the_usual_lag_of_an_overlapped_pipeline_is_free_of_pressure() {
    assert_eq!(rungs(4, 1, &[0, 1, 2, 1, 2]), [Rung::Open; 5]);
    assert_eq!(rungs(2, 1, &[0, 1, 2]), [Rung::Open; 3]);
    assert_eq!(rungs(1, 1, &[0, 1]), [Rung::Open; 2]);
}

#[test]
fn pressure_climbs_as_the_lag_nears_k() {
    let two = Rung::Shrink { steps: 2 };
    // No room for more rungs: execution alone can be further behind.
    assert_eq!(rungs(4, 1, &[2, 3, 4, 5]), [Rung::Open, ONE, two, Rung::Empty]);
    assert_eq!(rungs(6, 1, &[3, 4, 5, 6]), [ONE, two, Rung::Delay, Rung::Empty]);
    let four = Rung::Shrink { steps: 4 };
    assert_eq!(
        rungs(10, 1, &[2, 3, 4, 6, 7, 8, 9, 10]),
        [
            Rung::Open,
            ONE,
            two,
            four,
            Rung::Delay,
            Rung::Delay,
            Rung::Empty,
            Rung::Empty
        ]
    );
}

#[test]
fn the_worse_of_execution_and_settlement_counts() {
    let mut ladder = Ladder::new(bounds(6, 1));
    assert_eq!(ladder.observe(6, 1), Rung::Empty);
    let mut ladder = Ladder::new(bounds(6, 1));
    assert_eq!(ladder.observe(1, 6), Rung::Empty);
}

#[test]
fn a_rung_is_left_only_when_the_lag_has_fallen_by_the_hysteresis() {
    // Entered at 10; 9 is not far enough below, 8 is.
    assert_eq!(
        rungs(12, 1, &[10, 9, 10, 9, 8]),
        [Rung::Empty, Rung::Empty, Rung::Empty, Rung::Empty, Rung::Delay]
    );
}

#[test]
fn at_the_usual_lag_the_ladder_opens_whatever_came_before() {
    for k in 1..20 {
        for age in 1..=k {
            let mut ladder = Ladder::new(bounds(k, age));
            ladder.observe(1000, k);
            assert_eq!(
                ladder.observe(0, bounds(k, age).usual_lag()),
                Rung::Open,
                "K {k}, age {age}"
            );
        }
    }
}

#[test]
fn limits_shrink_but_never_below_one_largest_transaction() {
    for lag in 0..64 {
        let mut ladder = Ladder::new(bounds(40, 2));
        ladder.observe(0, lag);
        let allowance = ladder.allowance();
        assert!(allowance.max_gas >= 1 << 16 && allowance.max_gas <= 1 << 20);
        assert!(allowance.max_bytes >= 1 << 13 && allowance.max_bytes <= 1 << 16);
        assert_eq!(allowance.max_transactions == 0, ladder.rung() == Rung::Empty);
    }
}

#[test]
fn levels_grow_with_the_rungs() {
    let mut last = None;
    for lag in 0..=40 {
        let rung = Ladder::new(bounds(40, 1)).observe(0, lag);
        assert!(last <= Some((rung, rung.level())));
        last = Some((rung, rung.level()));
    }
}

#[test]
fn no_lag_overflows() {
    let mut ladder = Ladder::new(Bounds {
        max_receipt_lag: u64::MAX,
        receipt_age: u64::MAX - 5,
        ..bounds(1, 1)
    });
    ladder.observe(u64::MAX, u64::MAX);
    ladder.observe(0, 0);
    assert_eq!(ladder.rung(), Rung::Open);
}

#[test]
fn delayed_blocks_are_a_quarter_further_apart_than_blocks_take() {
    let mut ladder = Ladder::new(bounds(12, 1));
    ladder.observe(0, 10);
    assert_eq!(
        ladder.allowance().min_interval_ms,
        250,
        "as configured, before the first block"
    );
    for _ in 0..40 {
        ladder.note_service(800);
    }
    assert_eq!(ladder.allowance().min_interval_ms, 1_000);
    for _ in 0..40 {
        ladder.note_service(8);
    }
    assert!(
        (8..=14).contains(&ladder.allowance().min_interval_ms),
        "a fast chain is not held up"
    );
    ladder.note_service(u64::MAX);
    assert_eq!(ladder.allowance().min_interval_ms, MAX_PACE_MS);
}

#[test]
fn empty_blocks_that_do_not_help_give_way_to_transactions() {
    let mut ladder = Ladder::new(bounds(6, 1));
    for n in 0..6 {
        assert_eq!(ladder.observe(6, 6), Rung::Empty, "after {n} empty blocks");
        ladder.note_proposed(true);
    }
    assert_eq!(ladder.observe(6, 6), Rung::Delay);
    assert!(ladder.allowance().max_transactions > 0);
    assert_eq!(
        ladder.observe(6, 6),
        Rung::Delay,
        "and it stays so while the lag does"
    );
    ladder.note_proposed(false);
    assert_eq!(ladder.observe(2, 2), Rung::Open);
    assert_eq!(ladder.observe(6, 6), Rung::Empty, "a new climb starts afresh");
}

/// Others raise the lag again as often as an empty block has lowered it.
#[test]
fn empty_blocks_that_help_for_a_moment_only_give_way_too() {
    let mut ladder = Ladder::new(bounds(6, 1));
    for n in 0..6 {
        assert_eq!(ladder.observe(6, 6), Rung::Empty, "after {n} empty blocks");
        ladder.note_proposed(true);
        assert_eq!(ladder.observe(2, 2), Rung::Open);
    }
    assert_eq!(ladder.observe(6, 6), Rung::Delay);
}
