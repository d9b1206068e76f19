//! What is on disk is taken only if it is exactly what this build wrote for this program, and nothing else changes a result.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::image::{OwnedSegment, Permissions};
use crate::isa::{self, Operands};
use crate::machine::machine;
use crate::runtime::{Ecall, End, Flow, Host, Instance, Tier};

const TEXT: u32 = 0x1_0000;
const GAS: u64 = 1 << 40;
const CAPACITY: u64 = 1 << 30;

fn op(name: &str, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Vec<u8> {
    let form = isa::forms().iter().find(|form| form.name == name).unwrap();
    let word = form
        .encode(&Operands {
            rd,
            rs1,
            rs2,
            imm,
            ..Operands::default()
        })
        .unwrap();
    word.to_le_bytes()[..usize::from(form.length())].to_vec()
}

/// A program that calls one function after the other `turns` times, each with a loop that turns as often, adds up in a0,
/// and ends at an `ecall`. `salt` tells it from others.
fn program(salt: i32, functions: i32, turns: i32) -> Program {
    let mut text = op("addi", 8, 0, 0, turns);
    let outer = text.len() as i32;
    // Calls first, the functions of five instructions behind them.
    let calls = outer + 4 * functions + 4 + 4 + 4;
    for function in 0..functions {
        let here = text.len() as i32;
        text.extend(op("jal", 1, 0, 0, calls + function * 20 - here));
    }
    text.extend(op("addi", 8, 8, 0, -1));
    let back = outer - text.len() as i32;
    text.extend(op("bne", 0, 8, 0, back));
    text.extend(op("ecall", 0, 0, 0, 0));
    assert_eq!(text.len() as i32, calls);
    for function in 0..functions {
        text.extend(op("addi", 5, 0, 0, turns));
        text.extend(op("addi", 10, 10, 0, salt + function));
        text.extend(op("addi", 5, 5, 0, -1));
        text.extend(op("bne", 0, 5, 0, -8));
        text.extend(op("jalr", 0, 1, 0, 0));
    }
    let segment = OwnedSegment {
        address: TEXT,
        memory_len: text.len() as u32,
        data: text,
        permissions: Permissions::ReadExecute,
    };
    Program::from_segments(vec![segment], TEXT, machine(1).unwrap()).unwrap()
}

fn small() -> Program {
    program(1, 1, 3)
}

struct Returns;

impl Host for Returns {
    fn ecall(&mut self, _: &mut Ecall<'_>) -> Flow {
        Flow::Return
    }
}

/// Result and gas of a program with its code in `cache`, which go without saying.
fn run(mut program: Program, cache: &Arc<CodeCache>, tier: Tier) -> u64 {
    program.set_code_cache(Arc::clone(cache));
    let program = Arc::new(program);
    let interpreted = run_shared(&program, tier);
    // What became hot is compiled, and kept, in the background.
    crate::wait_for_compiler();
    interpreted
}

fn run_shared(program: &Arc<Program>, tier: Tier) -> u64 {
    let mut instance = Instance::new(Arc::clone(program));
    instance.prepare(tier).unwrap();
    let outcome = instance.run(tier, GAS, &mut Returns);
    let mut reference = Instance::new(Arc::clone(program));
    let expected = reference.run(Tier::Interpreter, GAS, &mut Returns);
    assert_eq!(outcome.end, End::Returned);
    assert_eq!(outcome.gas_used, expected.gas_used);
    // What a host call can see; others may be dead by then.
    assert_eq!(instance.registers()[10..18], reference.registers()[10..18]);
    instance.interpreted_gas()
}

/// A cache in a directory of its own.
struct Place {
    // Removed when it is dropped.
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("code-cache");
        Self {
            _directory: directory,
            path,
        }
    }

    fn open(&self) -> Arc<CodeCache> {
        Arc::new(CodeCache::open(&self.path, CodeCacheKey::from_bytes([7; 32]), CAPACITY).unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    /// The one file there is.
    fn file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files.into_iter().next().unwrap()
    }
}

/// Hits, misses, rejected, stored.
fn counts(cache: &CodeCache) -> [u64; 4] {
    let all = cache.statistics();
    [all.hits, all.misses, all.rejected, all.stored]
}

#[test]
fn a_program_is_compiled_once_and_then_comes_back() {
    let place = Place::new();
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    assert_eq!(counts(&cache), [0, 1, 0, 1]);
    // A new process would see the same.
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    run(small(), &cache, Tier::Jit);
    assert_eq!(counts(&cache), [2, 0, 0, 0]);
    run(program(2, 1, 3), &cache, Tier::Jit);
    assert_eq!(counts(&cache), [2, 1, 0, 1], "another program is another file");
}

#[test]
fn what_comes_back_is_what_was_compiled() {
    let place = Place::new();
    let cache = place.open();
    let options = CompileOptions {
        places: true,
        ..CompileOptions::for_this_process()
    };
    let program = program(1, 20, 3);
    let made =
        crate::compiler::compile_program(&program, program.survey(), program.survey().liveness(), &options)
            .unwrap();
    assert!(made.is_position_independent());
    assert!(!made.traps().is_empty() || made.functions().len() > 1);
    let name = [9; 32];
    assert!(cache.store(&name, &made, &program));
    let back = cache.load(&name, &program).unwrap();
    assert_eq!(back.bytes(), made.bytes());
    assert_eq!(back.functions(), made.functions());
    assert!(
        back.functions()
            .iter()
            .all(|function| !function.places.is_empty())
    );
    assert_eq!(back.traps(), made.traps());
}

/// What hot addresses get, too.
#[test]
fn batches_of_hot_code_come_back_in_the_next_process() {
    let place = Place::new();
    let cache = place.open();
    let hot = || program(1, 4, 1500);
    run(hot(), &cache, Tier::Auto);
    let first = cache.statistics();
    assert!(first.stored > 0, "{first:?}");
    assert_eq!(first.hits, 0);
    let cache = place.open();
    let interpreted = run(hot(), &cache, Tier::Auto);
    let second = cache.statistics();
    assert_eq!(second.hits, first.stored);
    assert_eq!(second.rejected, 0);
    // Code was there from the start, but for what had not become hot.
    assert!(interpreted < 100_000, "{interpreted} gas in tier 0");
    // And both together are what the third process finds.
    let cache = place.open();
    run(hot(), &cache, Tier::Auto);
    assert_eq!(cache.statistics().hits, first.stored + second.stored);
}

/// Whoever runs does not wait for files.
#[test]
fn batches_come_back_in_the_background_where_nobody_waits_for_them() {
    let place = Place::new();
    run(program(1, 4, 1500), &place.open(), Tier::Auto);
    let kept = place.files().len() as u64;
    assert!(kept > 0);
    let cache = place.open();
    let mut hot = program(1, 4, 1500);
    hot.set_code_cache(Arc::clone(&cache));
    let hot = Arc::new(hot);
    let outcome = Instance::new(Arc::clone(&hot)).run(Tier::Auto, GAS, &mut Returns);
    assert_eq!(outcome.end, End::Returned);
    crate::wait_for_compiler();
    assert_eq!(cache.statistics().hits, kept);
    let mut instance = Instance::new(Arc::clone(&hot));
    let _ = instance.run(Tier::Auto, GAS, &mut Returns);
    let interpreted = instance.interpreted_gas();
    assert!(interpreted < 100_000, "{interpreted} gas in tier 0");
    assert_eq!(cache.statistics().hits, kept, "they came back once");
}

#[test]
fn a_batch_that_is_missing_is_the_next_to_be_kept() {
    let place = Place::new();
    run(program(1, 4, 1500), &place.open(), Tier::Auto);
    for file in place.files() {
        fs::write(file, b"damaged").unwrap();
    }
    let cache = place.open();
    run(program(1, 4, 1500), &cache, Tier::Auto);
    let counted = cache.statistics();
    assert_eq!((counted.hits, counted.rejected), (0, 1));
    assert!(counted.stored > 0);
    let cache = place.open();
    run(program(1, 4, 1500), &cache, Tier::Auto);
    assert_eq!(cache.statistics().hits, counted.stored);
}

#[test]
fn threads_that_want_a_program_at_once_compile_it_once() {
    let place = Place::new();
    let cache = place.open();
    let mut shared = program(1, 50, 3);
    shared.set_code_cache(Arc::clone(&cache));
    let shared = Arc::new(shared);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run_shared(&shared, Tier::Jit));
        }
    });
    assert_eq!(counts(&cache), [0, 1, 0, 1]);
}

