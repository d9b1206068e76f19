//! What a file is named by: everything that the code in it depends on.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use blake3::Hasher;
use object::Endianness;
use object::elf::{FileHeader64, NT_GNU_BUILD_ID};
use object::read::ReadCache;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::error::CodeCacheError;
use crate::compiler::{CompileError, CompileOptions, target_description};
use crate::image::{Permissions, Program};

/// A BLAKE3 hash.
pub(super) type Digest = [u8; 32];

/// What of a program a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// All that is found before it runs.
    Whole,
    /// The batch with that number, in the order in which its hot addresses were compiled.
    Batch(u32),
}

/// The name of a file, from the build, the target, the program and the part.
pub(super) fn name(build: &Digest, target: &Digest, program: &Digest, part: Part) -> Digest {
    let (tag, number) = match part {
        Part::Whole => (0u8, 0),
        Part::Batch(number) => (1, number),
    };
    let mut hasher = Hasher::new_derive_key("millrace code cache 1: name of a file");
    hasher.update(build).update(target).update(program);
    hasher.update(&[tag]).update(&number.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Everything of a program that a compiler looks at, its machine's version included.
pub(super) fn identity(program: &Program) -> Digest {
    let mut hasher = Hasher::new_derive_key("millrace code cache 1: program");
    let (text, bytes) = program.text();
    hasher.update(&program.machine().version.to_le_bytes());
    for number in [program.entry(), text, bytes.len() as u32] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(program.segments().len() as u64).to_le_bytes());
    for segment in program.segments() {
        let permissions = match segment.permissions {
            Permissions::Read => 0u8,
            Permissions::ReadWrite => 1,
            Permissions::ReadExecute => 2,
        };
        hasher.update(&segment.address.to_le_bytes());
        hasher.update(&segment.memory_len.to_le_bytes());
        hasher.update(&[permissions]);
        hasher.update(&(segment.data.len() as u64).to_le_bytes());
        hasher.update(&segment.data);
    }
    let hints: Vec<u8> = program
        .function_hints()
        .iter()
        .flat_map(|hint| hint.to_le_bytes())
        .collect();
    hasher.update(&hints);
    *hasher.finalize().as_bytes()
}

/// Everything beside the program that the code depends on: Cranelift with its settings, the processor's features, the
/// host's pages, and the options.
pub(super) fn target(options: &CompileOptions) -> Result<Digest, CompileError> {
    // Whoever adds an option has to say here whether code depends on it.
    let CompileOptions {
        protection,
        verify: _,
        host_features: _, // In the description, by what came of it.
        places,
        frame_pointers: _, // Likewise.
        meters,
        refuse,
    } = options;
    let description = target_description(options)?;
    let page = rustix::param::page_size();
    let mut hasher = Hasher::new_derive_key("millrace code cache 1: target");
    hasher.update(format!("{protection:?} {places} {meters} {refuse:?} {page}\n{description}").as_bytes());
    Ok(*hasher.finalize().as_bytes())
}

/// What tells this build from every other: crate version, and the build id that the linker put into the running
/// executable, or the hash of that file where it has none.
///
/// The running executable, not what lies at its path by now. The compiler is part of it: it is linked statically.
pub(super) fn build() -> Result<Digest, CodeCacheError> {
    static BUILD: OnceLock<Digest> = OnceLock::new();
    if let Some(build) = BUILD.get() {
        return Ok(*build);
    }
    let mut hasher = Hasher::new_derive_key("millrace code cache 1: build");
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    let file = File::open("/proc/self/exe").map_err(|source| CodeCacheError::Build { source })?;
    match linker_build_id(&file) {
        Some(id) => hasher.update(b" build id ").update(&id),
        None => {
            hash_file(hasher.update(b" file "), &file).map_err(|source| CodeCacheError::Build { source })?
        }
    };
    Ok(*BUILD.get_or_init(|| *hasher.finalize().as_bytes()))
}

/// The build id in the notes of an executable: by default a hash of what was linked.
fn linker_build_id(file: &File) -> Option<Vec<u8>> {
    /// A shorter one is no hash.
    const LEAST_BYTES: usize = 16;
    let data = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&data).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, &data).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, &data) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            let is_build_id = note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID;
            if is_build_id && note.desc().len() >= LEAST_BYTES {
                return Some(note.desc().to_vec());
            }
        }
    }
    None
}

fn hash_file<'a>(hasher: &'a mut Hasher, mut file: &File) -> io::Result<&'a mut Hasher> {
    io::copy(&mut file, hasher)?;
    Ok(hasher)
}
