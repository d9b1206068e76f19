//! Every host call, at sizes from nothing to its maximum.

use millrace_executor::host::number;
use millrace_executor::{Tier, schedule};
use millrace_types::Address;
use millrace_types::keys::SecretKey;

use super::Row;
use super::chain::Chain;
use super::contract::{self, DATA, Data};

/// The contract that makes the calls, and others that it calls.
const CALLER: Address = Address([0xc0; 32]);
const QUIET: Address = Address([0xc1; 32]);
const LOUD: Address = Address([0xc2; 32]);

/// Places in the caller's memory: where the turn's number is written (the first word of a key of up to 256 bytes), an
/// address, an amount, a request, a signature, and a megabyte and more of anything.
const KEY: u64 = DATA;
const ADDRESS: u64 = DATA + 0x200;
const AMOUNT: u64 = DATA + 0x300;
const REQUEST: u64 = DATA + 0x400;
const SIGNATURE: u64 = DATA + 0x500;
const PUBLIC_KEY: u64 = DATA + 0x600;
const OUT: u64 = DATA + 0x800;
const CODE: u64 = DATA + 0x1_0000;
const BUFFER: u64 = DATA + 0x10_0000;
const BUFFER_BYTES: u64 = 4 << 20;
/// Bytes of input that the caller gets.
const INPUT_BYTES: u64 = 1 << 20;
/// Bytes that the loud contract returns.
const OUTPUT_BYTES: u64 = 256 << 10;

const MOST_RUNS: u32 = 5;

struct Case {
    name: &'static str,
    size: u64,
    host_call: u64,
    arguments: Vec<u64>,
    turns: u64,
    varies: Option<u64>,
    touches: u64,
    data: Vec<(u64, Vec<u8>)>,
}

fn case(name: &'static str, size: u64, host_call: u64, arguments: &[u64]) -> Case {
    // Many turns of what is small, few of what is large.
    let turns = (4 << 20) / (size + 2048);
    Case {
        name,
        size,
        host_call,
        arguments: arguments.to_vec(),
        turns: turns.max(8),
        varies: None,
        touches: 0,
        data: Vec::new(),
    }
}

impl Case {
    fn varying(self, place: u64) -> Self {
        let varies = Some(place);
        Self { varies, ..self }
    }

    fn touching(self, touches: u64) -> Self {
        Self { touches, ..self }
    }

    fn with(mut self, address: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.data.push((address, bytes.into()));
        self
    }

    fn turns(self, turns: u64) -> Self {
        Self { turns, ..self }
    }

    fn code(&self, turns: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (address, content) in &self.data {
            let at = (address - DATA) as usize;
            bytes.resize(bytes.len().max(at + content.len()), 0);
            bytes[at..at + content.len()].copy_from_slice(content);
        }
        let data = Data {
            len: BUFFER - DATA + BUFFER_BYTES,
            bytes,
        };
        contract::repeated(
            self.host_call,
            &self.arguments,
            turns,
            self.varies,
            self.touches,
            data,
        )
    }

    /// The difference of two loops, of one and of three times the turns.
    fn measure(&self, chain: &mut Chain) -> Row {
        let run = |chain: &mut Chain, turns| {
            chain.install(CALLER, &self.code(turns));
            let runs = (0..=MOST_RUNS).map(|_| chain.call(CALLER, vec![1; INPUT_BYTES as usize]));
            runs.min().expect("there is a run")
        };
        let (short, short_gas) = run(chain, self.turns);
        let (long, long_gas) = run(chain, 3 * self.turns);
        let turns = 2.0 * self.turns as f64;
        Row {
            name: self.name.to_owned(),
            size: self.size,
            nanoseconds: (long.as_secs_f64() - short.as_secs_f64()) * 1e9 / turns,
            gas: (long_gas - short_gas) as f64 / turns,
        }
    }
}

