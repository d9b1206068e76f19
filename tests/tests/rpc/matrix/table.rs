//! The table: what each method answers to each reference, one cell for each situation of [`super::world::SITUATIONS`].

use super::world::Name;

/// How a request names a block.
#[derive(Clone, Copy, Debug)]
pub enum Reference {
    /// Not at all.
    LeftOut,
    Tag(&'static str),
    Height(u64),
    Hash(Name),
    /// A hash that no block has.
    UnknownHash,
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// This block, or what belongs to it: its receipt, or a value in the state after it.
    Block(Name),
    /// `null`.
    Null,
    /// The error `NotExecuted` with these numbers.
    NotExecuted { asked: u64, executed: u64 },
    /// The error `Pruned`, with this height and whatever the oldest is.
    Pruned { asked: u64 },
    /// The error `UnknownBlock`, with what was asked.
    UnknownBlock,
    /// The next nonce of the payer and nothing else.
    Nonce(u64),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Block,
    BlockInFull,
    Receipt,
    /// The account that is paid.
    Account,
    ProvenAccount,
    /// The account that pays, at `pending`.
    PendingAccount,
    Storage,
    ProvenStorage,
    Code,
    ProvenCode,
    Call,
}

impl Ask {
    /// The method's name.
    pub fn method(self) -> &'static str {
        match self {
            Self::Block | Self::BlockInFull => "millrace_getBlock",
            Self::Receipt => "millrace_getExecutionReceipt",
            Self::Account | Self::ProvenAccount | Self::PendingAccount => "millrace_getAccount",
            Self::Storage | Self::ProvenStorage => "millrace_getStorage",
            Self::Code | Self::ProvenCode => "millrace_getCode",
            Self::Call => "millrace_call",
        }
    }

    /// What else is asked for.
    pub fn with(self) -> &'static str {
        match self {
            Self::BlockInFull => " with full transactions",
            Self::ProvenAccount | Self::ProvenStorage | Self::ProvenCode => " with a proof",
            _ => "",
        }
    }
}

/// Methods that answer alike.
pub struct Group {
    pub title: &'static str,
    /// What a cell that names a block stands for.
    pub meaning: &'static str,
    pub asks: &'static [Ask],
    pub rows: &'static [(Reference, [Cell; 5])],
}

use Cell::{Block, Nonce, Null, UnknownBlock};
use Reference::{Hash, Height, LeftOut, Tag, UnknownHash};

const fn not_executed(asked: u64, executed: u64) -> Cell {
    Cell::NotExecuted { asked, executed }
}

const fn pruned(asked: u64) -> Cell {
    Cell::Pruned { asked }
}