/// Damages the file of `small` and gives what then became of a run: counts of the cache.
fn after(damage: impl FnOnce(&PathBuf)) -> [u64; 4] {
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let file = place.file();
    let good = fs::read(&file).unwrap();
    damage(&file);
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    assert_eq!(fs::read(place.file()).unwrap(), good, "it was replaced");
    counts(&cache)
}

const REPLACED: [u64; 4] = [0, 0, 1, 1];

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    let place = Place::new();
    let cache = place.open();
    let name = [1; 32];
    let small = small();
    let options = CompileOptions::for_this_process();
    let batch = crate::compiler::compile_program(&small, small.survey(), small.survey().liveness(), &options)
        .unwrap();
    assert!(cache.store(&name, &batch, &small));
    let file = place.file();
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        assert!(cache.load(&name, &small).is_none(), "byte {at}");
    }
    for len in (0..HEADER_BYTES).chain((HEADER_BYTES..good.len()).step_by(5)) {
        fs::write(&file, &good[..len]).unwrap();
        assert!(cache.load(&name, &small).is_none(), "cut at {len}");
    }
    fs::write(&file, [&good[..], &[0]].concat()).unwrap();
    assert!(cache.load(&name, &small).is_none(), "a byte too many");
    fs::write(&file, &good).unwrap();
    assert!(cache.load(&name, &small).is_some());
}

