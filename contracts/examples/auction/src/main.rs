//! An English auction: the highest bid wins when the time is over, and everyone else takes their money back.
//!
//! Nobody is paid by a bid of another: who was outbid withdraws. So no bidder can keep the next one out by a contract
//! that refuses money, and a bid's gas depends on nobody.
#![cfg_attr(target_os = "none", no_std, no_main)]

use millrace_contract::contract;

#[contract]
mod auction {
    use millrace_contract::storage::{Item, Map};
    use millrace_contract::{Address, Error, Event, Fixed, host, storage};

    /// Who offers how much.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Fixed)]
    pub struct Bid {
        pub bidder: Address,
        pub amount: u128,
    }

    #[storage]
    struct Storage {
        seller: Item<Address>,
        /// In milliseconds since the Unix epoch.
        ends_ms: Item<u64>,
        least: Item<u128>,
        highest: Item<Bid>,
        settled: Item<bool>,
        #[key("refund/")]
        refunds: Map<Address, u128>,
    }

    /// A bid is the highest now.
    #[derive(Event)]
    struct BidPlaced {
        #[topic]
        bidder: Address,
        amount: u128,
    }

    /// The auction is over, and the seller was paid.
    #[derive(Event)]
    struct Settled {
        #[topic]
        winner: Address,
        amount: u128,
    }

    #[derive(Error)]
    enum AuctionError {
        /// The end lies in the past.
        EndsInThePast,
        /// The time for bids is over.
        Over,
        /// The time for bids is not over.
        NotOver,
        /// A bid is at least the least one, and more than the highest.
        BidTooLow,
        /// The caller has nothing to withdraw.
        NothingToWithdraw,
        /// Nobody bid.
        NoBids,
        /// The seller was paid already.
        AlreadySettled,
    }

    /// The deployer sells, until `ends_ms`, for `least` or more.
    #[init]
    fn init(ends_ms: u64, least: u128) -> Result<(), AuctionError> {
        if ends_ms <= host::block_context().timestamp_ms {
            return Err(AuctionError::EndsInThePast);
        }
        STORAGE.seller.set(host::caller());
        STORAGE.ends_ms.set(ends_ms);
        STORAGE.least.set(least);
        Ok(())
    }

    fn is_over() -> bool {
        host::block_context().timestamp_ms >= STORAGE.ends_ms.get_or_zero()
    }

    /// Bids what comes with the call.
    #[call(0x01, payable)]
    fn bid() -> Result<(), AuctionError> {
        if is_over() {
            return Err(AuctionError::Over);
        }
        let (bidder, amount) = (host::caller(), host::value());
        let highest = STORAGE.highest.get();
        let beaten = highest.map_or(0, |bid| bid.amount);
        if amount <= beaten || amount < STORAGE.least.get_or_zero() {
            return Err(AuctionError::BidTooLow);
        }
        if let Some(outbid) = highest {
            let sum = STORAGE.refunds.get_or_zero(&outbid.bidder) + outbid.amount;
            STORAGE.refunds.set(&outbid.bidder, sum);
        }
        STORAGE.highest.set(Bid { bidder, amount });
        BidPlaced { bidder, amount }.emit();
        Ok(())
    }

    /// Pays the caller what others outbid, and returns how much that was.
    #[call(0x02)]
    fn withdraw() -> Result<u128, AuctionError> {
        let bidder = host::caller();
        let amount = STORAGE.refunds.get_or_zero(&bidder);
        if amount == 0 {
            return Err(AuctionError::NothingToWithdraw);
        }
        STORAGE.refunds.remove(&bidder);
        host::transfer(&bidder, amount).expect("the auction holds what it owes");
        Ok(amount)
    }

    /// Pays the seller when the time is over. Anyone may ask for it.
    #[call(0x03)]
    fn settle() -> Result<(), AuctionError> {
        if !is_over() {
            return Err(AuctionError::NotOver);
        }
        if STORAGE.settled.get_or_zero() {
            return Err(AuctionError::AlreadySettled);
        }
        let Bid { bidder, amount } = STORAGE.highest.get().ok_or(AuctionError::NoBids)?;
        STORAGE.settled.set(true);
        let seller = STORAGE.seller.get_or_zero();
        host::transfer(&seller, amount).expect("the auction holds the highest bid");
        Settled {
            winner: bidder,
            amount,
        }
        .emit();
        Ok(())
    }

    /// The highest bid so far.
    #[call(0x10)]
    fn highest() -> Option<Bid> {
        STORAGE.highest.get()
    }

    /// What an account can withdraw.
    #[call(0x11)]
    fn refund_of(bidder: Address) -> u128 {
        STORAGE.refunds.get_or_zero(&bidder)
    }

    /// When bids end, in milliseconds since the Unix epoch.
    #[call(0x12)]
    fn ends_ms() -> u64 {
        STORAGE.ends_ms.get_or_zero()
    }
}

#[cfg(test)]
mod tests;
