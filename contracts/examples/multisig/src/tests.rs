use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use millrace_contract::host::BlockContext;
use millrace_contract::mock::{Failed, Mock};
use millrace_contract::{Address, Fixed, import};

use super::multisig::{self as contract, DOMAIN, Order};

import!("../../artifacts/multisig.json" as wallet);

const RELAYER: Address = Address([0x77; 32]);
const SHOP: Address = Address([0x50; 32]);

struct Wallet {
    mock: Mock,
    address: Address,
    keys: Vec<SigningKey>,
}

fn key(index: u8) -> SigningKey {
    SigningKey::from([index + 1; 32])
}

fn public(key: &SigningKey) -> [u8; 32] {
    VerificationKeyBytes::from(key).into()
}

/// Two of three, with 1,000 units.
fn deployed() -> Wallet {
    let mut mock = Mock::new();
    mock.fund(RELAYER, 5_000);
    let keys: Vec<_> = (0..3).map(key).collect();
    let owners: Vec<_> = keys.iter().map(public).collect();
    let address = mock
        .deploy(
            RELAYER,
            contract::dispatch,
            1_000,
            &wallet::input::init(2, &owners),
        )
        .expect("initialised");
    Wallet { mock, address, keys }
}

impl Wallet {
    fn order(&self, nonce: u64, to: Address, value: u128, input: &[u8]) -> Order {
        Order {
            domain: DOMAIN,
            chain_id: 1,
            wallet: self.address,
            nonce,
            to,
            value,
            input_hash: *blake3::hash(input).as_bytes(),
        }
    }

    fn sign(&self, order: Order, owners: &[u32]) -> Vec<wallet::Approval> {
        let message = *blake3::hash(&order.to_bytes()).as_bytes();
        let sign = |owner: &u32| wallet::Approval {
            owner: *owner,
            signature: self.keys[*owner as usize].sign(&message).into(),
        };
        owners.iter().map(sign).collect()
    }

    fn execute(
        &mut self,
        to: Address,
        value: u128,
        input: &[u8],
        approvals: &[wallet::Approval],
    ) -> Result<Vec<u8>, Failed> {
        let input = wallet::input::execute(to, value, input, approvals);
        self.mock.call(RELAYER, self.address, 0, &input)
    }

    fn refused(&mut self, to: Address, value: u128, input: &[u8], approvals: &[wallet::Approval]) -> String {
        self.execute(to, value, input, approvals)
            .expect_err("refused")
            .message()
    }
}

#[test]
fn enough_owners_pay_once() {
    let mut wallet = deployed();
    let approvals = wallet.sign(wallet.order(0, SHOP, 300, b""), &[0, 2]);
    wallet
        .execute(SHOP, 300, b"", &approvals)
        .expect("signed by two of three");
    assert_eq!(
        (wallet.mock.balance(&SHOP), wallet.mock.balance(&wallet.address)),
        (300, 700)
    );
    let logs = wallet.mock.take_logs();
    assert_eq!(logs[0].topics[1], SHOP.0);
    assert_eq!(
        logs[0].data,
        [&0_u64.to_le_bytes()[..], &300_u128.to_le_bytes()].concat()
    );
    assert_eq!(wallet.refused(SHOP, 300, b"", &approvals), "BadSignature");
    let approvals = wallet.sign(wallet.order(1, SHOP, 300, b""), &[1, 2]);
    wallet
        .execute(SHOP, 300, b"", &approvals)
        .expect("the next nonce");
}

#[test]
fn a_signature_is_good_for_one_chain_wallet_nonce_and_act() {
    let mut wallet = deployed();
    let good = wallet.order(0, SHOP, 300, b"\x01");
    for wrong in [
        Order {
            domain: [0; 32],
            ..good
        },
        Order { chain_id: 2, ..good },
        Order { wallet: SHOP, ..good },
        Order { nonce: 1, ..good },
        Order { to: RELAYER, ..good },
        Order { value: 301, ..good },
        Order {
            input_hash: [0; 32],
            ..good
        },
    ] {
        let approvals = wallet.sign(wrong, &[0, 1]);
        assert_eq!(wallet.refused(SHOP, 300, b"\x01", &approvals), "BadSignature");
    }
    let approvals = wallet.sign(wallet.order(0, SHOP, 300, b""), &[0, 1]);
    wallet.mock.set_block(BlockContext {
        chain_id: 9,
        ..BlockContext::default()
    });
    assert_eq!(wallet.refused(SHOP, 300, b"", &approvals), "BadSignature");
}

