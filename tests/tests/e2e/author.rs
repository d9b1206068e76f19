//! A contract author's first hour, as commands: new, test, edit, test, build, check; deploy, call and read by name,
//! and a call that fails, traced to its source line.
//!
//! The projects lie in one fixed folder, one after the other, and share the contracts' target directory, so that little is
//! compiled twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use millrace_tests::program;
use serde_json::{Value, json as value};

use crate::chain::Chain;

/// What `contract build` says where no toolchain is installed.
const NO_TOOLCHAIN: &str = "no toolchain for riscv64imac-unknown-none-elf is installed";
/// An account that owns nothing.
const STRANGER: &str = "0xb2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn millrace(arguments: &[&str]) -> Output {
    Command::new(program::millrace())
        .args(arguments)
        .env("CARGO_TARGET_DIR", root().join("contracts/target"))
        .env_remove("MILLRACE_LOG")
        .env_remove("MILLRACE_RPC")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed; answers what it printed.
fn said(arguments: &[&str]) -> String {
    let output = millrace(arguments);
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {errors}\n{printed}");
    printed
}

fn json(arguments: &[&str]) -> Value {
    let printed = said(arguments);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
}

/// Runs a command that must fail; answers what it said about it.
fn refused(arguments: &[&str]) -> String {
    let output = millrace(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr) + &text(&output.stdout)
}

/// Two functions more, a test of one, and a test that holds in memory and not on a chain.
fn edit(project: &Path) {
    let replace = |name: &str, from: &str, to: &str| {
        let path = project.join(name);
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.contains(from), "{name} has {from:?}");
        fs::write(path, source.replacen(from, to, 1)).unwrap();
    };
    replace(
        "src/main.rs",
        "    /// The count.\n",
        "    #[call(0x11)]\n    fn owner() -> Address {\n        STORAGE.owner.get().unwrap_or_default()\n    }\n\n    \
         #[call(0x12)]\n    fn gas() -> u64 {\n        host::gas_left()\n    }\n\n    #[call(0x13)]\n    fn share(among: u64) -> u64 {\n        \
         divided(STORAGE.count.get_or_zero(), among)\n    }\n\n    #[inline(never)]\n    fn divided(count: u64, among: \
         u64) -> u64 {\n        count / among\n    }\n\n    /// The count.\n",
    );
    let tests = project.join("src/tests.rs");
    let mut source = fs::read_to_string(&tests).unwrap();
    source += "
#[test]
fn the_deployer_owns_it() {
    let (mut mock, contract) = deployed(0);
    assert_eq!(mock.call(STRANGER, contract, 0, &[0x11]), Ok(OWNER.0.to_vec()));
}

