//! Frames on the host in memory: calls between contracts, creation, value, what a revert undoes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use millrace_contract::host::{self, CallError, Status};
use millrace_contract::mock::Mock;
use millrace_contract::storage::{Blob, Item, Map};
use millrace_contract::{Address, Revert, contract};

const ALICE: Address = Address([0xa1; 32]);

/// A contract that does to others what it is told.
#[contract]
mod agent {
    use super::*;

    const SEEN: Item<u64> = Item::new(b"seen");

    #[init(payable)]
    fn init() {
        assert!(host::is_initialising());
    }

    /// Calls `to`, notes that it did, and answers what came back, status first.
    #[call(0x01, payable)]
    fn forward(to: Address, value: u128, gas: u64, input: &[u8]) -> [u8; 32] {
        let (status, length) = match host::call(&to, value, gas, input) {
            Ok(length) => (0, length),
            Err(CallError { status, return_bytes }) => (1 + status as u8, return_bytes),
        };
        SEEN.set(SEEN.get_or_zero() + 1);
        let mut answer = [0; 32];
        answer[0] = status;
        host::return_data_read(&mut answer[1..1 + length.min(31)], 0);
        answer
    }

    #[call(0x02)]
    fn fail(topic: [u8; 32]) -> Result<(), Revert> {
        SEEN.set(99);
        host::log(&[topic], b"never seen");
        host::transient_set(b"mark", b"1");
        Err(format!("failed for {}", host::caller()).into())
    }

    #[call(0x03)]
    fn recurse(depth: u64) -> u64 {
        let input = [&[0x03][..], &(depth + 1).to_le_bytes()].concat();
        match host::call(&host::self_address(), 0, host::gas_left(), &input) {
            Ok(length) => u64::from_le_bytes(host::return_data(length).try_into().unwrap()),
            Err(error) => {
                assert_eq!(error.status, Status::TooDeep);
                depth
            }
        }
    }

    #[call(0x04)]
    fn make(code: &[u8]) -> Result<Address, Revert> {
        host::create(code, 0, u64::MAX, &[]).map_err(|error| format!("{:?}", error.status).into())
    }

    #[call(0x05)]
    fn panics(divisor: u64) -> u64 {
        assert!(divisor != 0, "divided by {divisor}");
        1 / divisor
    }

    #[call(0x06)]
    fn pay(to: Address, value: u128) -> bool {
        host::transfer(&to, value).is_ok()
    }
}

fn forward(to: Address, value: u128, gas: u64, input: &[u8]) -> Vec<u8> {
    let length = u32::try_from(input.len()).unwrap();
    [
        &[0x01][..],
        &to.0,
        &value.to_le_bytes(),
        &gas.to_le_bytes(),
        &length.to_le_bytes(),
        input,
    ]
    .concat()
}

fn two_agents() -> (Mock, Address, Address) {
    let mut mock = Mock::new();
    mock.fund(ALICE, 1000);
    let first = mock.deploy(ALICE, agent::dispatch, 100, &[]).unwrap();
    let second = mock.deploy(ALICE, agent::dispatch, 0, &[]).unwrap();
    (mock, first, second)
}

#[test]
fn a_callee_sees_its_caller_and_its_revert_comes_back_as_return_data() {
    let (mut mock, first, second) = two_agents();
    let input = forward(second, 0, 1000, &[&[0x02][..], &[7; 32]].concat());
    let answer = mock.call(ALICE, first, 0, &input).unwrap();
    assert_eq!(answer[0], 1 + Status::Reverted as u8);
    let message = format!("failed for {first}");
    assert_eq!(answer[1..], message.as_bytes()[..31]);
}

#[test]
fn a_callees_revert_undoes_its_effects_and_no_others() {
    let (mut mock, first, second) = two_agents();
    let input = forward(second, 40, 1000, &[&[0x02][..], &[7; 32]].concat());
    mock.call(ALICE, first, 0, &input).unwrap();
    assert_eq!(mock.storage(&first, b"seen"), Some(1_u64.to_le_bytes().to_vec()));
    assert_eq!(mock.storage(&second, b"seen"), None);
    assert_eq!((mock.balance(&first), mock.balance(&second)), (100, 0));
    assert_eq!(mock.take_logs(), []);
}

#[test]
fn value_moves_with_calls_and_transfers_and_is_refused_when_not_covered() {
    let (mut mock, first, second) = two_agents();
    let nothing = forward(second, 0, 0, &[]);
    mock.call(ALICE, first, 0, &forward(second, 60, 1000, &nothing))
        .unwrap();
    assert_eq!((mock.balance(&first), mock.balance(&second)), (40, 60));
    let answer = mock
        .call(ALICE, first, 0, &forward(second, 41, 1000, &nothing))
        .unwrap();
    assert_eq!(answer[0], 1 + Status::InsufficientBalance as u8);

    let pay = |value: u128| [&[0x06][..], &ALICE.0, &value.to_le_bytes()].concat();
    assert_eq!(mock.call(ALICE, first, 0, &pay(40)).unwrap(), [1]);
    assert_eq!(mock.call(ALICE, first, 0, &pay(1)).unwrap(), [0]);
    assert_eq!((mock.balance(&ALICE), mock.balance(&first)), (940, 0));
}

