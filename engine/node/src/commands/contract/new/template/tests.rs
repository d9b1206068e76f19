use millrace_contract::Address;
use millrace_contract::mock::Mock;

use super::counter::dispatch;

const OWNER: Address = Address([0xa1; 32]);
const STRANGER: Address = Address([0xb2; 32]);

/// A world in which the contract is deployed with this count.
fn deployed(start: u64) -> (Mock, Address) {
    let mut mock = Mock::new();
    let contract = mock
        .deploy(OWNER, dispatch, 0, &start.to_le_bytes())
        .expect("the initialiser takes a number");
    (mock, contract)
}

fn add(n: u64) -> Vec<u8> {
    [&[0x01][..], &n.to_le_bytes()].concat()
}

#[test]
fn anyone_advances_the_count() {
    let (mut mock, contract) = deployed(40);
    assert_eq!(
        mock.call(STRANGER, contract, 0, &add(2)),
        Ok(42_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.call(STRANGER, contract, 0, &[0x10]),
        Ok(42_u64.to_le_bytes().to_vec())
    );
    assert_eq!(
        mock.storage(&contract, b"count"),
        Some(42_u64.to_le_bytes().to_vec())
    );
    let logs = mock.take_logs();
    assert_eq!(logs.len(), 1);
    assert_eq!(&logs[0].topics[0][..9], b"advanced\0");
    assert_eq!(logs[0].data, 42_u64.to_le_bytes());
}

#[test]
fn the_owner_alone_resets() {
    let (mut mock, contract) = deployed(7);
    let refused = mock.call(STRANGER, contract, 0, &[0x02]).unwrap_err();
    assert_eq!(refused.message(), "NotTheOwner");
    assert_eq!(mock.call(OWNER, contract, 0, &[0x02]), Ok(Vec::new()));
    assert_eq!(mock.call(STRANGER, contract, 0, &[0x10]), Ok(vec![0; 8]));
}

#[test]
fn an_overflow_reverts_and_leaves_the_count() {
    let (mut mock, contract) = deployed(u64::MAX);
    let refused = mock.call(STRANGER, contract, 0, &add(1)).unwrap_err();
    assert_eq!(refused.message(), "Overflow");
    assert_eq!(
        mock.call(STRANGER, contract, 0, &[0x10]),
        Ok(u64::MAX.to_le_bytes().to_vec())
    );
}
