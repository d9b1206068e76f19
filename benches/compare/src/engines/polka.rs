//! PolkaVM: its recompiler, with and without synchronous gas, in its sandbox inside this process, where CPU time can be
//! told; programs in its own format, linked from RV64E by its linker.

use std::path::Path;

use millrace_benches::host::cpu_time;
use millrace_benches::programs::Program;
use millrace_benches::toolchain;
use millrace_tests::tools;
use polkavm::{
    BackendKind, Config, Engine, GasMeteringKind, InterruptKind, Module, ModuleConfig, ProgramBlob,
    SandboxKind,
};
use polkavm_linker::TargetInstructionSet;

use super::{Prepared, Run};

/// The extensions and the tuning of PolkaVM's own target.
const FLAGS: &str = "--target=riscv64-unknown-elf -march=rv64emac_zbb_xtheadcondmov -mabi=lp64e -mno-strict-align \
                     -mcmodel=medany -fno-pie -static -DKERNEL_ONLY -Wl,--emit-relocs -Wl,--unique \
                     -Wl,--no-relax -Wl,--entry=exported_run";

fn link(program: &Program, directory: &Path) -> Vec<u8> {
    let source = toolchain::c_sources().join(format!("{}.c", program.name));
    let export = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engines/polkavm_export.s");
    let file = directory.join(format!("{}.polkavm", program.name));
    let linker = tools::find("ld.lld-19", "lld-19");
    let flags = format!("{FLAGS} --ld-path={}", linker.display());
    toolchain::clang(&[source, export], &flags, &file);
    let elf = std::fs::read(&file).expect("the linker's output is there");
    let mut config = polkavm_linker::Config::default();
    config
        .set_strip(true)
        .set_optimize(true)
        .set_min_stack_size(256 << 10);
    polkavm_linker::program_from_elf(config, TargetInstructionSet::Latest, &elf)
        .unwrap_or_else(|error| panic!("{}: {error}", program.name))
}

fn prepare(program: &Program, directory: &Path, metering: Option<GasMeteringKind>) -> Prepared {
    let mut config = Config::new();
    config.set_backend(Some(BackendKind::Compiler));
    config.set_allow_experimental(true);
    config.set_sandbox(Some(SandboxKind::Generic));
    let engine = Engine::new(&config).expect("a configuration of this build");
    let blob = ProgramBlob::parse(link(program, directory).into()).expect("its linker's output");
    let mut config = ModuleConfig::new();
    config.set_gas_metering(metering);
    let module = Module::from_blob(&engine, &config, blob).expect("it takes its linker's output");
    let kernel = module
        .exports()
        .find(|export| export == "run")
        .expect("it is exported");
    let kernel = kernel.program_counter();
    Box::new(move |work| {
        let mut instance = module.instantiate().expect("memory for an instance");
        instance.set_gas(i64::MAX);
        instance.prepare_call_typed(kernel, (work,));
        let start = cpu_time();
        let end = instance.run().expect("the sandbox works");
        let time = cpu_time().saturating_sub(start);
        assert!(
            matches!(end, InterruptKind::Finished),
            "the guest returns: {end:?}"
        );
        Run::new(time, instance.get_result_typed::<u64>())
    })
}

pub fn unmetered(program: &Program, directory: &Path) -> Prepared {
    prepare(program, directory, None)
}

pub fn metered(program: &Program, directory: &Path) -> Prepared {
    prepare(program, directory, Some(GasMeteringKind::Sync))
}
