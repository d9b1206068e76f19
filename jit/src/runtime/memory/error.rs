//! What a host can run out of, and what to do about it.

use std::io;

use rustix::process::{Resource, getrlimit};

/// The host cannot give an instance its memory. A fault of the host: no guest may observe it, nothing of a chain may
/// follow from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The process has as many memory maps as it may have.
    #[error(
        "no memory map is left for one more guest: the process has {maps} of {limit}; raise vm.max_map_count, or keep \
         fewer instances alive at once"
    )]
    Maps {
        /// Maps of the process when it happened.
        maps: u64,
        /// vm.max_map_count.
        limit: u64,
    },
    /// The process may not reserve another 4 GiB.
    #[error(
        "no 4 GiB of address space are left for one more guest: the process may reserve {limit} bytes in all; raise \
         RLIMIT_AS (`ulimit -v unlimited`), or keep fewer instances alive at once"
    )]
    AddressSpace {
        /// RLIMIT_AS, in bytes.
        limit: u64,
    },
    /// Another reason.
    #[error(
        "the host refuses to {operation} guest memory: {source}; it is out of memory, or vm.overcommit_memory is 2 \
         (never overcommit) and vm.overcommit_ratio too low"
    )]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The answer.
        source: io::Error,
    },
}

/// A bound that is this close counts as reached: asking may itself take maps, and other threads give some back.
const NEAR: u64 = 64;

impl InstanceError {
    /// The reason behind a failed system call, looked up where the kernel says nothing but ENOMEM.
    #[cold]
    pub(super) fn of(operation: &'static str, error: rustix::io::Errno) -> Self {
        if error == rustix::io::Errno::NOMEM {
            if let (Some(maps), Some(limit)) = (maps(), maps_limit())
                && maps + NEAR >= limit
            {
                return Self::Maps { maps, limit };
            }
            if let Some(limit) = getrlimit(Resource::As).current {
                return Self::AddressSpace { limit };
            }
        }
        Self::Refused {
            operation,
            source: error.into(),
        }
    }
}

fn maps() -> Option<u64> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    Some(maps.iter().filter(|&&byte| byte == b'\n').count() as u64)
}

fn maps_limit() -> Option<u64> {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    limit.trim().parse().ok()
}
