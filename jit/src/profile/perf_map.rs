//! `/tmp/perf-PID.map`: a line `START SIZE NAME` for each native function, numbers in hex. What is freed stays in it; the
//! format has no way to say so, and where memory is used again `perf` takes the last line.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::native::Native;
use super::{ProfileError, create};

#[derive(Debug)]
pub(super) struct PerfMap {
    path: PathBuf,
    file: File,
}

impl PerfMap {
    pub(super) fn create(directory: &Path) -> Result<Self, ProfileError> {
        let path = directory.join(format!("perf-{}.map", std::process::id()));
        let file = create(&path)?;
        Ok(Self { path, file })
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
        // One write, so that a reader never sees half a line.
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| ProfileError::Write {
                path: self.path.clone(),
                source,
            })
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
