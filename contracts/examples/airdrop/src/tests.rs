use millrace_contract::mock::Mock;
use millrace_contract::{Address, Fixed};
use rs_merkle::{Hasher, MerkleTree};

use super::airdrop::{Blake3, DOMAIN, Share, dispatch};

const GIVER: Address = Address([0x61; 32]);

fn account(index: u32) -> Address {
    Address([u8::try_from(index + 1).expect("few"); 32])
}

struct Airdrop {
    mock: Mock,
    address: Address,
    tree: MerkleTree<Blake3>,
}

/// Account i gets 10 × (i + 1).
fn deployed(count: u32, value: u128) -> Airdrop {
    let leaf = |index: u32| {
        let share = Share {
            domain: DOMAIN,
            index,
            account: account(index),
            amount: amount(index),
        };
        Blake3::hash(&share.to_bytes())
    };
    let leaves: Vec<_> = (0..count).map(leaf).collect();
    let tree = MerkleTree::<Blake3>::from_leaves(&leaves);
    let mut mock = Mock::new();
    mock.fund(GIVER, value);
    let root = tree.root().expect("there are leaves");
    let input = [&root[..], &count.to_le_bytes()].concat();
    let address = mock.deploy(GIVER, dispatch, value, &input).expect("initialised");
    Airdrop { mock, address, tree }
}

fn amount(index: u32) -> u128 {
    10 * u128::from(index + 1)
}

impl Airdrop {
    fn proof(&self, index: u32) -> Vec<[u8; 32]> {
        self.tree.proof(&[index as usize]).proof_hashes().to_vec()
    }

    fn claim(
        &mut self,
        index: u32,
        account: Address,
        amount: u128,
        proof: &[[u8; 32]],
    ) -> Result<Vec<u8>, String> {
        let input = [
            &[0x01][..],
            &index.to_le_bytes(),
            &account.0,
            &amount.to_le_bytes(),
            &u32::try_from(proof.len()).expect("short").to_le_bytes(),
            &proof.concat(),
        ]
        .concat();
        self.mock
            .call(GIVER, self.address, 0, &input)
            .map_err(|failed| failed.message())
    }
}

#[test]
fn everyone_in_the_list_is_paid_once() {
    for count in [1, 2, 5, 8] {
        let mut airdrop = deployed(count, 1_000);
        for index in 0..count {
            let proof = airdrop.proof(index);
            assert_eq!(
                airdrop.claim(index, account(index), amount(index), &proof),
                Ok(vec![])
            );
            assert_eq!(airdrop.mock.balance(&account(index)), amount(index));
            let again = airdrop.claim(index, account(index), amount(index), &proof);
            assert_eq!(again, Err("AlreadyClaimed".into()));
        }
        assert_eq!(airdrop.mock.take_logs().len(), count as usize);
    }
}

#[test]
fn what_is_not_in_the_list_is_refused() {
    let mut airdrop = deployed(5, 1_000);
    let proof = airdrop.proof(2);
    let mut other = proof.clone();
    other[1][0] ^= 1;
    for (index, whom, how_much, proof) in [
        (2, account(2), amount(2) + 1, &proof),
        (2, GIVER, amount(2), &proof),
        (3, account(2), amount(2), &proof),
        (5, account(2), amount(2), &proof),
        (u32::MAX, account(2), amount(2), &proof),
        (2, account(2), amount(2), &other),
        (2, account(2), amount(2), &proof[..2].to_vec()),
        (2, account(2), amount(2), &vec![]),
    ] {
        let refused = airdrop.claim(index, whom, how_much, proof);
        assert_eq!(
            refused,
            Err("BadProof".into()),
            "{index} {whom} {how_much} {proof:?}"
        );
    }
    assert_eq!(airdrop.mock.balance(&airdrop.address), 1_000);
}

#[test]
fn a_share_that_cannot_be_paid_can_be_claimed_later() {
    let mut airdrop = deployed(2, 5);
    let proof = airdrop.proof(0);
    assert_eq!(airdrop.claim(0, account(0), amount(0), &proof), Err("Dry".into()));
    let address = airdrop.address;
    airdrop.mock.fund(address, 5);
    assert_eq!(airdrop.claim(0, account(0), amount(0), &proof), Ok(vec![]));
}
