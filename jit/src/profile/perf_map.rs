//! `/tmp/perf-PID.map`: a line `START SIZE NAME` for each native function, numbers in hex. What is freed stays in it; the
//! format has no way to say so, and where memory is used again `perf` may show the old name.
//!
//! `cranelift-jit` appends to the same file when `perf record` runs the process, with names that say less, and of two
//! names for one address `perf` prefers the longer. So whatever others append is cut off.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::native::Native;
use super::{ProfileError, create};

#[derive(Debug)]
pub(super) struct PerfMap {
    path: PathBuf,
    file: File,
    /// Bytes of ours.
    len: u64,
}

impl PerfMap {
    pub(super) fn create(directory: &Path) -> Result<Self, ProfileError> {
        let path = directory.join(format!("perf-{}.map", std::process::id()));
        let file = create(&path)?;
        Ok(Self { path, file, len: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds functions.
    pub(super) fn load(&mut self, natives: &[Native<'_>]) -> Result<(), ProfileError> {
        let mut text = String::new();
        for native in natives {
            let Native {
                name, start, code, ..
            } = native;
            writeln!(text, "{start:x} {:x} {name}", code.len()).expect("strings take everything");
        }
        let wrote = self.write(text.as_bytes());
        wrote.map_err(|source| self.failed(source))
    }

    /// Cuts off what others have appended since.
    pub(super) fn close(&mut self) -> Result<(), ProfileError> {
        let cut = self.file.set_len(self.len);
        cut.map_err(|source| self.failed(source))
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.write_all_at(text, self.len)?;
        self.len += text.len() as u64;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ProfileError {
        ProfileError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::native::tests::sample;
    use super::*;

    #[test]
    fn each_function_is_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let mut map = PerfMap::create(directory.path()).unwrap();
        map.load(&sample()).unwrap();
        map.load(&sample()[1..]).unwrap();
        let name = format!("perf-{}.map", std::process::id());
        assert_eq!(
            std::fs::read_to_string(directory.path().join(name)).unwrap(),
            "70001000 4 guest::token::transfer\n\
             70001010 1 guest::token::transfer+0x1c\n\
             70001010 1 guest::token::transfer+0x1c\n"
        );
    }

    #[test]
    fn what_others_append_is_cut_off() {
        use std::io::Write as _;
        let directory = tempfile::tempdir().unwrap();
        let mut map = PerfMap::create(directory.path()).unwrap();
        let path = map.path().to_owned();
        let mut other = File::options().append(true).open(&path).unwrap();
        for _ in 0..2 {
            other
                .write_all(b"70001000 4 a_name_that_is_longer_than_ours\n")
                .unwrap();
            map.load(&sample()).unwrap();
        }
        other.write_all(b"at the end").unwrap();
        map.close().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.lines().all(|line| line.contains(" guest::token::")),
            "{text}"
        );
    }

    #[test]
    fn a_file_left_by_another_process_is_replaced_and_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("perf-{}.map", std::process::id()));
        let precious = directory.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        PerfMap::create(directory.path())
            .unwrap()
            .load(&sample())
            .unwrap();
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "kept");
    }
}