#[test]
fn damaged_files_are_replaced() {
    let change = |at: usize| {
        move |file: &PathBuf| {
            let mut bytes = fs::read(file).unwrap();
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1;
            fs::write(file, bytes).unwrap();
        }
    };
    for at in [0, 32, 40, 72, 76, 80, 200, usize::MAX] {
        assert_eq!(after(change(at)), REPLACED, "byte {at}");
    }
    assert_eq!(after(|file| fs::write(file, b"").unwrap()), REPLACED);
    assert_eq!(after(|file| fs::remove_file(file).unwrap()), [0, 1, 0, 1]);
}

#[test]
fn a_file_of_any_length_is_refused_without_memory_for_it() {
    let grow = |file: &PathBuf| {
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_len(CAPACITY / 2).unwrap();
    };
    assert_eq!(after(grow), REPLACED);
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let file = place.file();
    let elsewhere = place.path.with_file_name("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    let good = fs::read(&elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    assert_eq!(counts(&cache), [0, 1, 0, 1]);
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(
        fs::read(&elsewhere).unwrap(),
        good,
        "nothing was written through it"
    );
}

#[test]
fn a_pipe_or_a_directory_in_place_of_a_file_keeps_nobody_waiting() {
    let pipe = |file: &PathBuf| {
        fs::remove_file(file).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    assert_eq!(after(pipe), [0, 1, 0, 1]);
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let file = place.file();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    assert_eq!(cache.statistics().failed, 1);
    assert_eq!(place.files(), [file], "what was begun is gone");
}

#[test]
fn files_of_another_key_are_replaced() {
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let other = CodeCache::open(&place.path, CodeCacheKey::from_bytes([8; 32]), CAPACITY).unwrap();
    let other = Arc::new(other);
    run(small(), &other, Tier::Jit);
    assert_eq!(counts(&other), REPLACED);
}

#[test]
fn another_build_has_other_files() {
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let mut other = Arc::into_inner(place.open()).unwrap();
    other.build[0] ^= 1;
    let other = Arc::new(other);
    run(small(), &other, Tier::Jit);
    assert_eq!(counts(&other), [0, 1, 0, 1]);
    assert_eq!(place.files().len(), 2);
}

#[test]
fn a_file_under_another_name_is_refused() {
    let place = Place::new();
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    let mine = place.file();
    run(program(2, 1, 3), &cache, Tier::Jit);
    let other = place.files().into_iter().find(|file| *file != mine).unwrap();
    fs::copy(&other, &mine).unwrap();
    let cache = place.open();
    run(small(), &cache, Tier::Jit);
    assert_eq!(counts(&cache), REPLACED);
}

#[test]
fn names_depend_on_build_target_program_and_part() {
    let name = |build, target, program, part| name::name(&[build; 32], &[target; 32], &[program; 32], part);
    let names = [
        name(0, 0, 0, Part::Whole),
        name(1, 0, 0, Part::Whole),
        name(0, 1, 0, Part::Whole),
        name(0, 0, 1, Part::Whole),
        name(0, 0, 0, Part::Batch(0)),
        name(0, 0, 0, Part::Batch(1)),
    ];
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name));
    }
}

