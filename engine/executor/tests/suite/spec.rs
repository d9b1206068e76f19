//! Chain specs that this build can and cannot execute, and genesis.

use std::sync::Arc;

use millrace_executor::gas::schedule;
use millrace_executor::host::number;
use millrace_executor::{Executor, MAX_CALL_DEPTH, SpecError, check_spec, genesis_changes};
use millrace_jit::Tier;
use millrace_jit::machine::NEWEST;
use millrace_types::chain_spec::{GenesisAccount, VersionActivation};
use millrace_types::state::{Account, account_path};
use millrace_types::{ChainSpec, Outcome, Payload};

use crate::common::world::{BALANCE, SENDERS, spec};
use crate::common::{World, elf_of, key};

fn check(change: impl FnOnce(&mut ChainSpec)) -> Result<(), SpecError> {
    let mut spec = spec();
    change(&mut spec);
    check_spec(&spec)
}

#[test]
fn the_development_spec_can_be_executed() {
    assert_eq!(check(|_| ()), Ok(()));
}

#[test]
fn unknown_versions_are_refused_before_they_are_needed() {
    let later = |machine, gas| VersionActivation {
        height: 1_000,
        machine,
        gas,
    };
    assert_eq!(check(|spec| spec.versions.push(later(NEWEST, 1))), Ok(()));
    let unknown = check(|spec| spec.versions.push(later(NEWEST + 1, 1)));
    assert_eq!(
        unknown,
        Err(SpecError::UnknownMachine {
            version: NEWEST + 1,
            height: 1_000
        })
    );
    let unknown = check(|spec| spec.versions.push(later(1, 9)));
    assert_eq!(
        unknown,
        Err(SpecError::UnknownGas {
            version: 9,
            height: 1_000
        })
    );
    assert_eq!(check(|spec| spec.versions.clear()), Err(SpecError::NoVersions));
    assert_eq!(
        check(|spec| spec.versions[0].height = 1),
        Err(SpecError::NoVersions)
    );
}

#[test]
fn limits_outside_their_range_are_named() {
    let name = |change: fn(&mut ChainSpec)| match check(change) {
        Err(SpecError::Limit { name, .. }) => name,
        result => panic!("{result:?}"),
    };
    assert_eq!(name(|spec| spec.limits.block_gas = 0), "block_gas");
    assert_eq!(name(|spec| spec.limits.block_gas = (1 << 62) + 1), "block_gas");
    assert_eq!(
        name(|spec| spec.limits.transaction_gas = spec.limits.block_gas + 1),
        "transaction_gas"
    );
    assert_eq!(name(|spec| spec.limits.min_gas_price = 0), "min_gas_price");
    assert_eq!(name(|spec| spec.limits.call_depth = 0), "call_depth");
    assert_eq!(
        name(|spec| spec.limits.call_depth = MAX_CALL_DEPTH + 1),
        "call_depth"
    );
    assert_eq!(
        name(|spec| spec.limits.transaction_pages = 63),
        "transaction_pages"
    );
    assert_eq!(name(|spec| spec.limits.return_bytes = 0), "return_bytes");
    assert_eq!(name(|spec| spec.limits.log_bytes = 0), "log_bytes");
    assert_eq!(name(|spec| spec.limits.journal_entries = 0), "journal_entries");
    let error = check(|spec| spec.limits.call_depth = 500).unwrap_err();
    assert_eq!(error.to_string(), "limits.call_depth: 500 is outside 1 to 128");
}

#[test]
fn a_block_s_gas_must_not_pay_for_more_writes_than_a_block_may_make() {
    let most = schedule(1).unwrap().most_written_bytes(spec().limits.block_gas);
    assert_eq!(check(|spec| spec.limits.block_write_bytes = most), Ok(()));
    let refused = check(|spec| spec.limits.block_write_bytes = most - 1);
    assert!(matches!(refused, Err(SpecError::BlockWriteBytes { possible, .. }) if possible == most));
}

#[test]
fn supply_stays_below_2_to_the_127() {
    let account = |index, balance| GenesisAccount {
        address: key(index).address(),
        balance,
    };
    let half = 1 << 126;
    assert_eq!(
        check(|spec| spec.accounts = vec![account(0, half), account(1, half - 1)]),
        Ok(())
    );
    assert_eq!(
        check(|spec| spec.accounts = vec![account(0, half), account(1, half)]),
        Err(SpecError::Supply)
    );
    let wraps = check(|spec| spec.accounts = vec![account(0, u128::MAX), account(1, 1)]);
    assert_eq!(wraps, Err(SpecError::Supply));
}

#[test]
fn genesis_holds_the_spec_s_accounts_that_have_a_balance() {
    let mut spec = spec();
    spec.accounts[2].balance = 0;
    let changes = genesis_changes(&spec);
    assert_eq!(changes.len(), usize::from(SENDERS) - 1);
    let first = changes[&account_path(&spec.accounts[0].address)]
        .as_ref()
        .unwrap();
    let expected = Account {
        nonce: 0,
        balance: BALANCE,
        code_hash: None,
    };
    assert_eq!(borsh::from_slice::<Account>(first).unwrap(), expected);
    assert_eq!(
        World::with_spec(spec.clone()).account(&spec.accounts[2].address),
        Account::default()
    );
}

/// Floating point is legal from the height on at which the chain takes machine version 2.
#[test]
fn the_machine_changes_at_the_height_that_the_spec_names() {
    let code = elf_of(
        &[
            0x0030_0513,                                 // addi a0, zero, 3
            0xd225_0553,                                 // fcvt.d.l fa0, a0, rne
            0x02a5_7553,                                 // fadd.d fa0, fa0, fa0
            0xc225_15d3,                                 // fcvt.l.d a1, fa0, rtz
            0xffa5_8593,                                 // addi a1, a1, -6
            0x0000_0513,                                 // addi a0, zero, 0
            0x0000_0893 | (number::RETURN as u32) << 20, // addi a7, zero, RETURN
            0x0000_0073,                                 // ecall
        ],
        0,
    );
    let mut spec = spec();
    spec.versions.push(VersionActivation {
        height: 10,
        machine: 2,
        gas: 1,
    });
    for (height, expected) in [(9, Outcome::Trapped), (10, Outcome::Success)] {
        for tier in [Tier::Interpreter, Tier::Jit] {
            let mut world = World::with_spec(spec.clone());
            world.executor = Executor::new(Arc::new(spec.clone())).unwrap().with_tier(tier);
            world.block.height = height;
            let to = world.install(&code);
            let input = Vec::new();
            let receipt = world.run(Payload::Call { to, value: 0, input });
            assert_eq!(receipt.outcome, expected, "at height {height} on {tier:?}");
        }
    }
}
