//! Bytes that a plugin may hand over for a block, and that are none.

use millrace_types::{Block, codec};

use super::block::{call_of, valid};
use super::chain::{Chain, spec, transfer};
use super::{Case, case, check};

/// The valid block's bytes, changed.
fn bytes(name: &'static str, change: fn(&mut Vec<u8>), expected: &'static str) -> Case {
    let read = move || {
        let mut bytes = codec::encode(&valid(&Chain::of(spec(), 1)));
        change(&mut bytes);
        Block::decode(&bytes, &spec())
    };
    case(name, read, expected)
}

/// The bytes of the valid block, changed before it is encoded.
fn encoded(name: &'static str, change: fn(&mut Block), expected: &'static str) -> Case {
    let read = move || {
        let mut block = valid(&Chain::of(spec(), 1));
        change(&mut block);
        Block::decode(&codec::encode(&block), &spec())
    };
    case(name, read, expected)
}

pub fn cases() -> Vec<Case> {
    vec![
        bytes(
            "block: no bytes",
            Vec::clear,
            "Block: the input ends before the value does at byte 0 of 0",
        ),
        bytes(
            "block: cut short",
            |bytes| bytes.truncate(300),
            "Block: the input ends before the value does at byte 300 of 300",
        ),
        bytes(
            "block: bytes after its end",
            |bytes| bytes.push(0),
            "Block: ends at byte 662, but 663 bytes were given",
        ),
        bytes(
            "block: longer than the chain allows",
            |bytes| bytes.resize((1 << 16) + 1, 0),
            "Block: 65537 bytes, more than the limit of 65536",
        ),
        bytes(
            "block: neither with nor without a delayed root",
            // Version, chain, height, parent, time, proposer, root, gas, settled height, settlement hash.
            |bytes| bytes[2 + 8 + 8 + 32 + 8 + 32 + 32 + 8 + 8 + 32] = 2,
            "Block: Invalid Option representation: 2. The first byte must be 0 or 1 at byte 171 of 662",
        ),
        bytes(
            "block: a list of 4 billion receipts",
            |bytes| {
                let end = bytes.len();
                let receipts = end - millrace_types::receipt::EXECUTION_RECEIPT_BYTES - 4;
                bytes[receipts..receipts + 4].fill(0xff);
            },
            "Block: the input ends before the value does at byte 662 of 662",
        ),
        encoded(
            "block: consensus data too long in the bytes",
            |block| block.header.consensus_data = vec![0; 65],
            "Block: bytes of consensus_data is 65, more than the limit of 64",
        ),
        encoded(
            "block: seal too long in the bytes",
            |block| block.header.seal = vec![0; 129],
            "Block: bytes of seal is 129, more than the limit of 128",
        ),
        encoded(
            "block: too many receipts",
            |block| {
                let receipt = block.body.receipts[0].clone();
                block.body.receipts = vec![receipt; 5];
            },
            "Block: number of receipts is 5, more than the limit of 4",
        ),
        encoded(
            "block: too many transactions",
            |block| {
                block.body.transactions = (0..9).map(|nonce| transfer(1, nonce)).collect();
            },
            "Block: number of transactions is 9, more than the limit of 8",
        ),
        encoded(
            "block: a transaction too long",
            |block| block.body.transactions = vec![call_of((1 << 14) + 1)],
            "Block: bytes of a transaction is 16385, more than the limit of 16384",
        ),
    ]
}

#[test]
fn bytes_of_blocks() {
    check("bytes of a block", 10, &cases());
}
