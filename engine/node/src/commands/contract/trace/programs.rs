//! What is known of the programs that a trace meets: names of functions, lines, and their interfaces.
//!
//! A program that was built here is found by the hash of its ELF file, so that nobody says which contract is which. Names of others
//! come from their own code, if it has any.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_jit::Program;
use millrace_jit::image::{self, Debug};
use millrace_jit::profile::backtrace::Backtrace;
use millrace_types::Hash;
use millrace_types::state::code_hash;

use super::functions::Ranges;
use super::recorder::Stack;
use crate::commands::contract::interface::Interface;
use crate::commands::program;
use crate::failure::Failure;

/// Lines of the author's own that are told of a failure.
const MOST_LINES: usize = 4;
/// Most files of a folder that are looked at.
const MOST_FILES: usize = 1024;

/// A program that was built here.
#[derive(Debug)]
pub struct Local {
    /// The name of its file.
    pub name: String,
    /// Its interface, if it has one.
    pub interface: Option<Interface>,
    /// The file with the most symbols.
    elf: Arc<[u8]>,
}

/// Names and lines of one program.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Its functions.
    pub ranges: Arc<Ranges>,
    elf: Option<Arc<[u8]>>,
}

/// Gives the code with a hash, where it can be had.
type FindCode<'p> = Box<dyn Fn(&Hash) -> Option<Arc<[u8]>> + 'p>;

/// Everything that is known.
pub struct Programs<'p> {
    local: &'p Locals,
    find_code: FindCode<'p>,
    symbols: RefCell<BTreeMap<Hash, Arc<Symbols>>>,
}

/// Programs that were built here, by the hash of their code.
#[derive(Debug, Default)]
pub struct Locals {
    by_hash: BTreeMap<Hash, Local>,
    /// What is wrong with files that were looked at.
    pub warnings: Vec<String>,
}

impl Locals {
    /// The programs in `files`, and those of the folder `out` if it is there.
    ///
    /// # Errors
    /// When one of `files` cannot be read.
    pub fn read(files: &[PathBuf], out: &Path) -> Result<Self, Failure> {
        let mut locals = Self::default();
        for path in files {
            locals.add(path)?;
        }
        let Ok(entries) = fs::read_dir(out) else {
            return Ok(locals);
        };
        let mut found: Vec<_> = entries
            .take(MOST_FILES)
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_program(path))
            .collect();
        found.sort();
        for path in found {
            if let Err(error) = locals.add(&path) {
                locals.warnings.push(error.to_string());
            }
        }
        Ok(locals)
    }

    /// The program in the file at `path`, with the symbols and the interface that lie beside it.
    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        let read = |path: &Path| program::read(path).map_err(|error| Failure::new(error.to_string()));
        let elf = read(path)?;
        let hash = code_hash(&elf);
        let beside = path.with_extension("symbols.elf");
        let symbols = if beside.is_file() {
            Some(read(&beside)?)
        } else {
            None
        };
        let symbols = symbols.filter(|symbols| {
            let is_same = is_same_text(&elf, symbols);
            if !is_same {
                self.warnings.push(format!(
                    "{} is of another build than {}: it is not used; build both again",
                    beside.display(),
                    path.display()
                ));
            }
            is_same
        });
        let described = path.with_extension("json");
        let interface = match described.is_file().then(|| Interface::read(&described)) {
            None => None,
            Some(Ok(interface)) => Some(interface),
            Some(Err(error)) => {
                self.warnings.push(error.to_string());
                None
            }
        };
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let elf = symbols.unwrap_or(elf).into();
        self.by_hash.entry(hash).or_insert(Local { name, interface, elf });
        Ok(())
    }

    /// The program with that code.
    pub fn get(&self, hash: &Hash) -> Option<&Local> {
        self.by_hash.get(hash)
    }
}

/// Whether a file of a folder is what goes on chain, by its name.
fn is_program(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".elf") && !name.ends_with(".symbols.elf")
}

/// Whether addresses of one file are those of the other.
fn is_same_text(one: &[u8], other: &[u8]) -> bool {
    let load = |elf: &[u8]| Program::load(elf, program::newest_machine()).ok();
    match (load(one), load(other)) {
        (Some(one), Some(other)) => one.text() == other.text(),
        _ => false,
    }
}

impl<'p> Programs<'p> {
    /// Those of `local`, and of others what `find_code` gives.
    pub fn new(local: &'p Locals, find_code: FindCode<'p>) -> Self {
        Self {
            local,
            find_code,
            symbols: RefCell::default(),
        }
    }

    /// Names and lines of the program with that code, as far as there are any.
    pub fn symbols(&self, hash: &Hash) -> Arc<Symbols> {
        let mut known = self.symbols.borrow_mut();
        let found = known.entry(*hash).or_insert_with(|| {
            let elf = match self.local.get(hash) {
                Some(local) => Some(Arc::clone(&local.elf)),
                None => (self.find_code)(hash),
            };
            Arc::new(elf.map(Symbols::of).unwrap_or_default())
        });
        Arc::clone(found)
    }
}

