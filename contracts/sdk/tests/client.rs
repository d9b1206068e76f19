//! What generated clients are built on: calls of contracts that answer honestly, oddly, or not at all.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use millrace_contract::host::{self, Status};
use millrace_contract::mock::Mock;
use millrace_contract::{Address, contract};

const ALICE: Address = Address([0xa1; 32]);

/// Answers with what it is told, as a success or a revert, or with the gas and value that it got.
#[contract]
mod parrot {
    use super::host;

    #[init(payable)]
    fn init() {}

    #[call(0x01)]
    fn say(output: &[u8]) {
        host::finish(output)
    }

    #[call(0x02)]
    fn revert(output: &[u8]) {
        host::revert(output)
    }

    #[call(0x03, payable)]
    fn got() -> Vec<u8> {
        [&host::gas_left().to_le_bytes()[..], &host::value().to_le_bytes()].concat()
    }
}

/// Calls it by a client, and answers how that went as text.
mod caller_of_parrots {
    use millrace_contract::client::{Creation, Failure, Returned, Target};
    use millrace_contract::{Address, Error, Revert, contract, host};

    #[derive(Error, Clone, Copy, PartialEq, Eq, Debug)]
    pub enum ParrotError {
        Bored,
    }

    fn ask<R: Returned + std::fmt::Debug>(parrot: Address, input: &[u8]) -> String {
        let answer: Result<R, Failure<ParrotError>> = Target::new(parrot).call(input);
        format!("{answer:?}")
    }

    #[contract]
    pub mod caller {
        use super::*;

        #[init(payable)]
        fn init() {}

        #[call(0x01)]
        fn number(parrot: Address, input: &[u8]) -> String {
            ask::<u16>(parrot, input)
        }

        #[call(0x02)]
        fn nothing(parrot: Address, input: &[u8]) -> String {
            ask::<()>(parrot, input)
        }

        #[call(0x03)]
        fn list(parrot: Address, input: &[u8]) -> String {
            ask::<Vec<u16>>(parrot, input)
        }

        #[call(0x04)]
        fn pass_on(parrot: Address, input: &[u8]) -> Result<(), Revert> {
            let answer: Result<(), Failure<ParrotError>> = Target::new(parrot).call(input);
            answer.map_err(Into::into)
        }

        #[call(0x05)]
        fn with(parrot: Address, value: u128, gas: u64) -> Vec<u8> {
            let target = Target {
                address: parrot,
                value,
                gas,
            };
            let answer: Result<Vec<u8>, Failure<ParrotError>> = target.call(&[0x03]);
            answer.unwrap()
        }

        #[call(0x06)]
        fn make(code: &[u8], value: u128) -> Address {
            let gas = u64::MAX;
            let made: Result<Address, Failure<ParrotError>> = Creation { code, value, gas }.run(&[]);
            made.unwrap()
        }

        /// Bytes of return data after a call that answers, and then one or a creation that is refused.
        #[call(0x07)]
        fn left_behind(parrot: Address, creates: bool) -> u8 {
            let answered = host::call(&parrot, 0, u64::MAX, &[0x01, 1, 0, 0, 0, 9]);
            assert_eq!((answered, host::return_data(9)), (Ok(1), vec![9]));
            if creates {
                host::create(b"no program", 0, u64::MAX, &[]).unwrap_err();
            } else {
                host::call(&Address([9; 32]), 0, u64::MAX, &[]).unwrap_err();
            }
            host::return_data(9).len() as u8
        }
    }
}
use caller_of_parrots::caller;

struct World {
    mock: Mock,
    parrot: Address,
    caller: Address,
}

