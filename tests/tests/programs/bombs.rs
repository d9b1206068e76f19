//! Compile bombs: programs that are meant to be dear to compile run as all others do, and what is made of them stays
//! within bounds. Times are the bench's business: `cargo bench -p millrace-benches --bench bombs`.

use millrace_jit::{CompileOptions, NativeSize};
use millrace_tests::bombs::{self, Kind};
use millrace_tests::programs::check::Loaded;
use millrace_tests::programs::host::Script;
use millrace_tests::programs::run::Setting;

/// Bytes of text of bombs that are run.
const RUN: usize = 8 << 10;

/// Enough for addresses to become hot.
const SETTING: Setting = Setting {
    gas_limit: 400_000,
    script: Script {
        end: None,
        acts: false,
    },
    layout: None,
};

/// Bytes of native code for a byte of text, at most: exits store registers, 31 at worst.
const CODE_BYTES_PER_TEXT_BYTE: usize = 120;

#[track_caller]
fn check(kind: &Kind, loaded: &Loaded) {
    let checked = loaded.check(&SETTING);
    if let Some(difference) = checked.difference {
        panic!("{}: {difference}", kind.name);
    }
}

#[test]
fn bombs_agree_between_tiers() {
    for kind in bombs::ALL {
        check(kind, &Loaded::new(|| kind.program(RUN)));
    }
}

#[test]
fn bombs_agree_however_they_are_compiled() {
    for kind in bombs::ALL {
        check(kind, &Loaded::compiled_otherwise(|| kind.program(RUN), 2));
    }
}

fn compiled(kind: &Kind, text_len: usize) -> (usize, NativeSize) {
    let program = kind.program(text_len);
    let options = CompileOptions {
        verify: false,
        ..CompileOptions::for_this_process()
    };
    program
        .compile(&options)
        .expect("what cannot be compiled is left out");
    (program.text_len() as usize, program.native_size())
}

#[test]
fn what_is_made_of_bombs_is_bounded_by_their_text() {
    for kind in bombs::ALL {
        let (text_len, size) = compiled(kind, 20 << 10);
        println!("{}: {text_len} bytes, {size:?}", kind.name);
        let halfwords = text_len / 2;
        // Twice over, and small loops written several times: as much again.
        assert!(
            size.instructions + 16 * size.functions <= 4 * halfwords,
            "{}: too many instructions, or functions: {size:?} of {halfwords} halfwords",
            kind.name
        );
        assert!(
            size.largest <= 2 * 12_000,
            "{}: a function has {} instructions",
            kind.name,
            size.largest
        );
        assert!(
            size.bytes <= CODE_BYTES_PER_TEXT_BYTE * text_len,
            "{}: {} bytes of code for {text_len} of text",
            kind.name,
            size.bytes
        );
    }
}

/// Only what is found is compiled, and all of it: a region that is full is gone on with by the next.
#[test]
fn a_long_straight_line_is_compiled_whole() {
    let kind = bombs::find("straight").expect("it is part of the corpus");
    let (text_len, size) = compiled(kind, 100 << 10);
    assert!(
        size.instructions >= text_len / 4,
        "{} of {} instructions",
        size.instructions,
        text_len / 4
    );
}