#[test]
fn one_owner_counts_once() {
    let mut wallet = deployed();
    let order = wallet.order(0, SHOP, 300, b"");
    let refused = |wallet: &mut Wallet, owners: &[u32]| {
        let approvals = wallet.sign(order, owners);
        wallet.refused(SHOP, 300, b"", &approvals)
    };
    assert_eq!(refused(&mut wallet, &[1]), "NotEnoughApprovals");
    assert_eq!(refused(&mut wallet, &[]), "NotEnoughApprovals");
    assert_eq!(refused(&mut wallet, &[1, 1]), "UnsortedApprovals");
    assert_eq!(refused(&mut wallet, &[2, 0]), "UnsortedApprovals");
    let mut approvals = wallet.sign(order, &[0, 1]);
    approvals[1].owner = 7;
    assert_eq!(wallet.refused(SHOP, 300, b"", &approvals), "NoSuchOwner");
    approvals[1].owner = u32::MAX;
    assert_eq!(wallet.refused(SHOP, 300, b"", &approvals), "NoSuchOwner");
    assert_eq!(wallet.mock.balance(&SHOP), 0);
}

#[test]
fn a_call_that_fails_leaves_the_nonce() {
    let mut wallet = deployed();
    for (value, input) in [(1_001, &b""[..]), (0, b"\x01")] {
        let approvals = wallet.sign(wallet.order(0, SHOP, value, input), &[0, 1]);
        assert_eq!(wallet.refused(SHOP, value, input, &approvals), "CallFailed");
    }
    let nonce = wallet.mock.call(SHOP, wallet.address, 0, &wallet::input::nonce());
    assert_eq!(nonce, Ok(0_u64.to_le_bytes().to_vec()));
}

#[test]
fn owners_change_by_orders_only() {
    let mut wallet = deployed();
    let (address, fresh) = (wallet.address, public(&key(9)));
    let replace = wallet::input::replace_owner(0, fresh);
    let alone = wallet.mock.call(RELAYER, address, 0, &replace);
    assert_eq!(alone.expect_err("refused").message(), "OnlyByItself");
    let alone = wallet
        .mock
        .call(RELAYER, address, 0, &wallet::input::set_threshold(1));
    assert_eq!(alone.expect_err("refused").message(), "OnlyByItself");

    let approvals = wallet.sign(wallet.order(0, address, 0, &replace), &[0, 1]);
    wallet.execute(address, 0, &replace, &approvals).expect("signed");
    let approvals = wallet.sign(wallet.order(1, SHOP, 1, b""), &[0, 1]);
    assert_eq!(wallet.refused(SHOP, 1, b"", &approvals), "BadSignature");
    wallet.keys[0] = key(9);
    let approvals = wallet.sign(wallet.order(1, SHOP, 1, b""), &[0, 1]);
    wallet.execute(SHOP, 1, b"", &approvals).expect("the new key");

    let twice = wallet::input::replace_owner(1, fresh);
    let approvals = wallet.sign(wallet.order(2, address, 0, &twice), &[0, 1]);
    assert_eq!(wallet.refused(address, 0, &twice, &approvals), "CallFailed");
}

#[test]
fn a_wallet_that_nobody_could_use_is_not_made() {
    let mut mock = Mock::new();
    let keys: Vec<_> = (0..17).map(|index| public(&key(index))).collect();
    let mut init = |threshold: u32, owners: &[[u8; 32]]| {
        mock.deploy(
            RELAYER,
            contract::dispatch,
            0,
            &wallet::input::init(threshold, owners),
        )
        .map_err(|failed| failed.message())
    };
    assert_eq!(init(1, &[]), Err("BadOwners".into()));
    assert_eq!(init(1, &keys), Err("BadOwners".into()));
    assert_eq!(init(1, &[keys[0], keys[1], keys[0]]), Err("BadOwners".into()));
    assert_eq!(init(0, &keys[..2]), Err("BadThreshold".into()));
    assert_eq!(init(3, &keys[..2]), Err("BadThreshold".into()));
    assert!(init(16, &keys[..16]).is_ok());
}
