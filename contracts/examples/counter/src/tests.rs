use millrace_contract::Address;
use millrace_contract::mock::{Log, Mock};

use super::counter::dispatch;

const ALICE: Address = Address([0xa1; 32]);

fn deployed() -> (Mock, Address) {
    let mut mock = Mock::new();
    let counter = mock
        .deploy(ALICE, dispatch, 0, &[])
        .expect("the initialiser takes no input");
    (mock, counter)
}

fn add(n: u64) -> Vec<u8> {
    [&[0x02][..], &n.to_le_bytes()].concat()
}

#[test]
fn increments_and_additions_add_up_and_are_returned_stored_and_logged() {
    let (mut mock, counter) = deployed();
    assert_eq!(
        mock.call(ALICE, counter, 0, &[0x10]),
        Ok(0_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.call(ALICE, counter, 0, &[0x01]),
        Ok(1_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.call(ALICE, counter, 0, &add(41)),
        Ok(42_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.call(ALICE, counter, 0, &[0x10]),
        Ok(42_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.storage(&counter, b"count"),
        Some(42_u64.to_le_bytes().to_vec())
    );
    let log = |count: u64| Log {
        contract: counter,
        topics: vec![*b"advanced\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"],
        data: count.to_le_bytes().to_vec(),
    };
    assert_eq!(mock.take_logs(), [log(1), log(42)]);
}

#[test]
fn an_overflow_reverts_and_leaves_the_count() {
    let (mut mock, counter) = deployed();
    mock.call(ALICE, counter, 0, &add(u64::MAX)).expect("fits");
    assert_eq!(
        mock.call(ALICE, counter, 0, &[0x01]).unwrap_err().message(),
        "Overflow"
    );
    assert_eq!(
        mock.call(ALICE, counter, 0, &[0x10]),
        Ok(u64::MAX.to_le_bytes().to_vec())
    );
}

#[test]
fn malformed_inputs_are_refused_by_name() {
    let (mut mock, counter) = deployed();
    for (input, message) in [
        (&[][..], "the input ends inside an argument"),
        (&[0x02, 1, 2, 3], "the input ends inside an argument"),
        (&[0x01, 0], "the input has bytes after its last argument"),
        (&[0x04], "unknown selector"),
    ] {
        assert_eq!(
            mock.call(ALICE, counter, 0, input).unwrap_err().message(),
            message,
            "{input:?}"
        );
    }
    assert!(
        mock.deploy(ALICE, dispatch, 0, &[0]).is_err(),
        "the initialiser takes no input"
    );
}

#[test]
fn value_is_not_locked_up() {
    let (mut mock, counter) = deployed();
    mock.fund(ALICE, 5);
    assert_eq!(
        mock.call(ALICE, counter, 5, &[0x01]).unwrap_err().message(),
        "this function takes no value"
    );
    assert_eq!(mock.balance(&ALICE), 5);
}

#[test]
fn a_tally_adds_up_apart_from_the_count() {
    let (mut mock, counter) = deployed();
    for n in [5_u64, u64::MAX, 0] {
        let input = [&[0x03][..], &n.to_le_bytes()].concat();
        assert_eq!(mock.call(ALICE, counter, 0, &input), Ok(Vec::new()));
    }
    let sum = (u128::from(u64::MAX) + 5).to_le_bytes().to_vec();
    assert_eq!(mock.call(ALICE, counter, 0, &[0x11]), Ok(sum));
    assert_eq!(mock.call(ALICE, counter, 0, &[0x10]), Ok(vec![0; 8]));
    assert_eq!(mock.take_logs(), []);
}
