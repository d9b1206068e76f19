//! The data directory: permissions, file system, room, who has it, what formats its files have.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use millrace_ledger::{Ledger, OpenError};
use millrace_state::files::Directory;
use rustix::fs::{Access, access, statfs, statvfs};

use super::{Finding, Subject};
use crate::node::{LEDGER_FILE, STATE_DIRECTORY};

/// A node that has less stops within minutes.
const LEAST_FREE_BYTES: u64 = 256 << 20;
/// Less is soon used up.
const GOOD_FREE_BYTES: u64 = 8 << 30;
/// What the finding of a used ledger is known by.
const IN_USE: &str = "another process has the data directory";

/// Everything about the data.
pub(super) fn look(subject: &Subject) -> Vec<Finding> {
    let directory = &subject.data_directory;
    let shown = directory.display();
    let metadata = match std::fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(directory),
        Err(error) => {
            let advice = "give this user the right to it, or name another directory";
            return vec![Finding::failure(
                "data directory",
                format!("{shown}: {error}"),
                advice,
            )];
        }
    };
    if !metadata.is_dir() {
        let found = format!("{shown} is no directory");
        return vec![Finding::failure(
            "data directory",
            found,
            "name another with data_directory",
        )];
    }
    let mut findings = vec![permissions(directory, &metadata)];
    findings.extend(place(directory));
    findings.push(ledger(subject));
    findings.push(states(directory));
    findings.push(code_cache(subject));
    findings
}

/// Whether a node seems to run there.
pub(super) fn is_in_use(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.found.starts_with(IN_USE))
}

fn missing(directory: &Path) -> Vec<Finding> {
    let parent = directory.ancestors().skip(1).find(|parent| parent.exists());
    let parent = parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let shown = directory.display();
    if access(parent, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let found = format!(
            "{shown} is missing, and this user may not make it in {}",
            parent.display()
        );
        let advice =
            format!("make it and give it to the node's user, as with `install -d -m 700 -o USER {shown}`");
        return vec![Finding::failure("data directory", found, advice)];
    }
    let mut findings = vec![Finding::ok(
        "data directory",
        format!("{shown} is missing; the first start makes it"),
    )];
    findings.extend(place(parent));
    findings
}

fn permissions(directory: &Path, metadata: &std::fs::Metadata) -> Finding {
    const CHECK: &str = "data directory";
    let shown = directory.display();
    let user = rustix::process::geteuid().as_raw();
    let mode = metadata.permissions().mode() & 0o7777;
    if access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let found = format!(
            "{shown} (mode {mode:04o}, user {}) may not be written by user {user}",
            metadata.uid()
        );
        return Finding::failure(
            CHECK,
            found,
            "chown it to the node's user, or run this as that user",
        );
    }
    if metadata.uid() != user {
        let found = format!("{shown} belongs to user {}, this is user {user}", metadata.uid());
        let advice =
            "run node and doctor as the user that it belongs to: files of another one will be in the way";
        return Finding::warning(CHECK, found, advice);
    }
    if mode & 0o022 != 0 {
        let found =
            format!("{shown} has mode {mode:04o}: others may write to it, and decide what the node knows");
        return Finding::warning(CHECK, found, format!("chmod go-w {shown}"));
    }
    Finding::ok(CHECK, format!("{shown} is this user's, mode {mode:04o}"))
}

/// The file system below a directory, and the room on it.
fn place(directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(system) = statfs(directory) {
        findings.push(file_system(system.f_type));
    }
    if let Ok(system) = statvfs(directory) {
        findings.push(room(system.f_bavail.saturating_mul(system.f_frsize)));
        if system.f_files > 0 && system.f_favail < 1_000 {
            let found = format!("{} inodes are free", system.f_favail);
            findings.push(Finding::warning(
                "inodes",
                found,
                "remove small files, or use another file system",
            ));
        }
    }
    findings
}

fn room(bytes: u64) -> Finding {
    const CHECK: &str = "free space";
    let found = format!("{} MiB", bytes >> 20);
    let advice = "make room, or move the data directory: a node whose disk is full stops";
    match bytes {
        0..LEAST_FREE_BYTES => Finding::failure(CHECK, found, advice),
        LEAST_FREE_BYTES..GOOD_FREE_BYTES => Finding::warning(CHECK, found, advice),
        _ => Finding::ok(CHECK, found),
    }
}

