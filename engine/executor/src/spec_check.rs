//! Whether this build can execute a chain: known versions, and limits that hold together.

use millrace_jit::machine::{PAGE_BYTES, machine};
use millrace_types::{Amount, ChainSpec, Gas, Height};

use crate::gas::{MAX_GAS, schedule};

/// The deepest nesting of frames that any chain may allow: what worker stacks are sized for.
pub const MAX_CALL_DEPTH: u32 = 128;

/// Why a chain spec cannot be executed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// No versions are named for height 0.
    #[error("versions: the first entry must be for height 0; add one")]
    NoVersions,
    /// The version of the machine is not known.
    #[error(
        "versions: machine version {version} from height {height} on is not known to this build; update the node"
    )]
    UnknownMachine {
        /// The version.
        version: u16,
        /// From where on.
        height: Height,
    },
    /// The gas version is not known.
    #[error(
        "versions: gas version {version} from height {height} on is not known to this build; update the node"
    )]
    UnknownGas {
        /// The version.
        version: u16,
        /// From where on.
        height: Height,
    },
    /// A limit is outside its range.
    #[error("limits.{name}: {value} is outside {least} to {most}")]
    Limit {
        /// Which.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A block's gas could pay for more written bytes than a block may write.
    #[error(
        "limits.block_write_bytes: {limit} is less than the {possible} bytes that block_gas {block_gas} pays for; \
         raise it or lower block_gas"
    )]
    BlockWriteBytes {
        /// The limit.
        limit: u64,
        /// What the gas allows.
        possible: u64,
        /// The block's gas.
        block_gas: Gas,
    },
    /// Genesis balances add up to 2^127 or more.
    #[error("accounts: the balances add up to 2^127 or more; lower them")]
    Supply,
}

/// Checks that this build can execute the chain by its rules; nodes do it before anything else.
///
/// # Errors
/// The first thing that it cannot do.
pub fn check_spec(spec: &ChainSpec) -> Result<(), SpecError> {
    check_limits(spec)?;
    check_versions(spec)?;
    let supply = spec
        .accounts
        .iter()
        .try_fold(0, |sum: Amount, account| sum.checked_add(account.balance));
    match supply {
        Some(supply) if supply < 1 << 127 => Ok(()),
        _ => Err(SpecError::Supply),
    }
}

fn check_limits(spec: &ChainSpec) -> Result<(), SpecError> {
    let limits = &spec.limits;
    let check = |name, value, least, most| {
        let inside = (least..=most).contains(&value);
        if inside {
            Ok(())
        } else {
            Err(SpecError::Limit {
                name,
                value,
                least,
                most,
            })
        }
    };
    let word = u64::from(u32::MAX);
    check("block_gas", limits.block_gas, 1, MAX_GAS)?;
    check("transaction_gas", limits.transaction_gas, 1, limits.block_gas)?;
    check("min_gas_price", limits.min_gas_price, 1, u64::MAX)?;
    check("call_depth", limits.call_depth.into(), 1, MAX_CALL_DEPTH.into())?;
    check("return_bytes", limits.return_bytes.into(), 1, word)?;
    check("log_bytes", limits.log_bytes.into(), 1, word)?;
    check("journal_entries", limits.journal_entries.into(), 1, word)
}

fn check_versions(spec: &ChainSpec) -> Result<(), SpecError> {
    if spec.versions.first().is_none_or(|first| first.height != 0) {
        return Err(SpecError::NoVersions);
    }
    let limits = &spec.limits;
    for versions in &spec.versions {
        let height = versions.height;
        let machine = machine(versions.machine).ok_or(SpecError::UnknownMachine {
            version: versions.machine,
            height,
        })?;
        let schedule = schedule(versions.gas).ok_or(SpecError::UnknownGas {
            version: versions.gas,
            height,
        })?;
        // The stack, and one page of text at least: with less no contract runs.
        let least_pages = u64::from(machine.layout.stack_bytes / PAGE_BYTES) + 1;
        let pages = u64::from(limits.transaction_pages);
        if pages < least_pages {
            let most = u32::MAX.into();
            return Err(SpecError::Limit {
                name: "transaction_pages",
                value: pages,
                least: least_pages,
                most,
            });
        }
        let possible = schedule.most_written_bytes(limits.block_gas);
        if possible > limits.block_write_bytes {
            let (limit, block_gas) = (limits.block_write_bytes, limits.block_gas);
            return Err(SpecError::BlockWriteBytes {
                limit,
                possible,
                block_gas,
            });
        }
    }
    Ok(())
}
