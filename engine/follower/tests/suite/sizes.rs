//! The sizes of docs/design/light-client.md, measured on a real chain. `MILLRACE_BLESS=1` writes them anew.

use std::path::PathBuf;

use millrace_types::{Address, Header, codec};
use serde_json::{Value, json};

use crate::questions::call;
use crate::sequencer;
use crate::world::{Consensus, OPTIONS, World, spec};

fn bytes(hex: &Value) -> usize {
    (hex.as_str().unwrap().len() - 2) / 2
}

struct Sizes {
    header: usize,
    certificate: usize,
    settlement: Vec<usize>,
    account: usize,
    no_account: usize,
    slot: usize,
    receipt: usize,
    inclusion: usize,
    full_inclusion: usize,
}

fn measured(world: &mut World) -> Sizes {
    // A block with as many transactions as this chain allows.
    for sender in 0..16 {
        let first = if sender == 0 { 1 } else { 0 };
        (first..first + 4).for_each(|nonce| world.transfer(sender, nonce, 1));
    }
    world.settle();
    let ask = |method: &str, params: Value| call(&world.url, method, &params)["result"].take();
    let height = world.chain.engine.heights().settled;
    let sealed = ask("getHeaders", json!([1, 1]));
    let header = Header::decode(
        &millrace_types::hex::parse_bytes(sealed[0]["header"].as_str().unwrap(), 4_096).unwrap(),
        world.chain.engine.spec(),
    );
    let proof_of =
        |hash: &millrace_types::Hash| ask("getTransactionReceipt", json!([hash, true]))["proof"].take();
    let (first, last) = (proof_of(&world.sent[0]), proof_of(world.sent.last().unwrap()));
    let account = |address: Address| bytes(&ask("getAccount", json!([address, height, true]))["proof"]);
    let settlement = (1..=height).map(|height| bytes(&ask("getSettlement", json!([height]))["receipts"]));
    Sizes {
        header: codec::encoded_len(&header.unwrap()),
        certificate: bytes(&sealed[0]["certificate"]),
        settlement: settlement.collect(),
        account: account(sequencer::address(3)),
        no_account: account(Address([0x5a; 32])),
        slot: bytes(&ask("getStorage", json!([world.counter, "0x636f756e74", height, true]))["proof"]),
        receipt: bytes(&last["receipt"]),
        inclusion: bytes(&first["inclusion"]),
        full_inclusion: bytes(&last["inclusion"]),
    }
}

#[test]
fn the_documented_sizes_are_those_of_a_chain() {
    let [b, a] = OPTIONS.map(|option| {
        let mut world = World::new(spec(option, Consensus::Solo));
        world.deploy();
        measured(&mut world)
    });
    // A header whose roots are those of its own execution: without settled height, settlement hash and the option's tag,
    // with a state root and a receipts root.
    let same = b.header - 8 - 32 - 1 + 32 + 32;
    let least = |sizes: &Sizes| *sizes.settlement.iter().min().unwrap();
    assert_eq!((least(&a), least(&b)), (4 + 121, 4 + 121));
    let rows = [
        (
            "header, without what a consensus puts into it",
            same,
            a.header,
            b.header,
        ),
        (
            "certificate of `solo/1` or `longest-chain/1`",
            b.certificate,
            a.certificate,
            b.certificate,
        ),
        (
            "settlement of one block, of n: 4 + 121 n",
            0,
            least(&a),
            least(&b),
        ),
        (
            "proof of an account, in a state with 19 entries",
            b.account,
            a.account,
            b.account,
        ),
        (
            "proof that there is no account",
            b.no_account,
            a.no_account,
            b.no_account,
        ),
        ("proof of a storage slot", b.slot, a.slot, b.slot),
        ("receipt of a transfer", b.receipt, a.receipt, b.receipt),
        (
            "its inclusion, in a block with one transaction",
            b.inclusion,
            a.inclusion,
            b.inclusion,
        ),
        (
            "its inclusion, in a block with 64",
            b.full_inclusion,
            a.full_inclusion,
            b.full_inclusion,
        ),
        (
            "to follow a block",
            same + b.certificate,
            a.header + a.certificate,
            b.header + b.certificate,
        ),
        (
            "to follow a block and know its root",
            same + b.certificate,
            a.header + a.certificate,
            b.header + b.certificate + 125,
        ),
        (
            "to follow a block and know its receipts root",
            same + b.certificate,
            a.header + a.certificate + 125,
            b.header + b.certificate + 125,
        ),
    ];
    let mut table =
        "| canonical bytes | same-block roots | option A | option B |\n|---|---|---|---|\n".to_owned();
    for (what, same, a, b) in rows {
        table += &format!("| {what} | {same} | {a} | {b} |\n");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/light-client.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- sizes -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- /sizes -->").unwrap();
    if millrace_tests::tools::number("MILLRACE_BLESS", 0) > 0 {
        std::fs::write(
            &path,
            format!("{before}<!-- sizes -->\n{table}<!-- /sizes -->{after}"),
        )
        .unwrap();
        return;
    }
    assert_eq!(
        found, table,
        "run this test with MILLRACE_BLESS=1, and look at what changed"
    );
}