#[test]
fn a_call_to_no_contract_has_its_own_status() {
    let (mut mock, first, _) = two_agents();
    let answer = mock.call(ALICE, first, 0, &forward(ALICE, 0, 1000, &[])).unwrap();
    assert_eq!(answer[0], 1 + Status::NoCode as u8);
    assert_eq!(
        mock.call(ALICE, ALICE, 0, &[]).unwrap_err().status,
        Status::NoCode
    );
}

#[test]
fn calls_nest_as_deep_as_the_chain_allows() {
    let (mut mock, first, _) = two_agents();
    mock.set_call_depth(9);
    let answer = mock
        .call(ALICE, first, 0, &[&[0x03][..], &1_u64.to_le_bytes()].concat())
        .unwrap();
    assert_eq!(answer, 9_u64.to_le_bytes());
}

#[test]
fn contracts_create_contracts_from_valid_code_each_at_its_own_address() {
    let (mut mock, first, _) = two_agents();
    mock.register_code(b"code", agent::dispatch);
    let make = |code: &[u8; 4]| [&[0x04][..], &4_u32.to_le_bytes(), code].concat();
    let mut created = || {
        Address(
            mock.call(ALICE, first, 0, &make(b"code"))
                .unwrap()
                .try_into()
                .unwrap(),
        )
    };
    let (one, two) = (created(), created());
    assert_ne!(one, two);
    for address in [one, two] {
        let zeros = [&[0x05][..], &1_u64.to_le_bytes()].concat();
        assert_eq!(mock.call(ALICE, address, 0, &zeros).unwrap(), 1_u64.to_le_bytes());
    }
    assert_eq!(
        mock.call(ALICE, first, 0, &make(b"else")).unwrap_err().message(),
        "InvalidProgram"
    );
}

/// A second contract: each brings a `main`, so one lies in a module.
mod second {
    use super::*;

    /// A contract that calls itself, and makes others, while it is made.
    #[contract]
    pub mod early {
        use super::*;

        #[init(payable)]
        fn init() {
            let own = host::call(&host::self_address(), 0, u64::MAX, &[0x01]);
            assert_eq!(own.map_err(|error| error.status), Err(Status::NoCode));
        }

        #[call(0x01)]
        fn there() -> bool {
            true
        }

        /// Makes one of `code` with `value`: the status of that, 0 for a success.
        #[call(0x02)]
        fn make(code: &[u8], value: u128) -> u8 {
            match host::create(code, value, u64::MAX, &[]) {
                Ok(_) => 0,
                Err(error) => 1 + error.status as u8,
            }
        }
    }
}
use second::early;

#[test]
fn a_contract_has_no_code_before_its_initialiser_is_done() {
    let mut mock = Mock::new();
    let contract = mock.deploy(ALICE, early::dispatch, 0, &[]).unwrap();
    assert_eq!(mock.call(ALICE, contract, 0, &[0x01]).unwrap(), [1]);
}

#[test]
fn a_creation_is_refused_for_the_first_reason_and_counted_only_when_the_code_is_good() {
    let mut mock = Mock::new();
    let contract = mock.deploy(ALICE, early::dispatch, 0, &[]).unwrap();
    mock.register_code(b"code", early::dispatch);
    let make = |code: &[u8; 4], value: u128| {
        [&[0x02][..], &4_u32.to_le_bytes(), code, &value.to_le_bytes()].concat()
    };
    let poor = [1 + Status::InsufficientBalance as u8];
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"else", 1)).unwrap(), poor);
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"code", 1)).unwrap(), poor);
    mock.set_call_depth(1);
    let deep = [1 + Status::TooDeep as u8];
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"else", 0)).unwrap(), deep);
    mock.set_call_depth(64);
    let invalid = [1 + Status::InvalidProgram as u8];
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"else", 0)).unwrap(), invalid);
    // None of these was counted: what is made next lies where the first would.
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"code", 0)).unwrap(), [0]);
    let first = [&b"millrace/addr-create/1"[..], &[0; 10]].concat();
    let key: [u8; 32] = first.try_into().unwrap();
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&contract.0).update(&0_u64.to_le_bytes());
    let address = Address(*hasher.finalize().as_bytes());
    assert_eq!(mock.call(ALICE, address, 0, &[0x01]).unwrap(), [1]);
}

#[test]
fn a_program_that_is_registered_by_name_can_be_created_and_deployed() {
    let mut mock = Mock::new();
    let contract = mock.deploy(ALICE, early::dispatch, 0, &[]).unwrap();
    let make = |code: &[u8]| {
        let length = u32::try_from(code.len()).unwrap().to_le_bytes();
        [&[0x02][..], &length, code, &[0; 16]].concat()
    };
    let code = mock.register_program("early", early::dispatch);
    assert_eq!(mock.call(ALICE, contract, 0, &make(&code)).unwrap(), [0]);
    let other = [1 + Status::InvalidProgram as u8];
    assert_eq!(mock.call(ALICE, contract, 0, &make(b"early")).unwrap(), other);
    assert_ne!(mock.register_program("agent", agent::dispatch), code);
}