/// Measures the host calls whose name contains `only`.
pub fn measure(only: &str) -> Vec<Row> {
    let mut chain = Chain::new(Tier::Jit);
    chain.install(QUIET, &contract::toucher(0, 0, 0));
    chain.install(LOUD, &contract::toucher(OUTPUT_BYTES / 4096, 0, OUTPUT_BYTES));
    let value_bytes = schedule(1).expect("version 1 is part of every build").value_bytes;
    for turn in 0..4096_u64 {
        chain.store(&CALLER, &turn.to_le_bytes(), vec![1; value_bytes as usize]);
    }
    let cases = [context(), storage(), accounts(), calls(), hashes()];
    cases
        .into_iter()
        .flatten()
        .filter(|case| case.name.contains(only))
        .map(|case| case.measure(&mut chain))
        .collect()
}

fn context() -> Vec<Case> {
    let mut cases = vec![
        case("input_len", 0, number::INPUT_LEN, &[]),
        case("call_kind", 0, number::CALL_KIND, &[]),
        case("gas_left", 0, number::GAS_LEFT, &[]),
        case("caller", 32, number::CALLER, &[OUT]),
        case("self_address", 32, number::SELF_ADDRESS, &[OUT]),
        case("origin", 32, number::ORIGIN, &[OUT]),
        case("value", 16, number::VALUE, &[OUT]),
        case("block_context", 64, number::BLOCK_CONTEXT, &[OUT]),
    ];
    for len in [0, 8, 64, 4096, 65_536, INPUT_BYTES] {
        cases.push(case("input_read", len, number::INPUT_READ, &[BUFFER, 0, len]));
    }
    for len in [0, 32, 1024, 65_536, 1 << 20] {
        let log = |topics| case("log", len, number::LOG, &[BUFFER, topics, BUFFER, len]);
        cases.push(log(0).turns((32 << 20) / (len + 8192)));
        if len == 0 {
            cases.push(Case {
                name: "log, 4 topics",
                size: 128,
                ..log(4)
            });
        }
    }
    for pages in [0, 1, 16] {
        let grow = case("heap_grow", pages, number::HEAP_GROW, &[pages]).turns(300);
        cases.push(grow);
        if pages > 0 {
            let grow = case("heap_grow, touched", pages, number::HEAP_GROW, &[pages]);
            cases.push(grow.turns(300).touching(pages * 4096));
        }
    }
    cases
}

fn storage() -> Vec<Case> {
    let mut cases = Vec::new();
    for (key_len, len) in [(8, 0), (8, 32), (256, 32), (8, 1024), (8, 16_384)] {
        let get = [KEY, key_len, OUT, len];
        let set = [KEY, key_len, BUFFER, len];
        let many = 1000;
        cases.push(case(
            "storage_get, warm, present",
            len,
            number::STORAGE_GET,
            &[KEY, 8, OUT, len],
        ));
        cases.push(
            case("storage_get, cold, present", len, number::STORAGE_GET, &get)
                .varying(KEY)
                .turns(many),
        );
        cases.push(
            case("storage_get, cold, absent", len, number::STORAGE_GET, &get)
                .varying(KEY)
                .with(KEY, [0xff; 256])
                .turns(20 * many),
        );
        cases.push(case("storage_set, warm", len, number::STORAGE_SET, &set));
        cases.push(
            case("storage_set, cold, present", len, number::STORAGE_SET, &set)
                .varying(KEY)
                .turns(many),
        );
        cases.push(
            case("storage_set, cold, absent", len, number::STORAGE_SET, &set)
                .varying(KEY + 4)
                .turns(many),
        );
        cases.push(case("transient_set, same", len, number::TRANSIENT_SET, &set));
        cases.push(
            case("transient_set, new", len, number::TRANSIENT_SET, &set)
                .varying(KEY)
                .turns(many),
        );
        cases.push(case("transient_get, absent", len, number::TRANSIENT_GET, &get));
    }
    for key_len in [0, 8, 256] {
        let arguments = [KEY, key_len];
        cases.push(case(
            "storage_remove, warm",
            key_len,
            number::STORAGE_REMOVE,
            &arguments,
        ));
        cases.push(case(
            "transient_remove",
            key_len,
            number::TRANSIENT_REMOVE,
            &arguments,
        ));
        if key_len > 0 {
            cases.push(
                case(
                    "storage_remove, cold",
                    key_len,
                    number::STORAGE_REMOVE,
                    &arguments,
                )
                .varying(KEY)
                .turns(1000),
            );
        }
    }
    cases
}