fn world() -> World {
    let mut mock = Mock::new();
    mock.fund(ALICE, 100);
    let parrot = mock.deploy(ALICE, parrot::dispatch, 0, &[]).unwrap();
    let caller = mock.deploy(ALICE, caller::dispatch, 50, &[]).unwrap();
    World { mock, parrot, caller }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

impl World {
    /// What function `selector` of the caller says when the parrot gets `input`.
    fn says(&mut self, selector: u8, input: &[u8]) -> Result<String, String> {
        let input = [&[selector][..], &self.parrot.0, &sized(input)].concat();
        match self.mock.call(ALICE, self.caller, 0, &input) {
            Ok(output) => Ok(String::from_utf8_lossy(output.get(4..).unwrap_or_default()).into_owned()),
            Err(failed) => Err(failed.message()),
        }
    }
}

fn say(output: &[u8]) -> Vec<u8> {
    [&[0x01][..], &sized(output)].concat()
}

fn revert(output: &[u8]) -> Vec<u8> {
    [&[0x02][..], &sized(output)].concat()
}

#[test]
fn an_output_of_another_type_is_malformed_and_never_half_of_a_value() {
    let mut world = world();
    for (selector, output, said) in [
        (0x01, &[1, 2][..], "Ok(513)"),
        (0x01, &[1], "Err(Malformed)"),
        (0x01, &[1, 2, 3], "Err(Malformed)"),
        (0x01, &[], "Err(Malformed)"),
        (0x02, &[], "Ok(())"),
        (0x02, &[0], "Err(Malformed)"),
        (0x03, &[1, 0, 0, 0, 5, 0], "Ok([5])"),
        (0x03, &[1, 0, 0, 0, 5, 0, 0], "Err(Malformed)"),
        (0x03, &[2, 0, 0, 0, 5, 0], "Err(Malformed)"),
        (0x03, &[255, 255, 255, 255], "Err(Malformed)"),
    ] {
        assert_eq!(
            world.says(selector, &say(output)).as_deref(),
            Ok(said),
            "{output:?}"
        );
    }
}

#[test]
fn reverts_are_errors_by_name_or_texts_of_bounded_length() {
    let mut world = world();
    let long = "x".repeat(1000);
    for (output, said) in [
        (&b"Bored"[..], "Err(Named(Bored))".to_owned()),
        (b"Bored: of it all", "Err(Named(Bored))".to_owned()),
        (b"Bored:", "Err(Reverted(\"Bored:\"))".to_owned()),
        (b"", "Err(Reverted(\"\"))".to_owned()),
        (b"a\xff", "Err(Reverted(\"a\"))".to_owned()),
        (long.as_bytes(), format!("Err(Reverted({:?}))", &long[..256])),
    ] {
        assert_eq!(world.says(0x02, &revert(output)), Ok(said));
    }
    // Passed on, another contract's error is none of the own.
    assert_eq!(
        world.says(0x04, &revert(b"Bored")),
        Err("a call failed: Bored".to_owned())
    );
    assert_eq!(
        world.says(0x04, &say(b"?")),
        Err("a call failed: its output is not of the expected type".to_owned())
    );
    world.parrot = ALICE;
    let status = "Err(Status(NoCode))".to_owned();
    assert_eq!(world.says(0x02, &[]), Ok(status));
}

#[test]
fn value_and_gas_that_a_client_names_are_what_the_callee_gets() {
    let mut world = world();
    let mut with = |value: u128, gas: u64| {
        let input = [
            &[0x05][..],
            &world.parrot.0,
            &value.to_le_bytes(),
            &gas.to_le_bytes(),
        ]
        .concat();
        let output = world.mock.call(ALICE, world.caller, 0, &input).unwrap();
        let word = |at: usize| u64::from_le_bytes(output[at..at + 8].try_into().unwrap());
        (word(4), word(4 + 8))
    };
    assert_eq!(with(7, 1234), (1234, 7));
    let (most, value) = with(0, u64::MAX);
    assert_eq!((most, value), ((1 << 40) - (1 << 34), 0), "all but a 64th");
    assert_eq!(world.mock.balance(&world.parrot), 7);

    let code = world.mock.register_program("parrot", parrot::dispatch);
    let make = [&[0x06][..], &sized(&code), &9_u128.to_le_bytes()].concat();
    let made = world.mock.call(ALICE, world.caller, 0, &make).unwrap();
    assert_eq!(world.mock.balance(&Address(made.try_into().unwrap())), 9);
}

#[test]
fn a_refused_call_or_creation_leaves_no_return_data() {
    let mut world = world();
    for creates in [0, 1] {
        let input = [&[0x07][..], &world.parrot.0, &[creates]].concat();
        assert_eq!(world.mock.call(ALICE, world.caller, 0, &input).unwrap(), [0]);
    }
    assert_eq!(Status::NoCode.message(), "there is no code at the address");
}
