//! How who knows Ethereum's tags and methods finds the way.

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
        theirs: "eth_estimateGas",
        expects: "a limit that does, at `latest` or `pending`; an error if it reverts",
        ours: "millrace_estimateGas",
        differs: "`gas_limit`, the smallest that does; how a failing one ends is an answer, with `gas_limit` null; never at \
                  `pending`",
    },
    Mapping {
        theirs: "eth_getLogs",
        expects: "all logs of a range; `blockHash` for one block; nothing where the range is above the head",
        ours: "millrace_getLogs",
        differs: "a page at a time, by `cursor`; `block` for one block; `NotExecuted` where the range is above execution, \
                  `NotCanonical` where a block that is named or a cursor's is lost",
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
        differs: "`head` tells moves with what came and went; `executed`, `transactions` and `logs` tell what is executed, and \
                  take it back by `removed`, a block at a time; each numbered",
    },
];
