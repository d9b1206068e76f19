//! Blocks come to the same whatever was loaded ahead of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_executor::{
    ExecutionError, Executor, ReadError, StateReader, Tier, Warmed, Warming, intrinsic_gas, schedule,
};
use millrace_types::state::{Account, Path, account_path, code_hash, code_path};
use millrace_types::{Address, Gas, Hash, Payload, SignedTransaction};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::common::world::{GAS, SENDERS, contract};
use crate::common::{Script, World, elf, elf_with_constants};
use crate::conservation::long_run;

/// An account that names code which is not there: damage, which ends the block.
const DAMAGED: Address = Address([0xdd; 32]);

/// A chain with contracts of several programs, code that is none, and damage.
fn world() -> (World, Vec<Address>) {
    let mut world = World::new();
    let mut targets: Vec<_> = (0..4).map(contract).collect();
    targets.push(world.install(&elf_with_constants(3)));
    targets.push(world.install(b"no program"));
    let account = Account {
        code_hash: Some(Hash([9; 32])),
        ..Account::default()
    };
    let record = borsh::to_vec(&account).unwrap();
    world.state.insert(account_path(&DAMAGED), record.into());
    targets.push(Address([0x11; 32]));
    (world, targets)
}

/// A block of calls, of which some cannot pay for the first run of what they call.
fn draw(world: &World, targets: &[Address], random: &mut ChaCha8Rng) -> Vec<SignedTransaction> {
    let prices = schedule(world.executor.spec().versions_at(world.block.height).gas).unwrap();
    let mut nonces = [0; SENDERS as usize];
    let damages = random.random_bool(0.1);
    let count = random.random_range(1..12);
    (0..count)
        .map(|_| {
            let sender = random.random_range(0..SENDERS);
            let to = if damages && random.random_bool(0.2) {
                DAMAGED
            } else {
                *targets.choose(random).unwrap()
            };
            let nested = *targets.choose(random).unwrap();
            let script = Script::new().storage_set(b"n", &[sender]).log(&[], b"x");
            let input = match random.random_range(0..3) {
                0 => script.returning(0),
                1 => script.trapping(),
                _ => script
                    .call(&nested, 0, 100_000, &Script::new().returning(0))
                    .returning(0),
            };
            let payload = match random.random_range(0..8) {
                0 => Payload::Deploy {
                    code: elf(),
                    value: 0,
                    input,
                },
                1 => Payload::Transfer { to, value: 1 },
                _ => Payload::Call { to, value: 0, input },
            };
            let nonce = nonces[usize::from(sender)];
            nonces[usize::from(sender)] += 1;
            // Beyond what is paid before anything runs: a first run costs little more than 5,000.
            let gas: Gas = *[0, 4_900, 5_500, 20_000, GAS / 2].choose(random).unwrap();
            let mut signed = world.sign_at(sender, nonce, payload);
            signed.transaction.gas_limit = gas + intrinsic_gas(&signed, prices);
            signed
        })
        .collect()
}

/// What programs are looked up in: the state itself, one that has not got that far, or one that answers nothing.
enum Before<'a> {
    Whole(&'a BTreeMap<Path, Arc<[u8]>>),
    Without(&'a BTreeMap<Path, Arc<[u8]>>, Vec<Path>),
    Broken,
}

impl StateReader for Before<'_> {
    fn get(&self, path: &Path) -> Result<Option<Arc<[u8]>>, ReadError> {
        match self {
            Self::Whole(state) => StateReader::get(*state, path),
            Self::Without(_, missing) if missing.contains(path) => Ok(None),
            Self::Without(state, _) => StateReader::get(*state, path),
            Self::Broken => Err(ReadError::Failed("as a disk does".to_owned())),
        }
    }
}

fn cold(world: &World, tier: Tier) -> Executor {
    let executor = Executor::new(Arc::clone(world.executor.spec())).unwrap();
    executor.with_tier(tier)
}

#[test]
fn what_was_loaded_ahead_never_shows() {
    let (world, targets) = world();
    let (mut loaded, mut nothing, mut failed, mut ended) = (0, 0, 0, 0);
    for seed in 0..if long_run() { 20_000 } else { 300 } {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let block = draw(&world, &targets, random);
        let tier = *[Tier::Interpreter, Tier::Auto].choose(random).unwrap();
        let plain = cold(&world, tier).execute_block(&world.block, &block, &world.state);
        let missing = [
            account_path(targets.choose(random).unwrap()),
            code_path(&code_hash(&elf())),
        ];
        let before = match random.random_range(0..4) {
            0 => Before::Without(&world.state, missing.to_vec()),
            1 => Before::Broken,
            _ => Before::Whole(&world.state),
        };
        let executor = cold(&world, tier);
        let warming = Warming::new(world.block.height, &block);
        for index in 0..warming.len() {
            match executor.warm(&warming, index, &before) {
                Ok(Warmed::Loaded) => loaded += 1,
                Ok(_) => nothing += 1,
                Err(ExecutionError::CorruptState { .. } | ExecutionError::Read(_)) => failed += 1,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        let warmed = executor.execute_block(&world.block, &block, &world.state);
        assert_eq!(warmed, plain, "seed {seed}");
        ended += usize::from(plain.is_err());
    }
    for (what, times) in [
        ("loaded", loaded),
        ("nothing", nothing),
        ("failed", failed),
        ("ended", ended),
    ] {
        assert!(times > 5, "{what}: {times} times, so little is shown");
    }
}
