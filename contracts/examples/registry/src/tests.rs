use millrace_contract::mock::Mock;
use millrace_contract::{Address, contract, import};

use super::registry::dispatch;

/// The token itself, as it is built for the chain.
#[path = "../../token/src/main.rs"]
#[allow(dead_code, reason = "its own `main` is not called here")]
mod example;

use example::token::dispatch as token_program;

import!("../../artifacts/token.json");
import!("../../artifacts/registry.json");

const ALICE: Address = Address([0xa1; 32]);
const BOB: Address = Address([0xb0; 32]);

/// Answers every call with whatever it was made to say.
#[contract]
mod parrot {
    use millrace_contract::storage::Blob;
    use millrace_contract::{host, storage};

    #[storage]
    struct Storage {
        says: Blob,
    }

    #[init]
    fn init(says: &[u8]) {
        STORAGE.says.set(says);
    }

    #[call(0x13)]
    fn name() {
        host::finish(&STORAGE.says.get().unwrap_or_default());
    }

    #[call(0x11)]
    fn total_supply() {
        host::revert(b"Overflow: of patience");
    }
}

struct World {
    mock: Mock,
    registry: Address,
    /// The token's.
    code: Vec<u8>,
}

fn world() -> World {
    let mut mock = Mock::new();
    let registry = mock.deploy(ALICE, dispatch, 0, &[]).expect("initialised");
    let code = mock.register_program("token", token_program);
    World { mock, registry, code }
}

impl World {
    fn token(&mut self, name: &str) -> Address {
        self.mock
            .deploy(ALICE, token_program, 0, &token::input::init(1_000, name))
            .expect("initialised")
    }

    fn call(&mut self, sender: Address, input: &[u8]) -> Result<Vec<u8>, String> {
        self.mock
            .call(sender, self.registry, 0, input)
            .map_err(|failed| failed.message())
    }

    fn balance(&mut self, token: Address, owner: Address) -> u128 {
        let output = self.mock.call(BOB, token, 0, &token::input::balance_of(owner));
        u128::from_le_bytes(output.expect("a getter").try_into().expect("a u128"))
    }
}

#[test]
fn tokens_are_entered_under_the_name_that_they_say() {
    let mut world = world();
    let token = world.token("Mill");
    world
        .call(BOB, &registry::input::register(token))
        .expect("a token");
    let found = world.call(BOB, &registry::input::token_of("Mill"));
    assert_eq!(found, Ok([&[1][..], &token.0].concat()));
    assert_eq!(world.call(BOB, &registry::input::token_of("Wind")), Ok(vec![0]));
    assert_eq!(world.call(BOB, &registry::input::count()), Ok(vec![1, 0, 0, 0]));
    let entered = world.call(BOB, &registry::input::token_at(0));
    assert_eq!(entered, Ok([&[1][..], &token.0].concat()));
    assert_eq!(world.call(BOB, &registry::input::token_at(1)), Ok(vec![0]));
    let log = world.mock.take_logs().pop().expect("registered");
    assert_eq!(log.topics[1], token.0);
    assert_eq!(
        log.data,
        [&1_000_u128.to_le_bytes()[..], b"\x04\0\0\0Mill"].concat()
    );
    let again = world.token("Mill");
    assert_eq!(
        world.call(BOB, &registry::input::register(again)),
        Err("NameTaken".into())
    );
}

#[test]
fn what_does_not_answer_as_a_token_is_none() {
    let mut world = world();
    for says in [
        &b""[..],
        b"\x04\0\0\0Mil",
        b"\x01\0\0\0\xff",
        b"\x01\0\0\0Mill",
        b"\xff\xff\xff\xffM",
        b"\x04\0\0\0Mill",
    ] {
        let input = [&(says.len() as u32).to_le_bytes()[..], says].concat();
        let parrot = world
            .mock
            .deploy(BOB, parrot::dispatch, 0, &input)
            .expect("initialised");
        let refused = world.call(BOB, &registry::input::register(parrot));
        assert_eq!(refused, Err("NotAToken".into()), "{says:?}");
    }
    for nobody in [ALICE, world.registry] {
        assert_eq!(
            world.call(BOB, &registry::input::register(nobody)),
            Err("NotAToken".into())
        );
    }
}

#[test]
fn a_token_is_made_and_belongs_to_whoever_asked() {
    let mut world = world();
    let launch = registry::input::launch(&world.code, 500, "Wind");
    let output = world.call(BOB, &launch).expect("made");
    let token = Address(output.try_into().expect("an address"));
    assert_eq!(
        (world.balance(token, BOB), world.balance(token, world.registry)),
        (500, 0)
    );
    let long = registry::input::launch(&world.code, 500, &"w".repeat(65));
    assert_eq!(world.call(BOB, &long), Err("a call failed: NameTooLong".into()));
    let broken = registry::input::launch(b"no ELF", 500, "Water");
    assert_eq!(
        world.call(BOB, &broken),
        Err("a call failed: the code is no valid program".into())
    );
    assert_eq!(world.call(BOB, &launch), Err("NameTaken".into()));
    assert_eq!(world.call(BOB, &registry::input::count()), Ok(vec![1, 0, 0, 0]));
}

#[test]
fn the_token_s_errors_become_the_registry_s_by_name() {
    let mut world = world();
    let token = world.token("Mill");
    world
        .call(BOB, &registry::input::register(token))
        .expect("a token");
    let pay = |name: &str, amount: u128| registry::input::pay(name, BOB, amount);
    assert_eq!(world.call(ALICE, &pay("Wind", 1)), Err("NoSuchToken".into()));
    assert_eq!(world.call(ALICE, &pay("Mill", 1)), Err("NotAllowed".into()));
    let approve = token::input::approve(world.registry, 5_000);
    world.mock.call(ALICE, token, 0, &approve).expect("approved");
    assert_eq!(world.call(ALICE, &pay("Mill", 1_001)), Err("TooFewTokens".into()));
    assert_eq!(world.call(ALICE, &pay("Mill", 300)), Ok(vec![]));
    assert_eq!(
        (world.balance(token, ALICE), world.balance(token, BOB)),
        (700, 300)
    );
}