/// By its number in `statfs(2)`.
fn file_system(kind: i64) -> Finding {
    const CHECK: &str = "file system";
    let kind = kind & 0xffff_ffff;
    match kind {
        0xef53 => Finding::ok(CHECK, "ext4"),
        0x5846_5342 => Finding::ok(CHECK, "xfs"),
        0x9123_683e => Finding::ok(CHECK, "btrfs"),
        0x2fc1_2fc1 => Finding::ok(CHECK, "zfs"),
        0x0102_1994 | 0x8584_58f6 => Finding::warning(
            CHECK,
            "tmpfs: the chain is in memory, and gone when the machine is",
            "move the data directory to a disk, unless that is meant",
        ),
        0x794c_7630 => Finding::warning(
            CHECK,
            "overlayfs: the layer of a container, which is gone with it",
            "mount a volume at the data directory",
        ),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x6573_5546 => Finding::warning(
            CHECK,
            "a network or user-space file system: locks and fsync may not hold what they promise",
            "keep the data directory on a local disk",
        ),
        other => Finding::ok(CHECK, format!("type {other:#x}")),
    }
}

fn ledger(subject: &Subject) -> Finding {
    const CHECK: &str = "ledger";
    let path = subject.data_directory.join(LEDGER_FILE);
    let Some(spec) = &subject.spec else {
        return Finding::warning(
            CHECK,
            "not looked at without its chain spec",
            "mend the chain spec first",
        );
    };
    if !path.exists() {
        return Finding::ok(CHECK, "none yet; the first start makes it");
    }
    match Ledger::inspect(&path, spec) {
        Ok(()) => {
            let version = millrace_ledger::FORMAT_VERSION;
            Finding::ok(
                CHECK,
                format!("opens, of this chain; this build reads formats up to {version}"),
            )
        }
        Err(OpenError::InUse { .. }) => Finding::warning(
            CHECK,
            format!("{IN_USE}: the node seems to run, so that nothing in it was looked at"),
            "stop the node, and run this again, to have its files looked at",
        ),
        Err(error) => Finding::of_error(CHECK, &error),
    }
}

fn states(directory: &Path) -> Finding {
    const CHECK: &str = "states";
    let path = directory.join(STATE_DIRECTORY);
    if !path.exists() {
        return Finding::ok(CHECK, "none yet; a start makes them from the ledger");
    }
    let shown = path.display();
    let files = match Directory::look_at(&path) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Finding::warning(
                CHECK,
                format!("{IN_USE}: {shown}"),
                "stop the node, and run this again, to have its files looked at",
            );
        }
        Err(error) => {
            return Finding::failure(
                CHECK,
                format!("{shown}: {error}"),
                "give the directory to the node's user",
            );
        }
    };
    match millrace_state::log::check_format(&files) {
        Ok(()) => Finding::ok(
            CHECK,
            format!("can be read; `millrace state check {shown}` verifies every byte"),
        ),
        Err(error) => Finding::of_error(CHECK, &error),
    }
}

fn code_cache(subject: &Subject) -> Finding {
    const CHECK: &str = "code cache";
    let Some(plan) = &subject.code_cache else {
        return Finding::ok(CHECK, "none is kept with this tier");
    };
    if !plan.directory.exists() {
        return Finding::ok(CHECK, "none yet");
    }
    match plan.inspect() {
        Ok(_) => Finding::ok(
            CHECK,
            format!("{} is this user's alone", plan.directory.display()),
        ),
        Err(error) => Finding::of_error(CHECK, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn little_room_is_a_warning_and_less_a_failure() {
        assert_eq!(room(0).status, Verdict::Failure);
        assert_eq!(room(LEAST_FREE_BYTES).status, Verdict::Warning);
        assert_eq!(room(GOOD_FREE_BYTES).status, Verdict::Ok);
    }

    #[test]
    fn file_systems_that_forget_or_lie_are_told() {
        assert_eq!(file_system(0xef53).status, Verdict::Ok);
        for forgetful in [0x0102_1994, 0x794c_7630, 0x6969, 0xffff_ffff_ff53_4d42_u64 as i64] {
            assert_eq!(file_system(forgetful).status, Verdict::Warning, "{forgetful:#x}");
        }
    }
}
