use millrace_contract::Address;
use millrace_contract::mock::{Failed, Log, Mock};

use super::token::dispatch;

const ALICE: Address = Address([0xa1; 32]);
const BOB: Address = Address([0xb0; 32]);
const CAROL: Address = Address([0xca; 32]);
const SUPPLY: u128 = 1_000_000;

/// The contract as its callers see it.
struct Token {
    mock: Mock,
    address: Address,
}

fn init_input(supply: u128, name: &str) -> Vec<u8> {
    let length = u32::try_from(name.len()).expect("names are short");
    [&supply.to_le_bytes()[..], &length.to_le_bytes(), name.as_bytes()].concat()
}

fn deployed() -> Token {
    let mut mock = Mock::new();
    let address = mock
        .deploy(ALICE, dispatch, 0, &init_input(SUPPLY, "Mill"))
        .expect("initialised");
    Token { mock, address }
}

impl Token {
    fn call(&mut self, sender: Address, selector: u8, arguments: &[&[u8]]) -> Result<Vec<u8>, Failed> {
        self.mock.call(
            sender,
            self.address,
            0,
            &[&[selector][..], &arguments.concat()].concat(),
        )
    }

    fn transfer(&mut self, sender: Address, to: Address, amount: u128) -> Result<Vec<u8>, Failed> {
        self.call(sender, 0x01, &[&to.0, &amount.to_le_bytes()])
    }

    fn number(&mut self, selector: u8, arguments: &[&[u8]]) -> u128 {
        let output = self.call(CAROL, selector, arguments).expect("a getter succeeds");
        u128::from_le_bytes(output.try_into().expect("a u128 has 16 bytes"))
    }

    fn balance(&mut self, owner: Address) -> u128 {
        self.number(0x10, &[&owner.0])
    }

    fn allowance(&mut self, owner: Address, spender: Address) -> u128 {
        self.number(0x12, &[&owner.0, &spender.0])
    }
}

#[test]
fn the_supply_belongs_to_the_deployer() {
    let mut token = deployed();
    assert_eq!(token.balance(ALICE), SUPPLY);
    assert_eq!(token.balance(BOB), 0);
    assert_eq!(token.number(0x11, &[]), SUPPLY);
    assert_eq!(token.call(BOB, 0x13, &[]), Ok(b"\x04\0\0\0Mill".to_vec()));
}

#[test]
fn a_transfer_moves_tokens_and_logs_it() {
    let mut token = deployed();
    assert_eq!(token.transfer(ALICE, BOB, 300), Ok(vec![]));
    assert_eq!((token.balance(ALICE), token.balance(BOB)), (SUPPLY - 300, 300));
    let topic = *b"transfer\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let expected = Log {
        contract: token.address,
        topics: vec![topic, ALICE.0, BOB.0],
        data: 300_u128.to_le_bytes().to_vec(),
    };
    assert_eq!(token.mock.take_logs(), [expected]);
}

#[test]
fn balances_lie_where_light_clients_look_for_them() {
    let mut token = deployed();
    token.transfer(ALICE, BOB, 300).expect("covered");
    let key = [b"balance/".as_slice(), &BOB.0].concat();
    assert_eq!(
        token.mock.storage(&token.address, &key),
        Some(300_u128.to_le_bytes().to_vec())
    );
}

#[test]
fn a_transfer_to_oneself_changes_nothing() {
    let mut token = deployed();
    token.transfer(ALICE, ALICE, SUPPLY).expect("covered");
    assert_eq!(token.balance(ALICE), SUPPLY);
}

#[test]
fn a_transfer_beyond_the_balance_reverts_and_leaves_no_trace() {
    let mut token = deployed();
    for (sender, amount) in [(ALICE, SUPPLY + 1), (BOB, 1), (ALICE, u128::MAX)] {
        assert_eq!(
            token.transfer(sender, CAROL, amount).unwrap_err().message(),
            "InsufficientBalance"
        );
    }
    assert_eq!(token.balance(ALICE), SUPPLY);
    assert_eq!(token.mock.take_logs(), []);
}

#[test]
fn an_allowance_is_used_up_by_transfers_from_it() {
    let mut token = deployed();
    token
        .call(ALICE, 0x02, &[&BOB.0, &100_u128.to_le_bytes()])
        .expect("approved");
    let spend =
        |token: &mut Token, amount: u128| token.call(BOB, 0x03, &[&ALICE.0, &CAROL.0, &amount.to_le_bytes()]);
    spend(&mut token, 60).expect("allowed");
    assert_eq!(token.allowance(ALICE, BOB), 40);
    assert_eq!((token.balance(ALICE), token.balance(CAROL)), (SUPPLY - 60, 60));
    assert_eq!(
        spend(&mut token, 41).unwrap_err().message(),
        "InsufficientAllowance"
    );
    assert_eq!(token.allowance(ALICE, BOB), 40);
    assert_eq!(token.allowance(BOB, ALICE), 0);
}

#[test]
fn a_failed_transfer_from_gives_the_allowance_back() {
    let mut token = deployed();
    token
        .call(BOB, 0x02, &[&CAROL.0, &50_u128.to_le_bytes()])
        .expect("approved");
    let spent = token.call(CAROL, 0x03, &[&BOB.0, &CAROL.0, &50_u128.to_le_bytes()]);
    assert_eq!(spent.unwrap_err().message(), "InsufficientBalance");
    assert_eq!(token.allowance(BOB, CAROL), 50);
}

#[test]
fn a_name_is_text_of_at_most_64_bytes() {
    let mut mock = Mock::new();
    let mut init = |name: &[u8]| {
        let length = u32::try_from(name.len()).expect("names are short");
        let input = [&SUPPLY.to_le_bytes()[..], &length.to_le_bytes(), name].concat();
        mock.deploy(ALICE, dispatch, 0, &input)
            .map_err(|failed| failed.message())
    };
    assert!(init(&[b'a'; 64]).is_ok());
    assert_eq!(init(&[b'a'; 65]), Err("NameTooLong".into()));
    assert_eq!(init(&[0xff]), Err("a text argument is not UTF-8".into()));
}

#[test]
fn balances_always_add_up_to_the_supply() {
    let mut token = deployed();
    let people = [ALICE, BOB, CAROL];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..500 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pick = |shift: u32| people[(random >> shift) as usize % people.len()];
        let amount = u128::from(random >> 44);
        let (from, to) = (pick(20), pick(30));
        let covered = token.balance(from) >= amount;
        assert_eq!(token.transfer(from, to, amount).is_ok(), covered);
    }
    assert_eq!(
        people.map(|person| token.balance(person)).iter().sum::<u128>(),
        SUPPLY
    );
}