#[test]
fn targets_differ_where_code_does() {
    let this = CompileOptions::for_this_process();
    let mut differing = vec![name::target(&this).unwrap()];
    let mut add = |change: &dyn Fn(&mut CompileOptions)| {
        let mut options = this.clone();
        change(&mut options);
        let target = name::target(&options).unwrap();
        assert!(!differing.contains(&target), "{options:?}");
        differing.push(target);
    };
    add(&|options| options.protection = crate::compiler::Protection::Checked);
    add(&|options| options.host_features = false);
    add(&|options| options.places = true);
    add(&|options| options.frame_pointers = true);
    add(&|options| options.refuse = Some(0));
    add(&|options| options.refuse = Some(1));
}

#[test]
fn everything_of_a_program_is_in_its_identity() {
    let segments = || {
        let text = op("ecall", 0, 0, 0, 0);
        let segment = |address, data: Vec<u8>, permissions| OwnedSegment {
            address,
            memory_len: 0x1000,
            data,
            permissions,
        };
        vec![
            segment(TEXT, [&text[..], &text].concat(), Permissions::ReadExecute),
            segment(0x2_0000, vec![1, 2], Permissions::Read),
        ]
    };
    let of = |change: &dyn Fn(&mut Vec<OwnedSegment>), entry| {
        let mut changed = segments();
        change(&mut changed);
        name::identity(&Program::from_segments(changed, entry, machine(1).unwrap()).unwrap())
    };
    let identities = [
        of(&|_| (), TEXT),
        of(&|_| (), TEXT + 4),
        of(&|segments| segments[1].data[0] = 3, TEXT),
        of(&|segments| segments[1].data.push(0), TEXT),
        of(&|segments| segments[1].memory_len += 0x1000, TEXT),
        of(&|segments| segments[1].permissions = Permissions::ReadWrite, TEXT),
        of(&|segments| segments[1].address += 0x1000, TEXT),
        of(&|segments| segments[0].data.truncate(6), TEXT),
    ];
    for (index, identity) in identities.iter().enumerate() {
        assert!(!identities[..index].contains(identity), "{index}");
    }
    assert_eq!(identities[0], of(&|_| (), TEXT));
}

#[test]
fn the_oldest_files_go_when_there_are_too_many() {
    let place = Place::new();
    let cache = place.open();
    run(program(0, 1, 3), &cache, Tier::Jit);
    let one = fs::metadata(place.file()).unwrap().len();
    let room =
        Arc::new(CodeCache::open(&place.path, CodeCacheKey::from_bytes([7; 32]), 8 * one + one / 2).unwrap());
    for salt in 1..40 {
        run(program(salt, 1, 3), &room, Tier::Jit);
        // Whoever is used stays.
        run(program(0, 1, 3), &room, Tier::Jit);
        let bytes: u64 = place
            .files()
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum();
        assert!(bytes <= 8 * one + one / 2, "{bytes} bytes after {salt}");
    }
    assert!(room.statistics().evicted > 20);
    assert_eq!(counts(&room)[0], 39, "the one that is used was always there");
    // Less room from now on is heeded at once.
    CodeCache::open(&place.path, CodeCacheKey::from_bytes([7; 32]), 2 * one).unwrap();
    assert!(place.files().len() <= 2);
}

#[test]
fn what_is_not_ours_in_the_directory_stays() {
    let place = Place::new();
    place.open();
    let note = place.path.join("README");
    fs::write(&note, vec![0; 10_000]).unwrap();
    let unfinished = place.path.join("new-1-1");
    fs::write(&unfinished, vec![0; 10_000]).unwrap();
    CodeCache::open(&place.path, CodeCacheKey::from_bytes([7; 32]), 100).unwrap();
    assert!(note.exists());
    assert!(
        !unfinished.exists(),
        "what a process left behind counts, and goes"
    );
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    let place = Place::new();
    fs::create_dir(&place.path).unwrap();
    for mode in [0o755, 0o770, 0o701, 0o1777] {
        fs::set_permissions(&place.path, fs::Permissions::from_mode(mode)).unwrap();
        let error = CodeCache::open(&place.path, CodeCacheKey::from_bytes([7; 32]), CAPACITY).unwrap_err();
        assert!(matches!(error, CodeCacheError::Mode { mode: found, allowed: 0o700, .. } if found == mode));
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o700)).unwrap();
    place.open();
}