#[test]
fn gas_is_not_metered() {
    let (mut mock, contract) = deployed(0);
    let left = mock.call(STRANGER, contract, 0, &[0x12]).expect(\"a number\");
    assert_eq!(left, (1_u64 << 40).to_le_bytes(), \"true in memory alone\");
}
";
    fs::write(tests, source).unwrap();
}

/// A project in a folder of its own, made anew; no other run of this test has it before the file is dropped.
fn fresh(name: &str) -> (PathBuf, File) {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-hour");
    fs::create_dir_all(&all).unwrap();
    let alone = File::create(all.join(name).with_extension("lock")).unwrap();
    alone.lock().unwrap();
    let project = all.join(name);
    if project.exists() {
        fs::remove_dir_all(&project).unwrap();
    }
    (project, alone)
}

#[test]
fn an_authors_first_hour_goes_as_the_documents_say() {
    let (project, _alone) = fresh("tally");
    let at = project.to_str().unwrap();
    said(&["contract", "new", "tally", "--dir", at]);
    let again = refused(&["contract", "new", "tally", "--dir", at]);
    assert!(again.contains("the folder holds something"), "{again}");

    let tested = millrace(&["contract", "test", at, "--json"]);
    let errors = text(&tested.stderr);
    if errors.contains(NO_TOOLCHAIN) {
        println!("skipped: {errors}");
        return;
    }
    assert!(tested.status.success(), "{errors}");
    let tested: Value = serde_json::from_str(&text(&tested.stdout)).unwrap();
    assert_eq!(
        (&tested["passed"], &tested["differences"]),
        (&true.into(), &0.into())
    );
    assert_eq!(tested["worlds"], 3, "each test has its own: {tested}");
    let gas = tested["gas"].as_array().unwrap();
    assert!(
        gas.iter()
            .any(|of| of["function"] == "init" && of["successes"] == 3),
        "{tested}"
    );

    edit(&project);
    let failed = refused(&["contract", "test", at]);
    assert!(
        failed.contains("true in memory alone"),
        "gas is real on the executor: {failed}"
    );
    let some = said(&["contract", "test", at, "--", "the_deployer_owns_it"]);
    assert!(some.contains("1 passed") && some.contains("owner"), "{some}");

    let built = json(&["contract", "build", at, "--json"]);
    let elf = built["elf"].as_str().unwrap();
    assert_eq!(built["check"]["accepted"], true, "{built}");
    let bytes = fs::metadata(elf).unwrap().len();
    assert!(bytes < 16 << 10 && built["check"]["bytes"] == bytes, "{built}");
    let symbols = fs::metadata(built["symbols"].as_str().unwrap()).unwrap().len();
    assert!(symbols > bytes, "{symbols} with symbols");
    let checked = json(&["contract", "check", elf, "--json"]);
    assert_eq!(checked["gas"], built["check"]["gas"]);

    let chain = Chain::start(&["--seed", "21", "--block-interval-ms", "30"]);
    let key = chain.wallets[0].secret_text();
    let node = ["--rpc", chain.url.as_str(), "--json"];
    let on_chain = |arguments: &[&str]| json(&[arguments, &node].concat());
    // The interface lies beside the program.
    let deployed = on_chain(&["contract", "deploy", elf, "7", "--key", &key]);
    let contract = deployed["created"].as_str().unwrap();
    let least = checked["gas"]["deploy"]["total"].as_u64().unwrap();
    let used = deployed["gas_used"].as_u64().unwrap();
    assert!(
        used > least && used < least + 100_000,
        "{used} gas, check said {least}"
    );

    let interface = built["interface"].as_str().unwrap();
    let named = ["--interface", interface];
    let add = ["contract", "call", contract, "add", "35", "--key", &key];
    let called = on_chain(&[&add[..], &named].concat());
    let answered = hex(&42_u64.to_le_bytes());
    assert_eq!(called["output"], format!("0x{answered}"));
    let event = value!({ "name": "advanced", "values": { "count": 42 } });
    assert_eq!(
        called["named"],
        value!({ "output": 42, "error": null, "events": [event] })
    );
    let read = |function: &str| on_chain(&[&["contract", "read", contract, function], &named[..]].concat());
    assert_eq!(read("get")["named"]["output"], 42);
    let owner = read("owner");
    assert_eq!(owner["named"]["output"], chain.wallets[0].address_text());
    let encoded = on_chain(&["contract", "read", contract, "--input", "0x10"]);
    assert_eq!(
        encoded["output"], called["output"],
        "the same without an interface"
    );
    let reset = ["contract", "read", contract, "reset", "--from", STRANGER];
    let failed = refused(&[&reset[..], &named, &node[..2]].concat());
    assert!(failed.contains("reverted: NotTheOwner"), "{failed}");

    // A call that fails on the chain, traced to the line that failed.
    let key = chain.wallets[1].secret_text();
    let send = |function: &[&str]| {
        let call = [
            &["contract", "call", contract],
            function,
            &named,
            &["--key", &key],
        ]
        .concat();
        let failed = refused(&[&call[..], &node[..2]].concat());
        let (_, advice) = failed
            .split_once("`millrace contract trace ")
            .unwrap_or_else(|| panic!("{failed}"));
        advice.split_once('`').unwrap().0.to_owned()
    };
    let out = Path::new(elf).parent().unwrap().to_str().unwrap();
    let trace = |hash: &str| on_chain(&["contract", "trace", hash, "--out", out]);
    let source = fs::read_to_string(project.join("src/main.rs")).unwrap();
    let line = |text: &str| 1 + source.lines().position(|line| line.trim() == text).unwrap();
    let traced = trace(&send(&["share", "0"]));
    let frame = &traced["frame"];
    assert_eq!(
        (&traced["outcome"], &frame["ended"], &frame["call"]),
        (&"reverted".into(), &"reverted".into(), &"share(among: 0)".into())
    );
    let stack = frame["backtrace"]["frames"].as_array().unwrap();
    let is_line = |at: &Value, line: usize| at["file"] == "src/main.rs" && at["line"] == line;
    let here = stack.iter().flat_map(|at| at["functions"].as_array().unwrap());
    assert!(
        here.clone().any(|at| is_line(at, line("count / among"))),
        "{frame}"
    );
    let read = value!({ "kind": "read", "transient": false, "text": "count: 42" });
    let step = &frame["steps"][0];
    for field in ["kind", "transient", "text"] {
        assert_eq!(step[field], read[field], "{step}");
    }
    // An error that a function answered: the function has ended, and is told of all the same.
    let hash = send(&["reset"]);
    let traced = trace(&hash);
    assert_eq!(traced["frame"]["named_output"], "NotTheOwner");
    let came_through = traced["frame"]["backtrace"]["came_through"].as_array().unwrap();
    let first = line("fn reset() -> Result<(), CounterError> {");
    assert!(
        (first..first + 7).any(|line| is_line(&came_through[0], line)),
        "{came_through:?}"
    );
    let gas = traced["gas"][0]["functions"].as_array().unwrap();
    assert!(
        gas.iter()
            .any(|row| row["function"] == "tally::counter::reset" && row["calls"] == 1),
        "{gas:?}"
    );
    let text = said(&[
        "contract",
        "trace",
        &hash,
        "--out",
        out,
        "--rpc",
        chain.url.as_str(),
    ]);
    for words in [
        "outcome      reverted: NotTheOwner",
        "tally 0x",
        "it came through tally::counter::reset at src/main.rs:",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

/// Does nothing and says so by ending: the return of a frame without output.
const C_SOURCE: &str = r#"
static char data[8000];
void _start(void) {
    register long a0 __asm__("a0") = (long)data, a1 __asm__("a1") = 0, a7 __asm__("a7") = RETURN;
    __asm__ volatile("ecall" : : "r"(a0), "r"(a1), "r"(a7));
    __builtin_trap();
}
"#;

#[test]
fn output_that_nobody_reads_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let elf = root().join("contracts/artifacts/token.elf");
    let (elf, project) = (elf.to_str().unwrap(), folder.path().join("new"));
    for arguments in [
        &["contract", "check", elf][..],
        &["contract", "check", elf, "--json"],
        &["contract", "new", "unread", "--dir", project.to_str().unwrap()],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(program::millrace())
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        let errors = text(&output.stderr);
        // Who read has seen enough: nothing has failed for that.
        assert_eq!((output.status.code(), &*errors), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_folder_with_one_c_file_is_a_contract_too() {
    let example = root().join("contracts/examples/timelock");
    let folder = tempfile::tempdir().unwrap();
    let source = C_SOURCE.replace("RETURN", &millrace_executor::host::number::RETURN.to_string());
    fs::write(folder.path().join("nothing.c"), source).unwrap();
    let at = folder.path().to_str().unwrap();
    let output = millrace(&["contract", "build", at, "--json"]);
    let errors = text(&output.stderr);
    if errors.contains("no clang is in the PATH") {
        println!("skipped: {errors}");
        return;
    }
    assert!(output.status.success(), "{errors}");
    let built: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(
        (&built["check"]["accepted"], &built["interface"]),
        (&true.into(), &Value::Null)
    );
    let bytes = fs::metadata(folder.path().join("out/nothing.elf")).unwrap().len();
    assert!(bytes < 1024, "{bytes} bytes of headers and text");

    // The header comes with the program, the interface from beside the source.
    let out = folder.path().join("timelock");
    let example = ["contract", "build", example.to_str().unwrap(), "--json", "--out"];
    let built = json(&[&example[..], &[out.to_str().unwrap()]].concat());
    assert_eq!(built["check"]["accepted"], true, "{built}");
    let interface = fs::read_to_string(built["interface"].as_str().unwrap()).unwrap();
    assert!(interface.contains("\"timelock\""), "{interface}");

    fs::write(folder.path().join("second.c"), "").unwrap();
    let several = refused(&["contract", "build", at]);
    assert!(
        several.contains("holds 2 files in C: a contract is one file"),
        "{several}"
    );
    fs::remove_file(folder.path().join("second.c")).unwrap();

    fs::write(
        folder.path().join("nothing.c"),
        "void _start(void) { nothing(); }",
    )
    .unwrap();
    let refused = refused(&["contract", "build", at]);
    assert!(
        refused.contains("refuses") && refused.contains("nothing.c"),
        "{refused}"
    );
}

/// A second contract of the same package, which calls the first.
const TWICE: &str = r#"//! Adds twice to a tally.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[millrace_contract::contract]
pub mod twice {
    use millrace_contract::{Address, Revert, host};

    #[init]
    fn init() {}

    #[call(0x01)]
    fn twice(tally: Address, n: u64) -> Result<(), Revert> {
        let input = [&[0x01][..], &n.to_le_bytes()].concat();
        for _ in 0..2 {
            host::call(&tally, 0, u64::MAX, &input).map_err(|_| "no tally")?;
        }
        Ok(())
    }
}
"#;

/// What tests of the first do with the second, with a contract of their own, and with one that does not end.
const TESTS_OF_TWO: &str = r#"
#[path = "bin/twice.rs"]
#[allow(dead_code, reason = "its own `main` is not called here")]
mod second;
use second::twice;

#[millrace_contract::contract]
mod endless {
    #[init]
    fn init() {
        #[allow(clippy::empty_loop)]
        loop {}
    }
}

#[test]
fn two_programs_of_one_package() {
    let mut mock = Mock::new();
    let code = mock.register_program("twice", twice::dispatch);
    assert_eq!(code.starts_with(b"\x7fELF"), std::env::var_os("MILLRACE_CONTRACT_HOST").is_some());
    // The second is deployed before the first.
    let second = mock.deploy(OWNER, twice::dispatch, 0, &[]).expect("deployed");
    let first = mock.deploy(OWNER, dispatch, 0, &5_u64.to_le_bytes()).expect("deployed");
    let input = [&[0x01][..], &first.0, &3_u64.to_le_bytes()].concat();
    assert_eq!(mock.call(STRANGER, second, 0, &input), Ok(Vec::new()));
    assert_eq!(mock.call(STRANGER, first, 0, &[0x10]), Ok(11_u64.to_le_bytes().to_vec()));
}

#[test]
fn a_contract_of_the_tests() {
    let _ = Mock::new().deploy(OWNER, endless::dispatch, 0, &[]);
}

#[test]
fn a_program_that_is_nowhere() {
    let _ = Mock::new().register_program("thrice", twice::dispatch);
}
"#;

#[test]
fn tests_deploy_several_programs_and_none_is_taken_for_another() {
    let (project, _alone) = fresh("tally");
    let at = project.to_str().unwrap();
    said(&["contract", "new", "tally", "--dir", at]);
    fs::create_dir(project.join("src/bin")).unwrap();
    fs::write(project.join("src/bin/twice.rs"), TWICE).unwrap();
    let tests = project.join("src/tests.rs");
    let source = fs::read_to_string(&tests).unwrap();
    fs::write(tests, source + TESTS_OF_TWO).unwrap();
    let choose = refused(&["contract", "build", at]);
    assert!(choose.contains("tally, twice: choose one by --bin"), "{choose}");

    let test = ["contract", "test", at, "--bin", "tally"];
    let skipped = ["--", "--skip", "of_the_tests", "--skip", "nowhere"];
    let output = millrace(&[&test[..], &skipped].concat());
    let errors = text(&output.stderr);
    if errors.contains(NO_TOOLCHAIN) {
        println!("skipped: {errors}");
        return;
    }
    assert!(output.status.success(), "{errors}{}", text(&output.stdout));
    for (filter, why) in [
        (
            "of_the_tests",
            "tally::tests::endless is another: register it by Mock::register_program",
        ),
        (
            "nowhere",
            "no package here has a program \"thrice\"; there are tally, twice",
        ),
    ] {
        let failed = refused(&[&test[..], &["--", filter]].concat());
        assert!(failed.contains(why), "{filter}: {failed}");
    }
    // Tests of the second alone: there are none, and those of the first are not run with its code.
    let none = refused(&["contract", "test", at, "--bin", "twice"]);
    assert!(none.contains("no test made a `Mock`"), "{none}");
}

#[test]
fn an_interface_that_contradicts_itself_stops_the_build_and_says_why() {
    let (project, _alone) = fresh("tally");
    let at = project.to_str().unwrap();
    said(&["contract", "new", "tally", "--dir", at]);
    let main = project.join("src/main.rs");
    let source = fs::read_to_string(&main).unwrap();
    let twice = ["one", "two"].map(|module| {
        let field = if module == "one" { "u8" } else { "u64" };
        format!(
            "mod {module} {{\n    #[derive(Clone, Copy, millrace_contract::Fixed)]\n    pub struct Bid {{\n        \
             pub amount: {field},\n    }}\n}}\n"
        )
    });
    let functions = "#[call(0x20)]\n    fn first(bid: super::one::Bid) -> super::two::Bid {\n        \
                     super::two::Bid { amount: bid.amount.into() }\n    }\n\n    /// The count.\n";
    fs::write(
        &main,
        source.replacen("/// The count.\n", functions, 1) + &twice.concat(),
    )
    .unwrap();
    let output = millrace(&["contract", "build", at]);
    let errors = text(&output.stderr);
    if errors.contains(NO_TOOLCHAIN) {
        println!("skipped: {errors}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("two types of this contract are named `Bid`"),
        "{errors}"
    );
    assert!(
        errors.contains("cargo run -- --interface: exit status"),
        "{errors}"
    );
}

#[test]
fn lists_options_and_structures_are_written_and_shown_as_json() {
    let chain = Chain::start(&["--seed", "23", "--block-interval-ms", "30"]);
    let (key, artifacts) = (chain.wallets[0].secret_text(), root().join("contracts/artifacts"));
    let file = |name: &str| artifacts.join(name).to_str().unwrap().to_owned();
    let signed = ["--json", "--key", &key, "--rpc", chain.url.as_str()];
    let deploy = |name: &str, arguments: &[&str]| {
        let elf = file(&format!("{name}.elf"));
        let deployed = json(&[&["contract", "deploy", &elf], arguments, &signed[..]].concat());
        deployed["created"].as_str().unwrap().to_owned()
    };
    let read = |name: &str, contract: &str, function: &str| {
        let interface = file(&format!("{name}.json"));
        let command = ["contract", "read", contract, function, "--interface", &interface];
        json(&[&command[..], &["--json", "--rpc", chain.url.as_str()]].concat())["named"]["output"].clone()
    };

    let owners = [1, 2].map(|byte| format!("0x{}", hex(&[byte; 32])));
    let owners = value!(owners);
    let wallet = deploy("multisig", &["2", &owners.to_string()]);
    assert_eq!(read("multisig", &wallet, "owners"), owners);
    let interface = file("multisig.json");
    let execute = |approvals: &str| {
        let command = [
            "contract", "read", &wallet, "execute", STRANGER, "1", "0x", approvals,
        ];
        refused(
            &[
                &command[..],
                &["--interface", &interface, "--rpc", chain.url.as_str()],
            ]
            .concat(),
        )
    };
    let approval = |owner: u32| value!({ "owner": owner, "signature": format!("0x{}", hex(&[0; 64])) });
    let two = value!([approval(0), approval(1)]).to_string();
    assert!(
        execute(&two).contains("reverted: BadSignature"),
        "{}",
        execute(&two)
    );
    assert!(
        execute("[]").contains("reverted: NotEnoughApprovals"),
        "{}",
        execute("[]")
    );
    let wrong = execute("[{\"owner\": 0}]");
    assert!(
        wrong.contains("approvals: [0]: the field \"signature\" of Approval is missing"),
        "{wrong}"
    );

    let auction = deploy("auction", &["99999999999999", "5"]);
    assert_eq!(read("auction", &auction, "highest"), Value::Null);
    let interface = file("auction.json");
    let bid = [
        "contract",
        "call",
        &auction,
        "bid",
        "--value",
        "7",
        "--interface",
        &interface,
    ];
    json(&[&bid[..], &signed].concat());
    let highest = value!({ "bidder": chain.wallets[0].address_text(), "amount": 7 });
    assert_eq!(read("auction", &auction, "highest"), highest);
}

/// The interface of `contracts/examples/token`, and a function that takes a list.
fn token_interface() -> String {
    let written = fs::read(root().join("contracts/artifacts/token.json")).unwrap();
    let mut interface: Value = serde_json::from_slice(&written).unwrap();
    let odd = value!({
        "name": "odd", "selector": 99, "payable": false, "returns": "option<u8>",
        "arguments": [{ "name": "what", "type": "vec<u32>" }],
    });
    interface["functions"].as_array_mut().unwrap().push(odd);
    interface.to_string()
}

#[test]
fn contracts_are_deployed_called_and_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let elf = folder.path().join("token.elf");
    fs::copy(root().join("contracts/artifacts/token.elf"), &elf).unwrap();
    let interface = elf.with_extension("json");
    fs::write(&interface, token_interface()).unwrap();
    let (elf, interface) = (elf.to_str().unwrap(), interface.to_str().unwrap());

    let chain = Chain::start(&["--seed", "22", "--block-interval-ms", "30"]);
    let key = chain.wallets[0].secret_text();
    let node = ["--rpc", chain.url.as_str()];
    let signed = ["--key", &key, "--rpc", chain.url.as_str()];
    // The interface lies beside the program.
    let deployed = json(
        &[
            &["contract", "deploy", elf, "1_000_000", "Mill", "--json"],
            &signed[..],
        ]
        .concat(),
    );
    let token = deployed["created"].as_str().unwrap();
    let to = [
        "contract",
        "call",
        token,
        "transfer",
        STRANGER,
        "300",
        "--interface",
        interface,
    ];
    let shown = said(&[&to, &signed[..]].concat());
    let event = format!(
        "transfer(from: {}, to: {STRANGER}, amount: 300)",
        chain.wallets[0].address_text()
    );
    assert!(shown.contains(&event), "{shown}");
    let balance = [
        "contract",
        "read",
        token,
        "balance_of",
        STRANGER,
        "--interface",
        interface,
    ];
    assert!(said(&[&balance, &node[..]].concat()).starts_with("output   300\n"));
    let as_json = json(&[&balance[..], &node, &["--json"]].concat());
    assert_eq!(as_json["named"]["output"], 300, "{as_json}");

    let fails = |arguments: &[&str]| {
        refused(
            &[
                &["contract", "read", token],
                arguments,
                &["--interface", interface],
                &node,
            ]
            .concat(),
        )
    };
    let reverted = fails(&["transfer", STRANGER, "300"]);
    assert!(reverted.contains("reverted: InsufficientBalance"), "{reverted}");
    for (arguments, why) in [
        (
            &["transfer", STRANGER][..],
            "transfer(to: address, amount: u128) takes 2 arguments, 1 are given",
        ),
        (
            &["transfer", STRANGER, "-1"],
            "amount: \"-1\" is no u128: 0 to 340282366920938463463374607431768211455",
        ),
        (&["transfer", "0x12", "1"], "to: address:"),
        (
            &["mint", "1"],
            "token has no function mint; it has transfer(to: address, amount: u128), approve(spender: address, ",
        ),
        (
            &["odd", "1"],
            "what: a vec<u32> is a list, '[5, ..]'; this is a number",
        ),
    ] {
        let said = fails(arguments);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    for (text, why) in [
        ("{", "not the JSON of a contract's interface"),
        (
            r#"{"format": 2}"#,
            "interface format 2: this build reads format 1",
        ),
        (r#"{"name": "x"}"#, "it has no number `format`"),
    ] {
        fs::write(interface, text).unwrap();
        let said = fails(&["transfer"]);
        assert!(said.contains(why), "{text}: {said}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
