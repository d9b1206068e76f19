//! `jit-PID.dump`: the jitdump format of Linux (`tools/perf/Documentation/jitdump-specification.txt`), version 1.
//!
//! `perf record -k mono` notes that the process maps the file as executable; `perf inject --jit` then finds it and makes
//! an ELF file of each function in it. Records are in the byte order of the host, times those of `CLOCK_MONOTONIC`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};

use super::native::{Line, Native};
use super::{ProfileError, create};

const MAGIC: u32 = 0x4a69_5444;
const VERSION: u32 = 1;
const HEADER_BYTES: u32 = 40;

const CODE_LOAD: u32 = 0;
const CODE_DEBUG_INFO: u32 = 2;
const CODE_CLOSE: u32 = 3;

/// `e_machine` of this host's ELF files.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    object::elf::EM_X86_64.0 as u32
} else {
    object::elf::EM_AARCH64.0 as u32
};

#[derive(Debug)]
pub(super) struct JitDump {
    path: PathBuf,
    file: File,
    /// What `perf record` notes. Never read.
    _marker: Mmap,
    /// Functions so far: `perf inject` numbers the files that it makes by it.
    functions: u64,
}

/// One record: its kind and its bytes after the time.
struct Record(Vec<u8>);

impl Record {
    fn new(kind: u32) -> Self {
        let mut record = Self(Vec::new());
        // The length comes when it is known.
        record.u32(kind).u32(0).u64(now_ns());
        record
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A string with its end; it ends earlier if it has a zero inside.
    fn text(&mut self, text: &str) -> &mut Self {
        let end = text.find('\0').unwrap_or(text.len());
        self.bytes(&text.as_bytes()[..end]).bytes(&[0])
    }

    fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("a function's code and lines are far below 4 GiB");
        self.0[4..8].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

impl JitDump {
    pub(super) fn create(directory: &Path) -> Result<Self, ProfileError> {
        let path = directory.join(format!("jit-{}.dump", std::process::id()));
        let mut file = create(&path)?;
        let failed = |source| ProfileError::Write {
            path: path.clone(),
            source,
        };
        file.write_all(&header()).map_err(failed)?;
        // SAFETY: nobody reads through the mapping, so it does not matter who changes the file.
        let marker = unsafe { MmapOptions::new().len(HEADER_BYTES as usize).map_exec(&file) };
        let marker = marker.map_err(|source| ProfileError::Map {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            file,
            _marker: marker,
            functions: 0,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds functions, each after its lines, as the format wants it.
    pub(super) fn load(&mut self, natives: &[Native<'_>]) -> Result<(), ProfileError> {
        let mut records = Vec::new();
        for native in natives {
            if !native.lines.is_empty() {
                records.extend(lines(native));
            }
            records.extend(code(native, self.functions));
            self.functions += 1;
        }
        self.write(&records)
    }

    /// Says that nothing follows.
    pub(super) fn close(&mut self) -> Result<(), ProfileError> {
        self.write(&Record::new(CODE_CLOSE).finish())
    }

    fn write(&mut self, records: &[u8]) -> Result<(), ProfileError> {
        self.file
            .write_all(records)
            .map_err(|source| ProfileError::Write {
                path: self.path.clone(),
                source,
            })
    }
}

fn header() -> Vec<u8> {
    let mut header = Record(Vec::new());
    header.u32(MAGIC).u32(VERSION).u32(HEADER_BYTES).u32(MACHINE);
    header.u32(0).u32(std::process::id()).u64(now_ns()).u64(0);
    header.0
}

fn code(native: &Native<'_>, index: u64) -> Vec<u8> {
    let mut record = Record::new(CODE_LOAD);
    record.u32(std::process::id()).u32(thread_id());
    record.u64(native.start).u64(native.start);
    record.u64(native.code.len() as u64).u64(index);
    record.text(&native.name).bytes(native.code);
    record.finish()
}

fn lines(native: &Native<'_>) -> Vec<u8> {
    // `perf` ends its table with the last entry, so that what that one stands for needs an end of its own.
    let last = native.lines.last().map(|last| Line {
        offset: native.code.len() as u32,
        ..*last
    });
    let mut record = Record::new(CODE_DEBUG_INFO);
    record.u64(native.start).u64(native.lines.len() as u64 + 1);
    for line in native.lines.iter().chain(&last) {
        record.u64(native.start + u64::from(line.offset));
        record.u32(line.line).u32(0).text(line.file);
    }
    record.finish()
}

/// The time that `perf record -k mono` stamps samples with.
fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one `timespec`, to a place that holds one.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(result, 0, "Linux has this clock: {}", io::Error::last_os_error());
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn thread_id() -> u32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() as u32 }
}

#[cfg(test)]
mod tests {
    use super::super::native::tests::sample;
    use super::*;

    /// Reads the format, as the specification says.
    struct Reader<'a>(&'a [u8]);

    impl<'a> Reader<'a> {
        fn take(&mut self, len: usize) -> &'a [u8] {
            let (taken, rest) = self.0.split_at(len);
            self.0 = rest;
            taken
        }

        fn u32(&mut self) -> u32 {
            u32::from_ne_bytes(self.take(4).try_into().unwrap())
        }

        fn u64(&mut self) -> u64 {
            u64::from_ne_bytes(self.take(8).try_into().unwrap())
        }

        fn text(&mut self) -> &'a str {
            let end = self.0.iter().position(|&byte| byte == 0).unwrap();
            let text = std::str::from_utf8(self.take(end)).unwrap();
            self.take(1);
            text
        }

        /// Kind, time and the rest of the next record.
        fn record(&mut self) -> Option<(u32, u64, Reader<'a>)> {
            if self.0.is_empty() {
                return None;
            }
            let (kind, len, time) = (self.u32(), self.u32(), self.u64());
            Some((kind, time, Reader(self.take(len as usize - 16))))
        }
    }

    #[test]
    fn the_file_reads_back_as_the_specification_says() {
        let directory = tempfile::tempdir().unwrap();
        let before = now_ns();
        let mut dump = JitDump::create(directory.path()).unwrap();
        dump.load(&sample()).unwrap();
        dump.close().unwrap();
        let pid = std::process::id();
        let bytes = std::fs::read(directory.path().join(format!("jit-{pid}.dump"))).unwrap();
        let mut file = Reader(&bytes);
        let header = [
            file.u32(),
            file.u32(),
            file.u32(),
            file.u32(),
            file.u32(),
            file.u32(),
        ];
        assert_eq!(header, [0x4a69_5444, 1, 40, MACHINE, 0, pid]);
        let mut last = file.u64();
        assert!(before <= last && last <= now_ns());
        assert_eq!(file.u64(), 0, "flags: times are not the processor's");

        let mut kinds = Vec::new();
        let mut loads = Vec::new();
        while let Some((kind, time, mut record)) = file.record() {
            kinds.push(kind);
            assert!(last <= time, "times ascend");
            last = time;
            match kind {
                CODE_LOAD => {
                    assert_eq!((record.u32(), record.u32()), (pid, thread_id()));
                    let [vma, address, len, index] = [(); 4].map(|()| record.u64());
                    assert_eq!(vma, address);
                    loads.push((address, index, record.text(), record.take(len as usize)));
                }
                CODE_DEBUG_INFO => {
                    assert_eq!((record.u64(), record.u64()), (0x7000_1000, 3));
                    let entries = [(); 3].map(|()| (record.u64(), record.u32(), record.u32(), record.text()));
                    assert_eq!(
                        entries,
                        [
                            (0x7000_1000, 12, 0, "/src/token.rs"),
                            (0x7000_1002, 1200, 0, "/src/math.rs"),
                            (0x7000_1004, 1200, 0, "/src/math.rs"),
                        ]
                    );
                }
                _ => {}
            }
            assert!(record.0.is_empty(), "nothing is left of a record of kind {kind}");
        }
        assert_eq!(kinds, [CODE_DEBUG_INFO, CODE_LOAD, CODE_LOAD, CODE_CLOSE]);
        assert_eq!(
            loads,
            [
                (
                    0x7000_1000,
                    0,
                    "guest::token::transfer",
                    &[0x90, 0x90, 0x90, 0xc3][..]
                ),
                (0x7000_1010, 1, "guest::token::transfer+0x1c", &[0xc3][..]),
            ]
        );
    }

    #[test]
    fn the_file_is_mapped_as_executable_where_perf_looks() {
        let directory = tempfile::tempdir().unwrap();
        let dump = JitDump::create(directory.path()).unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = dump.path().to_str().unwrap();
        let mapping = maps.lines().find(|line| line.ends_with(path)).unwrap();
        assert!(mapping.contains(" r-x"), "{mapping}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = JitDump::create(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/at/all/jit-")
                && error.to_string().contains("give a directory"),
            "{error}"
        );
    }
}