#[test]
fn a_cache_of_its_own_is_private() {
    let place = Place::new();
    run(small(), &place.open(), Tier::Jit);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path), 0o700);
    assert_eq!(mode(&place.file()), 0o600);
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let place = Place::new();
    fs::write(&place.path, b"").unwrap();
    let open = |path: &Path| CodeCache::open(path, CodeCacheKey::from_bytes([7; 32]), CAPACITY).unwrap_err();
    assert!(matches!(open(&place.path), CodeCacheError::Directory { .. }));
    assert!(matches!(
        open(&place.path.join("deeper")),
        CodeCacheError::Directory { .. }
    ));
}

/// Where nothing can be written programs run all the same. A directory that was removed fails for root, too.
#[test]
fn a_cache_that_cannot_be_written_changes_nothing() {
    let place = Place::new();
    let cache = place.open();
    fs::remove_dir(&place.path).unwrap();
    run(small(), &cache, Tier::Jit);
    run(program(1, 4, 1500), &cache, Tier::Auto);
    let counted = cache.statistics();
    assert_eq!(counted.stored, 0);
    assert!(counted.failed >= 2);
}

#[test]
fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("code-cache.key");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || *CodeCacheKey::open(&path).unwrap().bytes();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0] && *key != [0; 32]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(
        format!("{:?}", CodeCacheKey::open(&path).unwrap()),
        "CodeCacheKey(..)"
    );
}

#[test]
fn a_key_that_is_none_or_others_may_read_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("code-cache.key");
    CodeCacheKey::open(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = CodeCacheKey::open(&path).unwrap_err();
    assert!(matches!(error, CodeCacheError::Mode { mode: 0o640, .. }));
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, [0; 31]).unwrap();
    assert!(matches!(
        CodeCacheKey::open(&path).unwrap_err(),
        CodeCacheError::KeyLength { len: 31, .. }
    ));
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(
        CodeCacheKey::open(&link).unwrap_err(),
        CodeCacheError::Key { .. }
    ));
    assert!(matches!(
        CodeCacheKey::open(&path.join("deeper")).unwrap_err(),
        CodeCacheError::Key { .. }
    ));
}

proptest! {
    #[test]
    fn tables_of_random_bytes_are_refused_or_lie_inside(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        functions in 0u32..4,
        traps in 0u32..4,
        code in 1u32..1000,
    ) {
        for counts in [None, Some((functions, traps))] {
            let mut bytes = bytes.clone();
            if let (Some((functions, traps)), true) = (counts, bytes.len() >= 8) {
                bytes[..4].copy_from_slice(&functions.to_le_bytes());
                bytes[4..8].copy_from_slice(&traps.to_le_bytes());
            }
            let Some(tables) = format::decode_tables(&bytes, code, (TEXT, 64)) else {
                continue;
            };
            for function in &tables.functions {
                prop_assert!((TEXT..TEXT + 64).contains(&function.entry));
                prop_assert!(u64::from(function.offset) + u64::from(function.len) <= u64::from(code));
                prop_assert!(u64::from(function.thunk) + u64::from(function.thunk_len) <= u64::from(code));
            }
            prop_assert!(tables.traps.iter().all(|&trap| trap < code));
        }
    }

    /// Bytes that differ little from good ones get further.
    #[test]
    fn changed_tables_are_refused_or_lie_inside(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = Vec::new();
        let numbers = [
            2u32, 2, TEXT, 0, 10, 10, 5, 3, 1, 1, TEXT + 4, 20, 10, 30, 5, 3, 0, 0, 0, TEXT, 4, 8,
        ];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        prop_assert!(format::decode_tables(&bytes, 40, (TEXT, 64)).is_some());
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(tables) = format::decode_tables(&bytes, 40, (TEXT, 64)) {
            prop_assert!(tables.functions.windows(2).all(|pair| pair[0].entry < pair[1].entry));
            prop_assert!(tables.functions.iter().all(|function| (TEXT..TEXT + 64).contains(&function.entry)));
            prop_assert!(tables.traps.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn headers_of_random_bytes_are_refused(header: [u8; 32], rest: [u8; 32], len: u64) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..32].copy_from_slice(&header);
        bytes[40..72].copy_from_slice(&rest);
        prop_assert_eq!(format::parts(&bytes, &rest, len), None);
    }
}
