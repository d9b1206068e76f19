use millrace_contract::Address;
use millrace_contract::mock::{Failed, Mock};

use super::exchange::*;

const ALICE: Address = Address([0xa1; 32]);

struct Exchange {
    mock: Mock,
    address: Address,
}

fn deployed() -> Exchange {
    let mut mock = Mock::new();
    let address = mock.deploy(ALICE, dispatch, 0, &[]).expect("initialised");
    Exchange { mock, address }
}

impl Exchange {
    fn call(&mut self, selector: u8, arguments: &[&[u8]]) -> Result<Vec<u8>, Failed> {
        let input = [&[selector][..], &arguments.concat()].concat();
        self.mock.call(ALICE, self.address, 0, &input)
    }

    fn open(&mut self, pool: u32, a: u128, b: u128) -> Result<Vec<u8>, Failed> {
        self.call(0x01, &[&pool.to_le_bytes(), &a.to_le_bytes(), &b.to_le_bytes()])
    }

    fn deposit(&mut self, pool: u32, is_a: bool, amount: u128) -> Result<Vec<u8>, Failed> {
        self.call(
            0x03,
            &[&pool.to_le_bytes(), &[is_a.into()], &amount.to_le_bytes()],
        )
    }

    fn swap(&mut self, pool: u32, a_for_b: bool, amount: u128, least: u128) -> Result<u128, String> {
        let output = self.call(
            0x02,
            &[
                &pool.to_le_bytes(),
                &[a_for_b.into()],
                &amount.to_le_bytes(),
                &least.to_le_bytes(),
            ],
        );
        output
            .map(|output| u128::from_le_bytes(output.try_into().expect("a u128 has 16 bytes")))
            .map_err(|failed| failed.message().to_owned())
    }

    fn number(&mut self, selector: u8, arguments: &[&[u8]]) -> u128 {
        let output = self.call(selector, arguments).expect("a getter succeeds");
        u128::from_le_bytes(output.try_into().expect("a u128 has 16 bytes"))
    }

    fn reserves(&mut self, pool: u32) -> (u128, u128) {
        let pool = pool.to_le_bytes();
        (
            self.number(0x10, &[&pool, &[1]]),
            self.number(0x10, &[&pool, &[0]]),
        )
    }

    fn balance(&mut self, pool: u32, is_a: bool) -> u128 {
        self.number(0x11, &[&ALICE.0, &pool.to_le_bytes(), &[is_a.into()]])
    }
}

#[test]
fn a_swap_moves_both_tokens_and_the_product_never_falls() {
    let mut exchange = deployed();
    exchange.open(7, 1_000_000, 4_000_000).expect("opened");
    exchange.deposit(7, true, 50_000).expect("given");
    let mut product = 1_000_000 * 4_000_000;
    for (a_for_b, amount) in [(true, 10_000), (true, 40_000), (false, 100_000), (false, 1)] {
        let before = (exchange.balance(7, a_for_b), exchange.balance(7, !a_for_b));
        let out = exchange.swap(7, a_for_b, amount, 0).expect("covered");
        assert_eq!(
            (exchange.balance(7, a_for_b), exchange.balance(7, !a_for_b)),
            (before.0 - amount, before.1 + out)
        );
        let (a, b) = exchange.reserves(7);
        assert!(a * b >= product);
        product = a * b;
    }
}

#[test]
fn the_price_is_that_of_the_reserves_less_the_fee() {
    let mut exchange = deployed();
    exchange.open(0, 1_000_000, 2_000_000).expect("opened");
    exchange.deposit(0, true, 1_000).expect("given");
    // 1,000 × 0.997 × 2,000,000 / (1,000,000 + 997)
    assert_eq!(exchange.swap(0, true, 1_000, 1_992), Ok(1_992));
    assert_eq!(exchange.reserves(0), (1_001_000, 1_998_008));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut exchange = deployed();
    exchange.open(1, 1_000, 1_000).expect("opened");
    exchange.deposit(1, true, 10).expect("given");
    for (result, message) in [
        (exchange.swap(2, true, 1, 0), "NoSuchPool"),
        (exchange.swap(1, true, 11, 0), "InsufficientBalance"),
        (exchange.swap(1, false, 1, 0), "InsufficientBalance"),
        (exchange.swap(1, true, 10, 10), "BelowLeast"),
        (exchange.swap(1, true, LIMIT, 0), "AmountTooLarge"),
        (exchange.swap(1, true, u128::MAX, 0), "AmountTooLarge"),
    ] {
        assert_eq!(result, Err(message.to_owned()));
    }
    for (result, message) in [
        (exchange.open(1, 5, 5), "PoolExists"),
        (exchange.open(3, 0, 5), "EmptyPool"),
        (exchange.open(3, LIMIT, 5), "AmountTooLarge"),
        (exchange.deposit(1, true, LIMIT), "AmountTooLarge"),
        (exchange.deposit(1, true, LIMIT - 1), "AmountTooLarge"),
    ] {
        assert_eq!(result.unwrap_err().message(), message);
    }
    assert_eq!(
        (exchange.reserves(1), exchange.balance(1, true)),
        ((1_000, 1_000), 10)
    );
}
