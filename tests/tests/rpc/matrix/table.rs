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
    /// The error `NotCanonical` with this block, and its newest ancestor that is canonical.
    NotCanonical { lost: Name, shared: Name },
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
    /// The paths of the account that is paid, of the counter's storage and of its code.
    State,
    ProvenState,
    Call,
    /// Gas of one more increment.
    Estimate,
    /// Logs of the block.
    Logs,
    /// Logs from genesis to the block.
    LogsUpTo,
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
            Self::State | Self::ProvenState => "millrace_getState",
            Self::Call => "millrace_call",
            Self::Estimate => "millrace_estimateGas",
            Self::Logs | Self::LogsUpTo => "millrace_getLogs",
        }
    }

    /// What else is asked for.
    pub fn with(self) -> &'static str {
        match self {
            Self::BlockInFull => " with full transactions",
            Self::Logs => " with `block`",
            Self::LogsUpTo => " from genesis, with `to`",
            Self::ProvenAccount | Self::ProvenStorage | Self::ProvenCode | Self::ProvenState => {
                " with a proof"
            }
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

const fn not_canonical(lost: Name) -> Cell {
    Cell::NotCanonical { lost, shared: "7" }
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
            Ask::State,
            Ask::ProvenState,
            Ask::Call,
            Ask::Estimate,
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
            Ask::State,
            Ask::ProvenState,
            Ask::Call,
            Ask::Estimate,
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
    Group {
        title: "Logs",
        meaning: "A cell is the block whose logs are told, or up to which they are, each with `finalized` and `settled_by` as the \
                  situation has it. A range ends where execution does: what lies above is said not to be executed. Only \
                  canonical blocks have logs here; of a lost one it is said where the chain left it. Genesis has none.",
        asks: &[Ask::Logs, Ask::LogsUpTo],
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
            (
                Tag("pending"),
                [
                    not_executed(9, 8),
                    not_executed(9, 5),
                    not_executed(9, 8),
                    not_executed(9, 5),
                    not_executed(9, 8),
                ],
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
                    not_canonical("8"),
                    not_canonical("8"),
                    not_canonical("8"),
                ],
            ),
            (
                Hash("9"),
                [
                    UnknownBlock,
                    UnknownBlock,
                    not_canonical("9"),
                    not_canonical("9"),
                    not_canonical("9"),
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
        "from now on; the topics `finalized`, `executed`, `settled` and `head` are when the tags of these names move, \
         `transactions` and `logs` what the blocks hold that `executed` tells of",
    ),
    ("millrace_unsubscribe", "ends a subscription"),
    (
        "rpc.discover",
        "the surface itself: the same for the node's whole life",
    ),
];