impl Symbols {
    fn of(elf: Arc<[u8]>) -> Self {
        let debug = Debug::new(&elf, program::newest_machine());
        let functions = debug.functions().map(|function| {
            let (start, len) = (u64::from(function.address), u64::from(function.len));
            (start, len, function.name)
        });
        let ranges = Arc::new(Ranges::new(functions));
        Self {
            ranges,
            elf: Some(elf),
        }
    }

    /// Where a frame stands, by where its functions go on, the innermost first, and by the jumps that it took at last, each where it
    /// stood and where it led, the newest one last.
    pub fn stack(&self, pc: u64, returns_to: Vec<u64>, jumps: &[(u64, u64)]) -> Stack {
        let elf = self.elf.as_deref().unwrap_or_default();
        let debug = Debug::new(elf, program::newest_machine());
        Stack {
            came_through: came_through(&debug, pc, jumps),
            backtrace: Backtrace::of_calls(&debug, pc, returns_to),
        }
    }
}

/// The newest lines of the author's own source that a run came through on its way to `pc`, the newest first, so that an error that
/// was answered, not raised, has lines too.
fn came_through(debug: &Debug<'_>, pc: u64, jumps: &[(u64, u64)]) -> Vec<image::Frame> {
    /// Bytes of a straight line that are looked at.
    const MOST_BYTES: u64 = 256;
    /// Addresses that are looked up: what has no source of its own is not searched for long.
    const MOST_LOOKED_UP: usize = 4096;
    let mut looked_up = 0;
    let mut found: Vec<image::Frame> = Vec::new();
    let mut last = pc;
    for (from, to) in jumps.iter().rev() {
        let first = (*to).max(last.saturating_sub(MOST_BYTES)).max(2);
        let mut at = last;
        while at >= first {
            if looked_up == MOST_LOOKED_UP {
                return found;
            }
            looked_up += 1;
            let own = debug.frames_at(at).into_iter().find(is_own);
            // What a macro made of a function's signature says less than the function.
            if let Some(own) = own.filter(|own| !is_dispatcher(own)) {
                let line =
                    |frame: &image::Frame| frame.location.as_ref().map(|at| (at.file.clone(), at.line));
                if !found.iter().any(|known| line(known) == line(&own)) {
                    found.push(own);
                }
                if found.len() == MOST_LINES {
                    return found;
                }
            }
            at -= 2;
        }
        last = *from;
    }
    found
}

/// Whether a function is what `#[contract]` writes.
fn is_dispatcher(frame: &image::Frame) -> bool {
    let name = frame.function.as_deref().unwrap_or_default();
    name == "_start" || name.ends_with("::dispatch")
}

/// Whether a function's source is the author's own, as builds name sources: the SDK's, other packages' and the library's
/// begin with names of their own, or lie where cargo and rustc keep them.
fn is_own(frame: &image::Frame) -> bool {
    const FOREIGN: [&str; 3] = ["sdk/", "crates/", "library/"];
    const WITHIN: [&str; 3] = ["/library/", "/registry/src/", "/rustc"];
    let Some(at) = frame.location.as_ref().filter(|at| at.line > 0) else {
        return false;
    };
    // `contract build` calls the contract's folder `contract`; `contracts/build.sh` calls its own `contracts`.
    let in_folder = at
        .file
        .strip_prefix("contract/")
        .or(at.file.strip_prefix("contracts/"));
    let path = in_folder.unwrap_or(&at.file);
    let is_foreign = FOREIGN.iter().any(|prefix| path.starts_with(prefix));
    !is_foreign && (in_folder.is_some() || !WITHIN.iter().any(|folder| path.contains(folder)))
}

/// A source file as its author knows it: of a contract's own it is the path from its folder.
pub fn source(file: &str) -> &str {
    file.strip_prefix("contract/").unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authors_own_source_is_told_from_what_it_is_built_with() {
        let own = |file: &str| {
            let file = file.to_owned();
            let location = Some(image::Location {
                file,
                line: 1,
                column: 1,
            });
            is_own(&image::Frame {
                function: None,
                location,
            })
        };
        for file in [
            "contract/src/main.rs",
            "contract/src/library/a.rs",
            "contracts/examples/token/src/main.rs",
            "shared/src/lib.rs",
            "/home/somebody/timelock.c",
        ] {
            assert!(own(file), "{file}");
        }
        for file in [
            "contract/sdk/src/host.rs",
            "contract/library/core/src/array/mod.rs",
            "contracts/sdk/src/host.rs",
            "crates/borsh-1.0.0/src/lib.rs",
            "library/core/src/fmt.rs",
            "/usr/src/rustc-1.96.0/library/core/src/panicking.rs",
            "/rustc/0123/library/core/src/panicking.rs",
            "/home/somebody/.cargo/registry/src/index/borsh/src/lib.rs",
        ] {
            assert!(!own(file), "{file}");
        }
    }
}