/// Everything that takes a block reference.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Blocks",
        meaning: "A cell is the block that is shown, with `finalized` and `executed` as the situation has it. A block is shown as \
                  soon as it is stored, executed or not, and a lost one by its hash for as long as it is stored.",
        asks: &[Ask::Block, Ask::BlockInFull],
        rows: &[
            (
                LeftOut,
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("executed"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("latest"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("finalized"),
                [Block("7"), Block("7"), Block("7"), Block("7"), Block("8b")],
            ),
            (
                Tag("safe"),
                [Block("7"), Block("5"), Block("7"), Block("5"), Block("8b")],
            ),
            (
                Tag("settled"),
                [Block("3"), Block("3"), Block("3"), Block("3"), Block("4")],
            ),
            (
                Tag("pending"),
                [Block("8"), Block("8"), Block("8b"), Block("8b"), Block("8b")],
            ),
            (Height(0), [Block("genesis"); 5]),
            (Height(5), [Block("5"); 5]),
            (Height(7), [Block("7"); 5]),
            (
                Height(8),
                [Block("8"), Block("8"), Block("8b"), Block("8b"), Block("8b")],
            ),
            (Height(9), [Null; 5]),
            (Hash("5"), [Block("5"); 5]),
            (Hash("7"), [Block("7"); 5]),
            (Hash("8"), [Block("8"); 5]),
            (Hash("9"), [Null, Null, Block("9"), Block("9"), Block("9")]),
            (Hash("8b"), [Null, Null, Block("8b"), Block("8b"), Block("8b")]),
            (UnknownHash, [Null; 5]),
        ],
    },
    Group {
        title: "Execution receipts",
        meaning: "A cell is the block whose receipt is shown: never before it is durable here, never another one for the same \
                  hash, `canonical: false` for a lost block. Genesis has none.",
        asks: &[Ask::Receipt],
        rows: &[
            (
                LeftOut,
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("executed"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("latest"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("finalized"),
                [Block("7"), Null, Block("7"), Null, Block("8b")],
            ),
            (
                Tag("safe"),
                [Block("7"), Block("5"), Block("7"), Block("5"), Block("8b")],
            ),
            (
                Tag("settled"),
                [Block("3"), Block("3"), Block("3"), Block("3"), Block("4")],
            ),
            (Tag("pending"), [Block("8"), Null, Block("8b"), Null, Block("8b")]),
            (Height(0), [Null; 5]),
            (Height(5), [Block("5"); 5]),
            (Height(7), [Block("7"), Null, Block("7"), Null, Block("7")]),
            (Height(8), [Block("8"), Null, Block("8b"), Null, Block("8b")]),
            (Height(9), [Null; 5]),
            (Hash("5"), [Block("5"); 5]),
            (Hash("7"), [Block("7"), Null, Block("7"), Null, Block("7")]),
            (Hash("8"), [Block("8"), Null, Block("8"), Null, Block("8")]),
            (Hash("9"), [Null, Null, Block("9"), Null, Block("9")]),
            (Hash("8b"), [Null, Null, Block("8b"), Null, Block("8b")]),
            (UnknownHash, [Null; 5]),
        ],
    },
    Group {
        title: "State",
        meaning: "A cell is the block whose post-state is answered from, and named in `origin` with its root. What is not \
                  executed is said to be so, with both heights. The state of a lost block is there until another block of its \
                  height is final.",
        asks: &[
            Ask::Account,
            Ask::ProvenAccount,
            Ask::Storage,
            Ask::ProvenStorage,
            Ask::Code,
            Ask::ProvenCode,
            Ask::Call,
        ],
        rows: &[
            (
                LeftOut,
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("executed"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("latest"),
                [Block("8"), Block("5"), Block("8b"), Block("5"), Block("8b")],
            ),
            (
                Tag("finalized"),
                [
                    Block("7"),
                    not_executed(7, 5),
                    Block("7"),
                    not_executed(7, 5),
                    Block("8b"),
                ],
            ),
            (
                Tag("safe"),
                [Block("7"), Block("5"), Block("7"), Block("5"), Block("8b")],
            ),
            (
                Tag("settled"),
                [Block("3"), Block("3"), Block("3"), Block("3"), Block("4")],
            ),
            (Height(0), [Block("genesis"); 5]),
            (Height(5), [Block("5"); 5]),
            (
                Height(7),
                [
                    Block("7"),
                    not_executed(7, 5),
                    Block("7"),
                    not_executed(7, 5),
                    Block("7"),
                ],
            ),
            (
                Height(8),
                [
                    Block("8"),
                    not_executed(8, 5),
                    Block("8b"),
                    not_executed(8, 5),
                    Block("8b"),
                ],
            ),
            (
                Height(9),
                [
                    not_executed(9, 8),
                    not_executed(9, 5),
                    not_executed(9, 8),
                    not_executed(9, 5),
                    not_executed(9, 8),
                ],
            ),
            (Hash("5"), [Block("5"); 5]),
            (
                Hash("7"),
                [
                    Block("7"),
                    not_executed(7, 5),
                    Block("7"),
                    not_executed(7, 5),
                    Block("7"),
                ],
            ),
            (
                Hash("8"),
                [
                    Block("8"),
                    not_executed(8, 5),
                    Block("8"),
                    not_executed(8, 5),
                    pruned(8),
                ],
            ),
            (
                Hash("9"),
                [
                    UnknownBlock,
                    UnknownBlock,
                    Block("9"),
                    not_executed(9, 5),
                    pruned(9),
                ],
            ),
            (
                Hash("8b"),
                [
                    UnknownBlock,
                    UnknownBlock,
                    Block("8b"),
                    not_executed(8, 5),
                    Block("8b"),
                ],
            ),
            (UnknownHash, [UnknownBlock; 5]),
        ],
    },
    Group {
        title: "State at `pending`",
        meaning: "Nothing is known of the state after what is in flight, so the height asked for is one above the head.",
        asks: &[
            Ask::ProvenAccount,
            Ask::Storage,
            Ask::ProvenStorage,
            Ask::Code,
            Ask::ProvenCode,
            Ask::Call,
        ],
        rows: &[(
            Tag("pending"),
            [
                not_executed(9, 8),
                not_executed(9, 5),
                not_executed(9, 8),
                not_executed(9, 5),
                not_executed(9, 8),
            ],
        )],
    },
    Group {
        title: "An account at `pending`",
        meaning: "A cell is the next nonce, with what is in flight up to the head and what is pooled counted, executed or not: \
                  blocks 1 to 8 (or 8b) hold eight payments, and a ninth is in the pool. `origin`, `exists` and `balance` are \
                  null.",
        asks: &[Ask::PendingAccount],
        rows: &[(Tag("pending"), [Nonce(9); 5])],
    },
];

/// Where a transaction is said to be, by `millrace_getTransactionStatus`.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Unknown,
    Pooled,
    NonceGap { expected: u64, found: u64 },
    Included(Name),
    Executed(Name),
    Settled(Name, Name),
}

/// A transaction: of a block by its sender, in the pool, or none.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    Payment(Name),
    Increment(Name),
    PooledPayment,
    Early,
    None,
}

/// One transaction.
pub struct Located {
    pub which: Which,
    pub title: &'static str,
    /// Its status, and the block in which `millrace_getTransaction` finds it.
    pub cells: [(Place, Option<Name>); 5],
}

use Place::{Executed, Included, NonceGap, Pooled, Settled, Unknown};

/// Transactions, in each situation.
pub const TRANSACTIONS: &[Located] = &[
    Located {
        which: Which::Payment("2"),
        title: "payment in 2",
        cells: [(Settled("2", "3"), Some("2")); 5],
    },
    Located {
        which: Which::Payment("4"),
        title: "payment in 4",
        cells: [
            (Executed("4"), Some("4")),
            (Executed("4"), Some("4")),
            (Executed("4"), Some("4")),
            (Executed("4"), Some("4")),
            (Settled("4", "8b"), Some("4")),
        ],
    },
    Located {
        which: Which::Payment("7"),
        title: "payment in 7",
        cells: [
            (Executed("7"), Some("7")),
            (Included("7"), Some("7")),
            (Executed("7"), Some("7")),
            (Included("7"), Some("7")),
            (Executed("7"), Some("7")),
        ],
    },
    Located {
        which: Which::Payment("8"),
        title: "payment in 8; 8b holds another of that nonce",
        cells: [
            (Executed("8"), Some("8")),
            (Included("8"), Some("8")),
            (Executed("8"), Some("8")),
            (Included("8"), Some("8")),
            (Executed("8"), Some("8")),
        ],
    },
    Located {
        which: Which::Increment("8"),
        title: "increment in 8",
        cells: [
            (Executed("8"), Some("8")),
            (Included("8"), Some("8")),
            (Pooled, Some("8")),
            (Pooled, Some("8")),
            (Pooled, Some("8")),
        ],
    },
    Located {
        which: Which::Payment("8b"),
        title: "payment in 8b",
        cells: [
            (Unknown, None),
            (Unknown, None),
            (Executed("8b"), Some("8b")),
            (Included("8b"), Some("8b")),
            (Executed("8b"), Some("8b")),
        ],
    },
    Located {
        which: Which::PooledPayment,
        title: "payment in the pool",
        cells: [(Pooled, None); 5],
    },
    Located {
        which: Which::Early,
        title: "payment in the pool, of nonce 5 after none",
        cells: [(
            NonceGap {
                expected: 0,
                found: 5,
            },
            None,
        ); 5],
    },
    Located {
        which: Which::None,
        title: "none",
        cells: [(Unknown, None); 5],
    },
];

/// Height → the block that settles it, by `millrace_getSettlement`.
pub const SETTLEMENTS: &[(u64, [Option<Name>; 5])] = &[
    (0, [Some("genesis"); 5]),
    (3, [Some("4"); 5]),
    (4, [None, None, None, None, Some("8b")]),
    (5, [None; 5]),
    (7, [None; 5]),
    (8, [None; 5]),
    (9, [None; 5]),
];

/// First height → the last block of the list that `millrace_getHeaders` answers; none for an empty list.
pub const HEADERS: &[(u64, [Option<Name>; 5])] = &[
    (5, [Some("7"), Some("7"), Some("7"), Some("7"), Some("8b")]),
    (8, [None, None, None, None, Some("8b")]),
    (9, [None; 5]),
];

/// Methods without a block reference, and why.
pub const WITHOUT: &[(&str, &str)] = &[
    (
        "millrace_status",
        "names the blocks of all tags by height; it is where to look which answer a tag will give",
    ),
    ("millrace_chainSpec", "the same for the chain's whole life"),
    (
        "millrace_getHeaders",
        "by height, of the finalized chain alone: what may still change is of no use to who verifies; below",
    ),
    (
        "millrace_getSettlement",
        "by height, of the finalized chain alone: only a finalized header settles; below",
    ),
    ("millrace_getTransaction", "by the transaction's hash; below"),
    (
        "millrace_getTransactionReceipt",
        "by the transaction's hash; it names the block, and whether that is canonical; below",
    ),
    (
        "millrace_getTransactionStatus",
        "by the transaction's hash; it names the block, and whether that is canonical; below",
    ),
    (
        "millrace_sendTransaction",
        "judged against the settled state, with what is in flight and pooled before it reserved",
    ),
    (
        "millrace_subscribe",
        "from now on; the topics `finalized`, `executed`, `settled` and `head` are when the tags of these names move",
    ),
    ("millrace_unsubscribe", "ends a subscription"),
    (
        "rpc.discover",
        "the surface itself: the same for the node's whole life",
    ),
];

/// How a client of Ethereum's methods finds its way.
pub struct Mapping {
    pub theirs: &'static str,
    pub expects: &'static str,
    pub ours: &'static str,
    pub differs: &'static str,
}

/// Tags.
pub const TAGS: &[Mapping] = &[
    Mapping {
        theirs: "latest",
        expects: "the head, with its state",
        ours: "latest",
        differs: "taken, and the same as `executed`: the newest block of the head chain that is *executed*. The head may be above \
                  it (`pending`), and so may the finalized block",
    },
    Mapping {
        theirs: "safe",
        expects: "justified: above `finalized`, and unlikely to be reorganized",
        ours: "safe",
        differs: "taken; min(finalized, executed): never above `finalized`, never reorganized, and its state is always there",
    },
    Mapping {
        theirs: "finalized",
        expects: "final, with its state",
        ours: "finalized",
        differs: "taken; the block is final, but its state may not be there yet: `NotExecuted`. Who wants state that is final asks \
                  for `safe`, who wants to prove it for `settled`",
    },
    Mapping {
        theirs: "pending",
        expects: "a block made up of the head and the pool, with its state",
        ours: "pending",
        differs: "taken; the head. The nonce of an account counts what is in flight and pooled; of the rest of the state nothing is \
                  said: `NotExecuted`",
    },
    Mapping {
        theirs: "earliest",
        expects: "genesis",
        ours: "0",
        differs: "not taken: `InvalidParams`. Height 0 is genesis",
    },
    Mapping {
        theirs: "0x7",
        expects: "a height in hex",
        ours: "7",
        differs: "not taken: `InvalidParams`. A height is a number; hex is a hash of 32 bytes",
    },
];

/// Methods.
pub const METHODS: &[Mapping] = &[
    Mapping {
        theirs: "eth_blockNumber",
        expects: "the head's height",
        ours: "millrace_status",
        differs: "five heights; `heights.executed` is what `latest` means here",
    },
    Mapping {
        theirs: "eth_getBlockByNumber, eth_getBlockByHash",
        expects: "the block, whose `stateRoot` is that of the state after it",
        ours: "millrace_getBlock",
        differs: "a header commits to no state of its own block: its receipt, or `origin` of a state answer, has the root. \
                  `finalized` and `executed` stand beside it",
    },
    Mapping {
        theirs: "eth_getTransactionCount",
        expects: "the nonce; at `pending` with the pool",
        ours: "millrace_getAccount",
        differs: "`nonce`; at `pending` the same",
    },
    Mapping {
        theirs: "eth_getBalance",
        expects: "the balance",
        ours: "millrace_getAccount",
        differs: "`balance`, a decimal string; null at `pending`",
    },
    Mapping {
        theirs: "eth_getStorageAt, eth_getCode",
        expects: "the value, zeros if there is none",
        ours: "millrace_getStorage, millrace_getCode",
        differs: "null if there is none; keys and values are bytes of any length",
    },
    Mapping {
        theirs: "eth_getProof",
        expects: "a proof against the block's `stateRoot`",
        ours: "millrace_getAccount, millrace_getStorage",
        differs: "with `proof`, at `settled`: only there a finalized header commits to the root (`millrace_getSettlement`)",
    },
    Mapping {
        theirs: "eth_call",
        expects: "the output, at `latest` or `pending`",
        ours: "millrace_call",
        differs: "how it ended is an answer, not an error; never at `pending`",
    },
    Mapping {
        theirs: "eth_sendRawTransaction",
        expects: "the hash",
        ours: "millrace_sendTransaction",
        differs: "funds that are credited and not settled yet do not count: such a transaction waits in the pool",
    },
    Mapping {
        theirs: "eth_getTransactionReceipt",
        expects: "the receipt as soon as the block is there",
        ours: "millrace_getTransactionReceipt",
        differs: "null until the block is executed, be it final; then `settled_by` says whether it can be proven. After a reorg it \
                  stays, with `canonical: false`, unless the transaction waits in the pool again",
    },
    Mapping {
        theirs: "eth_subscribe",
        expects: "`newHeads`, and `logs` with `removed`",
        ours: "millrace_subscribe",
        differs: "`head` tells moves with what came and went, `executed` tells receipts and takes them back by `removed`; each \
                  numbered",
    },
];