fn accounts() -> Vec<Case> {
    let transfer = |name, value: u128| {
        case(name, 0, number::TRANSFER, &[ADDRESS, AMOUNT])
            .with(ADDRESS, [0x11; 32])
            .with(AMOUNT, value.to_le_bytes())
    };
    vec![
        case("balance, warm", 0, number::BALANCE, &[ADDRESS, OUT]),
        case("balance, cold", 0, number::BALANCE, &[ADDRESS, OUT])
            .varying(ADDRESS)
            .turns(20_000),
        transfer("transfer, warm", 1),
        transfer("transfer, cold", 1).varying(ADDRESS).turns(10_000),
        transfer("transfer of nothing, warm", 0),
        transfer("transfer, not covered", 1 << 100),
    ]
}

fn calls() -> Vec<Case> {
    let call = |name, size, to: Address, value: u128, input: u64, turns| {
        let mut request = [&to.0[..], &value.to_le_bytes()].concat();
        for word in [1 << 40, BUFFER, input, 0_u64] {
            request.extend(word.to_le_bytes());
        }
        case(name, size, number::CALL, &[REQUEST])
            .with(REQUEST, request)
            .turns(turns)
    };
    let create = |name, text: u64, turns| {
        let code = contract::spread(text, 0);
        let mut request = 0_u128.to_le_bytes().to_vec();
        for word in [1 << 40, CODE, code.len() as u64, 0, 0, 0_u64] {
            request.extend(word.to_le_bytes());
        }
        let create = case(name, code.len() as u64, number::CREATE, &[REQUEST, OUT]);
        create.with(REQUEST, request).with(CODE, code).turns(turns)
    };
    let mut cases = vec![
        call("call, to nothing, warm", 0, Address([9; 32]), 0, 0, 1000),
        call("call, to nothing, cold", 0, Address([9; 32]), 0, 0, 1000).varying(REQUEST),
        call("call, with value", 0, QUIET, 1, 0, 500),
        call("call, with output", OUTPUT_BYTES, LOUD, 0, 0, 50),
    ];
    for len in [0, 4096, 1 << 20] {
        cases.push(call("call", len, QUIET, 0, len, 200));
    }
    for len in [0, 64, 65_536, OUTPUT_BYTES] {
        // There is none: the range is checked and paid for.
        cases.push(case(
            "return_data, empty",
            len,
            number::RETURN_DATA,
            &[BUFFER, 0, len],
        ));
    }
    for text in [4096, 32 << 10, 256 << 10] {
        cases.push(create("create, same code", text, 30));
        // A word of filler behind the first jump: the program is another one each time.
        cases.push(create("create, other code", text, 30).varying(CODE + 4096 + 64));
    }
    cases
}

fn hashes() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [0, 32, 64, 136, 1024, 65_536, 1 << 20, BUFFER_BYTES] {
        for (name, number) in [
            ("blake3", number::BLAKE3),
            ("sha256", number::SHA256),
            ("keccak256", number::KECCAK256),
        ] {
            cases.push(case(name, len, number, &[BUFFER, len, OUT]));
        }
    }
    let key = SecretKey::from_seed([3; 32]);
    let signature = key.sign(&millrace_types::Hash([0; 32]));
    for len in [0, 32, 65_536, 1 << 20] {
        let arguments = [PUBLIC_KEY, BUFFER, len, SIGNATURE];
        // Right for 32 zeros, wrong for all else, which takes as long.
        cases.push(
            case("ed25519_verify", len, number::ED25519_VERIFY, &arguments)
                .with(PUBLIC_KEY, key.public_key().0)
                .with(SIGNATURE, signature)
                .turns(100),
        );
    }
    cases
}
