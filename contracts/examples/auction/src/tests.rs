use millrace_contract::host::BlockContext;
use millrace_contract::mock::{Failed, Mock};
use millrace_contract::{Address, Fixed};

use super::auction::{Bid, dispatch};

const SELLER: Address = Address([0x5e; 32]);
const ALICE: Address = Address([0xa1; 32]);
const BOB: Address = Address([0xb0; 32]);
const END_MS: u64 = 10_000;
const LEAST: u128 = 50;

struct Auction {
    mock: Mock,
    address: Address,
}

fn at(mock: &mut Mock, timestamp_ms: u64) {
    mock.set_block(BlockContext {
        timestamp_ms,
        ..BlockContext::default()
    });
}

fn init_input(ends_ms: u64) -> Vec<u8> {
    [&ends_ms.to_le_bytes()[..], &LEAST.to_le_bytes()].concat()
}

fn deployed() -> Auction {
    let mut mock = Mock::new();
    at(&mut mock, 1_000);
    mock.fund(ALICE, 1_000);
    mock.fund(BOB, 1_000);
    let address = mock
        .deploy(SELLER, dispatch, 0, &init_input(END_MS))
        .expect("initialised");
    Auction { mock, address }
}

impl Auction {
    fn bid(&mut self, bidder: Address, amount: u128) -> Result<Vec<u8>, Failed> {
        self.mock.call(bidder, self.address, amount, &[0x01])
    }

    fn call(&mut self, sender: Address, selector: u8) -> Result<Vec<u8>, String> {
        self.mock
            .call(sender, self.address, 0, &[selector])
            .map_err(|failed| failed.message())
    }

    fn refund(&mut self, bidder: Address) -> u128 {
        let input = [&[0x11][..], &bidder.0].concat();
        let output = self.mock.call(SELLER, self.address, 0, &input).expect("a getter");
        u128::from_le_bytes(output.try_into().expect("a u128"))
    }
}

#[test]
fn the_highest_bid_wins_and_the_others_take_their_money_back() {
    let mut auction = deployed();
    assert_eq!(auction.call(BOB, 0x10), Ok(vec![0]), "nobody bid");
    for (bidder, amount) in [(ALICE, 50), (BOB, 60), (ALICE, 61), (BOB, 100)] {
        auction.bid(bidder, amount).expect("higher than before");
    }
    assert_eq!((auction.refund(ALICE), auction.refund(BOB)), (111, 60));
    let highest = Bid {
        bidder: BOB,
        amount: 100,
    };
    assert_eq!(
        auction.call(ALICE, 0x10),
        Ok([&[1][..], &highest.to_bytes()].concat())
    );
    assert_eq!(auction.call(ALICE, 0x02), Ok(111_u128.to_le_bytes().to_vec()));
    assert_eq!(auction.call(ALICE, 0x02), Err("NothingToWithdraw".into()));
    assert_eq!(auction.mock.balance(&ALICE), 1_000);

    at(&mut auction.mock, END_MS);
    assert_eq!(auction.call(ALICE, 0x03), Ok(vec![]));
    assert_eq!(auction.mock.balance(&SELLER), 100);
    assert_eq!(auction.call(ALICE, 0x03), Err("AlreadySettled".into()));
    auction
        .call(BOB, 0x02)
        .expect("outbid oneself's earlier bid is owed still");
    assert_eq!(
        (auction.mock.balance(&BOB), auction.mock.balance(&auction.address)),
        (900, 0)
    );
    let logs = auction.mock.take_logs();
    assert_eq!(logs.len(), 5);
    assert_eq!(&logs[4].topics[0][..7], b"settled");
    assert_eq!(
        (logs[4].topics[1], &logs[4].data[..]),
        (BOB.0, &100_u128.to_le_bytes()[..])
    );
}

#[test]
fn bids_are_refused_by_name_and_keep_their_money() {
    let mut auction = deployed();
    let refused = |auction: &mut Auction, amount| auction.bid(ALICE, amount).expect_err("refused").message();
    assert_eq!(refused(&mut auction, LEAST - 1), "BidTooLow");
    auction.bid(BOB, 70).expect("the first");
    assert_eq!(refused(&mut auction, 70), "BidTooLow");
    assert_eq!(auction.mock.balance(&ALICE), 1_000);
    at(&mut auction.mock, END_MS - 1);
    auction.bid(ALICE, 71).expect("the last moment");
    at(&mut auction.mock, END_MS);
    assert_eq!(refused(&mut auction, 500), "Over");
}

#[test]
fn an_auction_is_settled_after_its_end_only() {
    let mut auction = deployed();
    auction.bid(ALICE, 50).expect("the first");
    assert_eq!(auction.call(SELLER, 0x03), Err("NotOver".into()));
    let mut without = deployed();
    at(&mut without.mock, END_MS);
    assert_eq!(without.call(SELLER, 0x03), Err("NoBids".into()));
    let late = without.mock.deploy(SELLER, dispatch, 0, &init_input(END_MS));
    assert_eq!(late.expect_err("refused").message(), "EndsInThePast");
}

/// Whatever happens, the contract holds what it owes.
#[test]
fn the_auction_always_holds_the_highest_bid_and_all_refunds() {
    let mut auction = deployed();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..300 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bidder = [ALICE, BOB][(random >> 40) as usize % 2];
        if random >> 60 < 4 {
            let _ = auction.call(bidder, 0x02);
        } else {
            let _ = auction.bid(bidder, u128::from(random >> 54));
        }
        let highest = auction
            .mock
            .storage(&auction.address, b"highest")
            .map_or(0, |bid| u128::from_le_bytes(bid[32..].try_into().expect("a bid")));
        let owed = highest + auction.refund(ALICE) + auction.refund(BOB);
        assert_eq!(auction.mock.balance(&auction.address), owed);
    }
}
