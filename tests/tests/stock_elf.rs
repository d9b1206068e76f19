//! Stock static ELF files run without a linker script: what GNU ld and lld make of ordinary flags, run here and under
//! qemu; and the flags whose files are refused, with errors that name the mend.
//!
//! One trap of the stock tools: of a program whose small data is all constant (8-byte literals, say) and that has bss,
//! GNU ld for bare RISC-V makes a single segment that is writable and executable. `-msmall-data-limit=0` avoids it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use millrace_jit::machine::{MAX_GAS_LIMIT, machine};
use millrace_jit::{Ecall, End, Flow, Host, ImageError, Instance, Program, Tier};
use millrace_tests::tools;

/// Constants, data, bss, a table of function pointers, recursion, and a result that depends on all of them.
const SOURCE: &str = r#"
    static long exit_with(long status) {
        register long a0 asm("a0") = status;
        register long a7 asm("a7") = 93;
        asm volatile("ecall" : "+r"(a0) : "r"(a7));
        __builtin_unreachable();
    }
    static const short WEIGHTS[] = {3, 1, 4, 1, 5, 9, 2, 6};
    int seed = 7;
    static volatile int memo[3000];
    __attribute__((noinline)) static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    __attribute__((noinline)) static int square(int n) { return n * n; }
    static int (*volatile const STEPS[])(int) = {fib, square};
    void start(void) {
        for (int i = 0; i < 3000; i++) memo[i] += WEIGHTS[i % 8] * seed;
        int sum = 0;
        for (int i = 0; i < 3000; i++) sum += memo[i];
        exit_with((sum + STEPS[0](10) + STEPS[1](5)) & 0x7f);
    }
    asm(".globl _start\n_start:\n.option push\n.option norelax\nla gp, __global_pointer$\n.option pop\ncall start");
"#;

const COMMON: &str = "-march=rv64imac -mabi=lp64 -mcmodel=medany -static -nostdlib -ffreestanding";
const GCC: &str = "riscv64-unknown-elf-gcc";
const CLANG: &str =
    "clang-19 --target=riscv64-unknown-elf -fuse-ld=lld-19 -Wl,--defsym=__global_pointer$=0x12800";

fn link(directory: &Path, compiler: &str, flags: &str) -> PathBuf {
    link_source(directory, compiler, flags, SOURCE)
}

fn link_source(directory: &Path, compiler: &str, flags: &str, code: &str) -> PathBuf {
    let source = directory.join("program.c");
    std::fs::write(&source, code).expect("a temporary file");
    let words: Vec<_> = [compiler, COMMON, flags]
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect();
    let package = if words[0] == GCC {
        "gcc-riscv64-unknown-elf"
    } else {
        "clang-19 and lld-19"
    };
    let output = directory.join("program.elf");
    let result = Command::new(tools::find(words[0], package))
        .args(&words[1..])
        .arg(&source)
        .arg("-o")
        .arg(&output)
        .output()
        .expect("the compiler starts");
    assert!(
        result.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&result.stderr)
    );
    output
}

fn load(file: &Path) -> Result<Program, ImageError> {
    let elf = std::fs::read(file).expect("the linker's output");
    Program::load(&elf, machine(1).expect("version 1 is part of every build"))
}

struct ExitOnly(Option<u64>);

impl Host for ExitOnly {
    fn ecall(&mut self, call: &mut Ecall<'_>) -> Flow {
        assert_eq!(call.number, 93, "the program only exits");
        self.0 = Some(call.args[0]);
        Flow::Return
    }
}

/// Links with these flags and compares the exit status with qemu's.
fn check(compiler: &str, flags: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = link(directory.path(), compiler, flags);
    let program = load(&file).unwrap_or_else(|error| panic!("{compiler} {flags}: {error}"));
    let mut host = ExitOnly(None);
    let outcome = Instance::new(Arc::new(program)).run(Tier::Interpreter, MAX_GAS_LIMIT, &mut host);
    assert_eq!(outcome.end, End::Returned, "{compiler} {flags}");
    let qemu = Command::new(tools::find("qemu-riscv64", "qemu-user"))
        .arg(&file)
        .status()
        .expect("qemu starts");
    let expected = qemu.code().expect("the program exits under qemu").unsigned_abs();
    assert_eq!(host.0, Some(expected.into()), "{compiler} {flags}");
}

#[test]
fn gnu_ld_with_ordinary_flags() {
    for flags in [
        "-O0",
        "-O2",
        "-Os -g",
        "-O2 -Wl,--no-relax",
        "-O2 -Wl,-z,max-page-size=4096",
        "-O2 -Wl,-z,max-page-size=65536",
        "-O2 -Wl,--gc-sections -ffunction-sections -fdata-sections -s",
        "-O2 -Wl,-Ttext-segment=0x80000000 -Wl,--no-relax",
        "-O2 -Wl,--build-id",
        "-O2 -march=rv64imac_zba_zbb_zbc_zbs",
    ] {
        check(GCC, flags);
    }
}

#[test]
fn lld_with_ordinary_flags() {
    for flags in [
        "-O0",
        "-O2",
        "-Oz -g",
        "-O2 -Wl,-z,separate-code",
        "-O2 -Wl,-z,noseparate-code",
        "-O2 -Wl,--no-rosegment",
        "-O2 -Wl,-z,max-page-size=65536",
        "-O2 -Wl,--gc-sections -ffunction-sections -fdata-sections -s",
        "-O2 -Wl,--build-id",
        "-O2 -march=rv64imac_zba_zbb_zbc_zbs",
    ] {
        check(CLANG, flags);
    }
}

#[test]
fn what_is_refused_says_how_to_link() {
    let cases = [
        (GCC, "-Wl,-N", "p_flags 0x7 is not R, RW or RX"),
        (CLANG, "-Wl,-N", "p_flags 0x7 is not R, RW or RX"),
        (CLANG, "-Wl,--image-base=0x1000", "lie outside 0x10000 to "),
        (
            CLANG,
            "-Wl,-pie -fPIE",
            "e_type at offset 16 is 3, must be 2 (EXEC)",
        ),
        (GCC, "-c", "e_type at offset 16 is 1, must be 2 (EXEC)"),
    ];
    for (compiler, flags, expected) in cases {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let error = load(&link(directory.path(), compiler, flags))
            .expect_err(flags)
            .to_string();
        assert!(error.contains(expected), "{compiler} {flags}: {error}");
        assert!(
            error.contains("link") || error.contains("build"),
            "no mend: {error}"
        );
    }
}

/// Refused as it is, and accepted with what the error proposes.
#[test]
fn small_constants_beside_bss_need_a_flag_for_gnu_ld() {
    let source = "volatile long table[9]; void _start(void) { table[0] = table[1] * 6364136223846793005; }";
    let link = |compiler, flags| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        load(&link_source(directory.path(), compiler, flags, source))
    };
    let error = link(GCC, "-O2")
        .expect_err("one segment, writable and executable")
        .to_string();
    assert!(
        error.contains("p_flags 0x7 is not") && error.contains("`-msmall-data-limit=0`"),
        "{error}"
    );
    link(GCC, "-O2 -msmall-data-limit=0").expect("the flag mends it");
    link(CLANG, "-O2").expect("lld needs none");
}
