//! A wallet that pays and calls what enough of its owners signed.
//!
//! Owners are Ed25519 keys. What they sign is the BLAKE3 hash of one [`Order`](multisig::Order), 160 bytes: a domain that
//! no other protocol uses, the chain, this wallet, the wallet's nonce, and whom to call with which value and input (by its
//! hash). So a signature is good on one chain, for one wallet, once. Anyone may bring the signatures.
//!
//! Owners and threshold change by orders as well: the wallet calls itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use millrace_contract::contract;

#[contract]
mod multisig {
    use alloc::vec::Vec;

    use millrace_contract::storage::{Item, Vector};
    use millrace_contract::{Address, Error, Event, Fixed, host, storage};

    /// What every order begins with.
    pub const DOMAIN: [u8; 32] = host::topic("millrace/example-multisig/1");

    /// More owners would make an execution dear for little.
    const MAX_OWNERS: usize = 16;

    #[storage]
    struct Storage {
        owners: Vector<[u8; 32]>,
        threshold: Item<u32>,
        nonce: Item<u64>,
    }

    /// What owners sign the hash of.
    #[derive(Clone, Copy, Fixed)]
    pub struct Order {
        pub domain: [u8; 32],
        pub chain_id: u64,
        pub wallet: Address,
        pub nonce: u64,
        pub to: Address,
        pub value: u128,
        pub input_hash: [u8; 32],
    }

    /// An owner's word for an order.
    #[derive(Clone, Copy, Fixed)]
    pub struct Approval {
        /// Which owner.
        pub owner: u32,
        /// Of the hash of the order.
        pub signature: [u8; 64],
    }

    /// An order was carried out.
    #[derive(Event)]
    struct Executed {
        #[topic]
        to: Address,
        nonce: u64,
        value: u128,
    }

    /// An owner's key was replaced.
    #[derive(Event)]
    struct OwnerReplaced {
        #[topic]
        key: [u8; 32],
        owner: u32,
    }

    #[derive(Error, Debug)]
    enum MultisigError {
        /// A wallet has 1 to 16 owners, none of them twice.
        BadOwners,
        /// The threshold is 1 to the number of owners.
        BadThreshold,
        /// Fewer owners signed than the threshold.
        NotEnoughApprovals,
        /// Approvals are sorted by owner, and none is there twice.
        UnsortedApprovals,
        /// There is no owner of this number.
        NoSuchOwner,
        /// A signature is not this owner's for this order.
        BadSignature,
        /// What the order calls did not succeed.
        CallFailed,
        /// Only an order of the wallet to itself may do this.
        OnlyByItself,
    }

    #[init(payable)]
    fn init(threshold: u32, owners: Vec<[u8; 32]>) -> Result<(), MultisigError> {
        if owners.is_empty() || owners.len() > MAX_OWNERS {
            return Err(MultisigError::BadOwners);
        }
        for (index, owner) in owners.iter().enumerate() {
            if owners[..index].contains(owner) {
                return Err(MultisigError::BadOwners);
            }
            STORAGE.owners.push(*owner);
        }
        STORAGE.nonce.set(0);
        keep_threshold(threshold)
    }

    fn keep_threshold(threshold: u32) -> Result<(), MultisigError> {
        if threshold == 0 || threshold > STORAGE.owners.len() {
            return Err(MultisigError::BadThreshold);
        }
        STORAGE.threshold.set(threshold);
        Ok(())
    }

    /// Takes value for the wallet.
    #[call(0x01, payable)]
    fn deposit() {}

    /// Calls `to` with `value` and `input`, or pays it where `input` is empty, and returns its output.
    #[call(0x02)]
    fn execute(
        to: Address,
        value: u128,
        input: &[u8],
        approvals: Vec<Approval>,
    ) -> Result<Vec<u8>, MultisigError> {
        let nonce = STORAGE.nonce.get_or_zero();
        let order = Order {
            domain: DOMAIN,
            chain_id: host::block_context().chain_id,
            wallet: host::self_address(),
            nonce,
            to,
            value,
            input_hash: host::blake3(input),
        };
        check_approvals(&order, &approvals)?;
        // Before the call, which may come back here: the same signatures are worth nothing then.
        STORAGE.nonce.set(nonce + 1);
        let output = if input.is_empty() {
            host::transfer(&to, value).map_err(|_| MultisigError::CallFailed)?;
            Vec::new()
        } else {
            let length = host::call(&to, value, u64::MAX, input).map_err(|_| MultisigError::CallFailed)?;
            host::return_data(length)
        };
        Executed { to, nonce, value }.emit();
        Ok(output)
    }

    fn check_approvals(order: &Order, approvals: &[Approval]) -> Result<(), MultisigError> {
        if approvals.len() < STORAGE.threshold.get_or_zero() as usize {
            return Err(MultisigError::NotEnoughApprovals);
        }
        let message = host::blake3(&order.to_bytes());
        let mut next = 0;
        for approval in approvals {
            if approval.owner < next {
                return Err(MultisigError::UnsortedApprovals);
            }
            let key = STORAGE
                .owners
                .get(approval.owner)
                .ok_or(MultisigError::NoSuchOwner)?;
            if !host::ed25519_verify(&key, &message, &approval.signature) {
                return Err(MultisigError::BadSignature);
            }
            next = approval.owner + 1;
        }
        Ok(())
    }

    /// Gives an owner another key.
    #[call(0x03)]
    fn replace_owner(owner: u32, key: [u8; 32]) -> Result<(), MultisigError> {
        only_by_itself()?;
        if owner >= STORAGE.owners.len() {
            return Err(MultisigError::NoSuchOwner);
        }
        if STORAGE.owners.iter().any(|other| other == key) {
            return Err(MultisigError::BadOwners);
        }
        STORAGE.owners.set(owner, key);
        OwnerReplaced { key, owner }.emit();
        Ok(())
    }

    /// Sets how many owners must sign.
    #[call(0x04)]
    fn set_threshold(threshold: u32) -> Result<(), MultisigError> {
        only_by_itself()?;
        keep_threshold(threshold)
    }

    fn only_by_itself() -> Result<(), MultisigError> {
        if host::caller() == host::self_address() {
            Ok(())
        } else {
            Err(MultisigError::OnlyByItself)
        }
    }

    /// The number that the next order carries.
    #[call(0x10)]
    fn nonce() -> u64 {
        STORAGE.nonce.get_or_zero()
    }

    /// How many owners must sign.
    #[call(0x11)]
    fn threshold() -> u32 {
        STORAGE.threshold.get_or_zero()
    }

    /// The owners' keys.
    #[call(0x12)]
    fn owners() -> Vec<[u8; 32]> {
        STORAGE.owners.iter().collect()
    }
}

#[cfg(test)]
mod tests;