#[test]
fn a_panic_reverts_with_its_message() {
    let (mut mock, first, _) = two_agents();
    let failed = mock
        .call(ALICE, first, 0, &[&[0x05][..], &[0; 8]].concat())
        .unwrap_err();
    assert_eq!(
        (failed.status, failed.message().as_str()),
        (Status::Reverted, "divided by 0")
    );
}

/// Runs `check` as a contract's only function.
fn inside(check: fn() -> !) {
    let mut mock = Mock::new();
    if let Err(failed) = mock.deploy(ALICE, check, 0, &[]) {
        panic!("{}", failed.message());
    }
}

#[test]
fn places_in_storage_hold_what_was_set_and_nothing_before_or_after() {
    inside(|| {
        const COUNT: Item<u64> = Item::new(b"count");
        const FLAGS: Map<(Address, u8), bool> = Map::new(b"flags/");
        const TEXT: Blob = Blob::new(b"text");
        assert_eq!((COUNT.get(), COUNT.get_or_zero()), (None, 0));
        COUNT.set(7);
        assert_eq!((COUNT.get(), COUNT.get_or_zero()), (Some(7), 7));
        COUNT.remove();
        assert_eq!(COUNT.get(), None);

        assert_eq!(FLAGS.get(&(ALICE, 1)), None);
        FLAGS.set(&(ALICE, 1), true);
        assert_eq!(
            (FLAGS.get(&(ALICE, 1)), FLAGS.get_or_zero(&(ALICE, 2))),
            (Some(true), false)
        );
        assert_eq!(
            FLAGS.key(&(ALICE, 1)).as_slice(),
            [b"flags/", &ALICE.0[..], &[1]].concat()
        );
        FLAGS.remove(&(ALICE, 1));
        assert_eq!(FLAGS.get(&(ALICE, 1)), None);

        assert_eq!(TEXT.get(), None);
        TEXT.set(&[5; 1000]);
        assert_eq!(TEXT.get().unwrap(), [5; 1000]);
        TEXT.remove();
        assert_eq!(TEXT.get(), None);
        host::finish(&[])
    });
}

#[test]
fn a_stored_value_of_another_length_is_never_read_as_one() {
    let mut mock = Mock::new();
    for length in [4, 9] {
        let read: fn() -> ! = match length {
            4 => || {
                host::storage_set(b"count", &[1; 4]);
                host::finish(&Item::<u64>::new(b"count").get().unwrap().to_le_bytes())
            },
            _ => || {
                host::storage_set(b"count", &[1; 9]);
                host::finish(&Item::<u64>::new(b"count").get().unwrap().to_le_bytes())
            },
        };
        let failed = mock.deploy(ALICE, read, 0, &[]).unwrap_err();
        assert_eq!(
            failed.message(),
            "a stored value has another length than its type"
        );
    }
}

#[test]
fn a_log_of_five_topics_is_refused() {
    let mut mock = Mock::new();
    let failed = mock
        .deploy(
            ALICE,
            || {
                host::log(&[[0; 32]; 5], b"");
                host::finish(&[])
            },
            0,
            &[],
        )
        .unwrap_err();
    assert_eq!(failed.message(), "a log has at most 4 topics");
}

#[test]
fn transient_storage_lives_for_one_transaction() {
    #[contract]
    mod marker {
        use super::*;

        #[init]
        fn init() {}

        #[call(0x01)]
        fn mark() -> bool {
            let marked_before = host::transient_get(b"mark", &mut []).is_some();
            host::transient_set(b"mark", b"1");
            assert_eq!(host::transient_get(b"mark", &mut [0; 4]), Some(1));
            host::transient_remove(b"gone");
            marked_before
        }
    }
    let mut mock = Mock::new();
    let contract = mock.deploy(ALICE, marker::dispatch, 0, &[]).unwrap();
    for _ in 0..2 {
        assert_eq!(mock.call(ALICE, contract, 0, &[0x01]).unwrap(), [0]);
    }
}

#[test]
fn signatures_are_checked_for_real() {
    inside(|| {
        // The first test vector of RFC 8032, section 7.1: the empty message.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
                .collect()
        };
        let key: [u8; 32] = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
            .try_into()
            .unwrap();
        let signature: [u8; 64] = hex(concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b",
            "d25bf5f0595bbe24655141438e7a100b"
        ))
        .try_into()
        .unwrap();
        assert!(host::ed25519_verify(&key, b"", &signature));
        assert!(!host::ed25519_verify(&key, b"x", &signature));
        assert!(!host::ed25519_verify(&[2; 32], b"", &signature));
        host::finish(&[])
    });
}
