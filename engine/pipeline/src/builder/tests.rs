use super::*;
use crate::testing::spec;

fn chain(k: u64, age: u64) -> ChainSpec {
    ChainSpec {
        max_receipt_lag: k,
        receipt_age: age,
        ..spec()
    }
}

fn settled(height: u64, parent_settled: u64, executed: u64, k: u64, age: u64) -> Result<u64, NotNow> {
    settle(height, parent_settled, executed, &chain(k, age)).map(|settling| settling.to)
}

#[test]
fn everything_executed_and_of_age_is_settled() {
    assert_eq!(settled(10, 7, 9, 4, 1), Ok(9));
    assert_eq!(settled(10, 7, 8, 4, 1), Ok(8));
    assert_eq!(settled(10, 7, 9, 4, 2), Ok(8));
    assert_eq!(
        settled(10, 7, 7, 4, 1),
        Ok(7),
        "nothing new is executed, and the lag allows it"
    );
}

#[test]
fn at_the_lag_limit_there_is_no_block_until_execution_moves() {
    assert_eq!(settled(10, 6, 6, 4, 1), Ok(6));
    assert_eq!(
        settled(11, 6, 6, 4, 1),
        Err(NotNow::LagLimit {
            needed: 7,
            executed: 6
        })
    );
    assert_eq!(settled(11, 6, 7, 4, 1), Ok(7));
    assert_eq!(
        settled(2, 0, 0, 1, 1),
        Err(NotNow::LagLimit {
            needed: 1,
            executed: 0
        })
    );
    assert_eq!(settled(2, 0, 1, 1, 1), Ok(1));
}

#[test]
fn the_first_block_settles_nothing() {
    assert_eq!(settled(1, 0, 0, 1, 1), Ok(0));
    assert_eq!(settled(1, 0, 0, 4, 2), Ok(0));
}

fn empty(from: u64, to: u64, executed: u64, last_non_empty: u64) -> Settling {
    assert!(last_non_empty < 100);
    Settling { from, to, executed }
}

#[test]
fn an_idle_chain_goes_on_until_the_last_non_empty_block_is_settled() {
    let unsettled = empty(8, 8, 9, 8);
    assert_eq!(check_empty(10, &unsettled, 8, false, false), Ok(()));
    let done = empty(9, 9, 9, 8);
    assert_eq!(check_empty(10, &done, 8, false, false), Err(NotNow::Idle));
    assert_eq!(
        check_empty(10, &done, 8, false, true),
        Ok(()),
        "unless an empty block is wanted"
    );
}

#[test]
fn an_idle_chain_waits_for_execution_and_ages_with_empty_blocks() {
    let not_executed = empty(8, 7, 7, 8);
    assert_eq!(
        check_empty(10, &not_executed, 8, false, false),
        Err(NotNow::AwaitingExecution { height: 8 })
    );
    let too_young = empty(8, 7, 8, 8);
    assert_eq!(check_empty(10, &too_young, 8, false, false), Ok(()));
}

#[test]
fn under_pressure_an_empty_block_must_bring_relief() {
    let two = Settling {
        from: 7,
        to: 8,
        executed: 8,
    };
    assert_eq!(check_empty(10, &two, 20, true, false), Ok(()));
    let one = Settling {
        from: 8,
        to: 8,
        executed: 8,
    };
    assert_eq!(
        check_empty(10, &one, 20, true, false),
        Err(NotNow::NothingToSettle { next: 8 })
    );
    let one_and_all = Settling {
        from: 9,
        to: 9,
        executed: 9,
    };
    assert_eq!(check_empty(10, &one_and_all, 20, true, false), Ok(()));
    let nothing = Settling {
        from: 8,
        to: 7,
        executed: 7,
    };
    assert_eq!(
        check_empty(10, &nothing, 20, true, true),
        Err(NotNow::NothingToSettle { next: 8 })
    );
}
