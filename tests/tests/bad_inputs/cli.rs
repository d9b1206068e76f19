//! Commands that are given what they cannot use.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::rc::Rc;

use super::process::{LazyNode, refusal};
use super::{Case, case, check};

/// A key that owns nothing.
const KEY: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
const ZERO: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// A command in a directory that holds `text.txt`.
fn command(name: &'static str, arguments: &'static [&'static str], expected: &'static str) -> Case {
    let run = move || {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("text.txt"), "no ELF, no key\n").unwrap();
        refusal(arguments, directory.path()).map_or(Ok(()), Err)
    };
    case(name, run, expected)
}

/// A command that talks to a development chain; `{rpc}` stands for its address, `{token}` for a contract's ELF.
fn at_node(
    name: &'static str,
    node: &Rc<LazyNode>,
    arguments: &'static [&'static str],
    expected: &'static str,
) -> Case {
    let node = Rc::clone(node);
    let run = move || {
        let node = node.get();
        let token = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/artifacts/token.elf");
        let (token, url) = (token.to_str().unwrap(), format!("http://{}", node.address));
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| {
                argument
                    .replace("{token}", token)
                    .replace("{rpc}", &url)
                    .replace("{genesis}", &node.genesis)
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = refusal(&arguments, tempfile::tempdir().unwrap().path());
        node.assert_well();
        said.map_or(Ok(()), |said| {
            Err(said.replace(&url, "{rpc}").replace(&node.genesis, "{genesis}"))
        })
    };
    case(name, run, expected)
}

fn usage_cases() -> Vec<Case> {
    vec![
        command(
            "command: unknown",
            &["grow"],
            "status 2: error: unrecognized subcommand 'grow'\n\nUsage: millrace [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a contract's name that is a path",
            &["contract", "new", "../up"],
            "contract new: \"../up\" is no name: letters, digits, `-` and `_`, a letter first",
        ),
        command(
            "command: a contract's name that Rust has",
            &["contract", "new", "std"],
            "contract new: \"std\" is taken; choose another name",
        ),
        command(
            "command: an SDK that is none",
            &["contract", "new", "mine", "--sdk", "."],
            "contract new: --sdk .: holds no package millrace-contract: give the folder contracts/sdk",
        ),
        command(
            "command: checks a file that is not there",
            &["contract", "check", "none.elf"],
            "cannot read none.elf: No such file or directory (os error 2)",
        ),
        command(
            "command: calls by name without an interface",
            &["contract", "read", ZERO, "balance_of", ZERO],
            "status 2: error: the following required arguments were not provided:\n  --interface <FILE>\n\nUsage: millrace contract read --interface <FILE> <CONTRACT> <FUNCTION> <ARGUMENTS>...\n\nFor more information, try '--help'.",
        ),
        command(
            "command: an interface that is text",
            &[
                "contract",
                "read",
                ZERO,
                "balance_of",
                ZERO,
                "--interface",
                "text.txt",
            ],
            "interface text.txt: not the JSON of a contract's interface: expected ident at line 1 column 2; `millrace contract build` writes one",
        ),
        command(
            "command: K = 0",
            &["dev", "--max-receipt-lag", "0"],
            "status 2: error: invalid value '0' for '--max-receipt-lag <MAX_RECEIPT_LAG>': 0 is not in 1..=1000\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a rate without load",
            &["dev", "--rate", "5"],
            "status 2: error: the following required arguments were not provided:\n  --load <LOAD>\n\nUsage: millrace dev --load <LOAD> --rate <RATE>\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a rate of nothing",
            &["dev", "--load", "token", "--rate", "0"],
            "status 2: error: invalid value '0' for '--rate <RATE>': 0 is not in 1..=1000000\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a rate beyond the clock",
            &["dev", "--load", "token", "--rate", "18446744073709551615"],
            "status 2: error: invalid value '18446744073709551615' for '--rate <RATE>': 18446744073709551615 is not in 1..=1000000\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a filter that is none",
            &["--log", "[[", "keys", "show", KEY],
            "--log [[: invalid filter directive; give a level like info, or millrace_pipeline=debug,warn",
        ),
        command(
            "command: runs what is not there",
            &["run", "none.elf"],
            "status 2: millrace: cannot read none.elf: No such file or directory (os error 2)",
        ),
        command(
            "command: runs a text",
            &["run", "text.txt"],
            "status 2: millrace: text.txt is refused by machine version 2: file has 15 bytes, an ELF header needs 64: the file is no ELF file or was cut",
        ),
        command(
            "command: inspects a directory",
            &["inspect", "."],
            "status 2: millrace: cannot read .: Is a directory (os error 21)",
        ),
        command(
            "command: times what is not there",
            &["bench", "jit", "none.elf"],
            "status 2: millrace: cannot read none.elf: No such file or directory (os error 2)",
        ),
        command(
            "command: times a text",
            &["bench", "jit", "text.txt"],
            "status 2: millrace: text.txt is refused by machine version 2: file has 15 bytes, an ELF header needs 64: the file is no ELF file or was cut",
        ),
        command(
            "command: no rounds",
            &["bench", "jit", "--rounds", "0"],
            "status 2: error: invalid value '0' for '--rounds <N>': 0 is not in 1..=1000\n\nFor more information, try '--help'.",
        ),
        command(
            "command: times less than a program needs",
            &["bench", "jit", "--rounds", "1", "--gas", "1000"],
            "calls ends by a trap, out of gas: there is nothing to time; `millrace run` shows where, --gas gives it more gas",
        ),
        command(
            "command: arguments for no program",
            &["bench", "jit", "--", "5"],
            "status 2: error: the following required arguments were not provided:\n  <PROGRAM>\n\nUsage: millrace bench jit <PROGRAM> -- <ARGS>...\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a key that is no file",
            &["keys", "show", "none.key"],
            "key none.key: No such file or directory (os error 2); give a file made by `millrace keys new`, or 32 bytes in hex",
        ),
        command(
            "command: a key file with a text",
            &["keys", "show", "text.txt"],
            "key text.txt: 'n' at position 0 is no hex digit; give a file made by `millrace keys new`, or 32 bytes in hex",
        ),
        command(
            "command: a key over another file",
            &["keys", "new", "text.txt"],
            "keys new: text.txt: File exists (os error 17); name a file that does not exist yet",
        ),
        command(
            "command: an RPC that is no URL",
            &["tx", "status", ZERO, "--rpc", "here"],
            "here is no URL of a node (Invalid Url: Invalid URL: relative URL without a base); it looks like http://127.0.0.1:4860",
        ),
        command(
            "command: an RPC behind TLS",
            &["tx", "status", ZERO, "--rpc", "https://127.0.0.1:1"],
            "https://127.0.0.1:1 is no URL of a node (Invalid Url: URL scheme not supported, expects 'http'); it looks like http://127.0.0.1:4860",
        ),
        command(
            "command: nobody at the RPC",
            &["tx", "status", ZERO, "--rpc", "http://127.0.0.1:1"],
            "http://127.0.0.1:1: no answer (client error (Connect)); is the node running there?",
        ),
        command(
            "command: an address too short",
            &["tx", "transfer", "--to", "0x12", "--value", "1", "--key", KEY],
            "status 2: error: invalid value '0x12' for '--to <TO>': 2 hex digits where 64 are needed (beside an optional 0x)\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a negative value",
            &["tx", "transfer", "--to", ZERO, "--value=-1", "--key", KEY],
            "status 2: error: invalid value '-1' for '--value <VALUE>': an amount takes decimal digits, less than 2^128\n\nFor more information, try '--help'.",
        ),
        command(
            "command: a contract that is not there",
            &[
                "contract",
                "deploy",
                "none.elf",
                "--key",
                KEY,
                "--rpc",
                "http://127.0.0.1:1",
            ],
            "contract deploy: cannot read none.elf: No such file or directory (os error 2)",
        ),
    ]
}

fn port_case() -> Case {
    let run = || {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let directory = tempfile::tempdir().unwrap();
        let said = refusal(&["dev", "--txs", "0", "--rpc-listen", &address], directory.path());
        said.map_or(Ok(()), |said| Err(said.replace(&address, "{address}")))
    };
    case(
        "command: a port that is taken",
        run,
        "rpc: cannot listen on {address}: Address already in use (os error 98); choose another address with `rpc.listen` or --rpc-listen",
    )
}

fn node_cases() -> Vec<Case> {
    let node = Rc::default();
    vec![
        at_node(
            "command: too little gas",
            &node,
            &[
                "tx",
                "transfer",
                "--to",
                ZERO,
                "--value",
                "1",
                "--key",
                KEY,
                "--gas-limit",
                "1",
                "--rpc",
                "{rpc}",
            ],
            "{rpc}: GasLimitTooLow: gas limit 1, inclusion alone costs 42944; raise it",
        ),
        at_node(
            "command: another nonce than the next",
            &node,
            &[
                "tx",
                "transfer",
                "--to",
                ZERO,
                "--value",
                "1",
                "--key",
                KEY,
                "--gas-limit",
                "60000",
                "--nonce",
                "99999",
                "--rpc",
                "{rpc}",
            ],
            "{rpc}: NonceTooFar: nonce 99999 is too far ahead; the pool keeps nonces up to 4095 of this account",
        ),
        at_node(
            "command: a contract's input that is no hex",
            &node,
            &[
                "contract", "deploy", "{token}", "--input", "xyz", "--key", KEY, "--rpc", "{rpc}",
            ],
            "status 2: error: invalid value 'xyz' for '--input <INPUT>': 'x' at position 0 is no hex digit\n\nFor more information, try '--help'.",
        ),
        at_node(
            "command: reads a contract that is not there",
            &node,
            &["contract", "read", ZERO, "--input", "0x", "--rpc", "{rpc}"],
            "status 1: millrace: the call ended as no_code: there is no contract at 0x0000000000000000000000000000000000000000000000000000000000000000",
        ),
        at_node(
            "command: a transaction that nobody sent",
            &node,
            &["tx", "receipt", ZERO, "--rpc", "{rpc}"],
            "transaction 0x0000000000000000000000000000000000000000000000000000000000000000 is not executed at {rpc}; `millrace tx status 0x0000000000000000000000000000000000000000000000000000000000000000` tells where it is",
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = usage_cases();
    cases.push(port_case());
    cases.extend(node_cases());
    cases
}

#[test]
fn commands() {
    check("command", 20, &cases());
}
